"""The tables of a face on a device: what `s2v.engine.compositor.face_tables` holds, laid out for torch.

Everything has a leading axis of n faces, so that faces of equal layout can be drawn together. Coordinates are
float32: float16 would be wrong by pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import COARSE_CELLS, FaceTables
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.head.tables import HeadTables
from s2v.engine.compositor.torch.eye_tensors import EyeTensors, eye_tensors
from s2v.engine.compositor.torch.layout import Layout, size_of, slices
from s2v.engine.compositor.torch.mouth_tensors import (
    HALF,
    LIP_POINTS,
    InteriorTensors,
    MouthTensors,
    interior_tensors,
    mouth_tensors,
)

_SEAM_ENTRIES = 512  # of the table of the seam between the lips

Array = NDArray[np.floating] | NDArray[np.uint8] | NDArray[np.int_]
Part = TypeVar("Part")


@dataclass(frozen=True)
class WarpTensors:
    """For `warp.articulate` and `warp.bend`; m is the number of motions and the photo's own rest.

    Of coarse cells there are COARSE_CELLS along each side; a face with fewer is filled up with copies of the last.
    """

    gap: Tensor  # (n, m): of `ArticulationTables`, 0 for the photo's own rest
    closing: Tensor  # (n, m)
    scaled: Tensor  # (n, m): 1 for motion, 0 for the photo's own rest, which no articulation scales
    flows: Tensor  # (n, m, 4 * cells * cells): both layers' x and y in [-1, 1] across the cells
    cells: Tensor  # (n, 1, cells, cells, 2): where each cell is, in [-1, 1]
    places: Tensor  # (n, 3, 1, 1, 5): photo pixel (x, y, 1) -> cells x and y, seam table x and 0, v
    back_px: Tensor  # (n, h, w, 2): photo pixels of one unit of flow, negative; 0 outside a face's own box
    points: Tensor  # (n, 1, 2 * POINTS): what `LIP_POINTS` makes of the inner lips at rest, x y in the face plane
    point_moves: Tensor  # (n, m, 2 * POINTS)
    seam_u: Tensor  # (n, 1, 1, entries)


@dataclass(frozen=True)
class HeadTensors:
    """For `warp.head_map`: photo pixels on a coarse grid, and how each weight of a pose moves them."""

    at_rest: Tensor  # (n, 1, 2 * rows * columns)
    fields: Tensor  # (n, 4, 2 * rows * columns)


@dataclass(frozen=True)
class FaceTensors:
    """All of one face, or of several of equal layout."""

    photo: Tensor  # (n, 3, h, w) float32, 0 to 255, and HALF: what pixels are looked up in
    photo_factor: Tensor  # (n, 1, 1, 2): photo pixel -> `photo` in [-1, 1]
    photo_shift: Tensor  # (n, 1, 1, 2)
    at_rest: Tensor  # (n, h, w, 2): the region's own photo pixels; one pixel if the head's map takes their place
    background: Tensor  # (n, h, w, 3) uint8: the region of the photo
    changes: Tensor  # (n, h, w, 1) bool: where in it frames may differ from the photo
    warp: WarpTensors
    head: HeadTensors
    eyes: EyeTensors
    mouth: MouthTensors
    interior: InteriorTensors

    @property
    def n_bytes(self) -> int:
        """Of memory on the device."""
        return sum(tensor.nbytes for tensor in _leaves(self))


def face_tensors(tables: FaceTables, layout: Layout, device: torch.device) -> FaceTensors:
    """Those of one face, n = 1, on a device.

    Args:
        layout: `Layout.of` these tables, or one that `Layout.merged` made of it and others.
    """
    photo = _scaled_photo(tables, layout)
    factor = 2 * layout.photo_scale / (np.array(photo.shape[1::-1]) - 1)
    left, top, right, bottom = layout.region
    at_rest = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    tensors = FaceTensors(
        photo=_one(photo.transpose(2, 0, 1) + HALF),
        photo_factor=_one(factor.reshape(1, 1, 2)),
        photo_shift=_one(np.full((1, 1, 2), -1.0)),
        at_rest=_one(at_rest[:1, :1] if layout.idle else at_rest),
        background=torch.from_numpy(tables.photo[top:bottom, left:right].copy())[None],
        changes=torch.from_numpy(_changes(tables, layout))[None],
        warp=_warp_tensors(tables, layout),
        head=_head_tensors(tables.idle.head if tables.idle else None),
        eyes=eye_tensors(tables.idle.eyes if tables.idle else (), layout),
        mouth=mouth_tensors(tables, layout),
        interior=interior_tensors(tables.interior, layout.n_motion, layout),
    )
    return _join(lambda parts: parts[0].contiguous().to(device), [tensors])


def stacked(tensors: Sequence[FaceTensors]) -> FaceTensors:
    """Several faces of equal layout as one; what they hold is copied."""
    return _join(torch.cat, list(tensors))


def _scaled_photo(tables: FaceTables, layout: Layout) -> NDArray[np.float32]:
    """(h, w, 3): pixel (x, y) of the photo is (photo_scale * x, photo_scale * y) of it."""
    photo, scale = tables.photo, layout.photo_scale
    if tables.idle is None:
        return photo.astype(np.float32)
    head = tables.idle.head
    grow = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    size = (scale * photo.shape[1], scale * photo.shape[0])
    whole = cv2.warpAffine(photo, grow, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    left, top, right, bottom = (scale * n for n in head.box)
    every = FINE // scale
    whole[top:bottom, left:right] = head.fine[::every, ::every, :3]
    return whole.astype(np.float32)


def _changes(tables: FaceTables, layout: Layout) -> NDArray[np.bool_]:
    width, height = size_of(layout.region)
    changes = np.zeros((height, width, 1), bool)
    for box in (tables.box,) if tables.idle is None else tables.idle.head.bands:
        changes[slices(box, layout.region)] = True
    return changes


def _warp_tensors(tables: FaceTables, layout: Layout) -> WarpTensors:
    warp = tables.warp
    m, _, rows, columns, _ = warp.flows.shape
    flows = warp.flows.transpose(0, 1, 4, 2, 3)
    filled = np.pad(flows, [(0, 0)] * 3 + [(0, COARSE_CELLS - rows), (0, COARSE_CELLS - columns)], mode="edge")
    per_cell = 2 / (COARSE_CELLS - 1)  # of [-1, 1]
    line = np.linspace(-1, 1, COARSE_CELLS)
    to_cells = per_cell * warp.photo_to_cells - np.array([[0, 0, 1], [0, 0, 1]])
    u, to_plane = warp.seam_u, tables.photo_to_plane
    seam_u = np.linspace(u[0], u[-1], _SEAM_ENTRIES)
    to_seam = np.array([[2 / (u[-1] - u[0])], [0]]) * to_plane[:1] - np.array([[0, 0, 2 * u[0] / (u[-1] - u[0]) + 1]])
    places = np.concatenate([to_cells, to_seam[:1], np.zeros((1, 3)), to_plane[1:]])
    back_px = np.zeros((*size_of(layout.face)[::-1], 2))
    back_px[slices(tables.box, layout.face)] = -np.diag(warp.cell_to_photo) / per_cell
    articulation = tables.articulation
    return WarpTensors(
        gap=_one(np.append(articulation.gap, 0)),
        closing=_one(np.append(articulation.closing, 0)),
        scaled=_one(np.append(np.ones(m - 1), 0)),
        flows=_one(per_cell * filled.reshape(m, -1)),
        cells=_one(np.stack(np.meshgrid(line, line), -1)[None]),
        places=_one(places.T.reshape(3, 1, 1, 5)),
        back_px=_one(back_px),
        points=_one((LIP_POINTS @ warp.lips).reshape(1, -1)),
        point_moves=_one((LIP_POINTS @ warp.lip_moves).reshape(m, -1)),
        seam_u=_one(seam_u.reshape(1, 1, -1)),
    )


def _head_tensors(head: HeadTables | None) -> HeadTensors:
    if head is None:
        return HeadTensors(_one(np.zeros((1, 0))), _one(np.zeros((4, 0))))
    at_rest, moves = head.at_rest.transpose(2, 0, 1), head.fields.transpose(0, 3, 1, 2)
    return HeadTensors(at_rest=_one(at_rest.reshape(1, -1)), fields=_one(moves.reshape(4, -1)))


def _float(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _one(values: Array) -> Tensor:
    """As float32, with an axis of one face in front."""
    return _float(values)[None]


def _leaves(tensors: object) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    values = [getattr(tensors, field.name) for field in fields(tensors)]  # type: ignore[arg-type]
    return [leaf for value in values for leaf in _leaves(value)]


def _join(join: Callable[[list[Tensor]], Tensor], tensors: list[Part]) -> Part:
    """Several of one kind as one, tensor by tensor."""
    first = tensors[0]
    if isinstance(first, Tensor):
        return cast(Part, join(cast("list[Tensor]", tensors)))
    names = [field.name for field in fields(first)]  # type: ignore[arg-type]
    return type(first)(*(_join(join, [getattr(one, name) for one in tensors]) for name in names))
