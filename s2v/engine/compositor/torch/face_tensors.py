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

from s2v.engine.compositor.eye_tables import EyeTables
from s2v.engine.compositor.eyes import LEAST_OPENING, LOWER_LID_SHARE, gaze_freedom, lid_drop
from s2v.engine.compositor.face_tables import COARSE_CELLS, FaceTables
from s2v.engine.compositor.head_tables import FINE, HeadTables
from s2v.engine.compositor.lids import Curve, curve_at
from s2v.engine.compositor.torch.layout import Layout, is_empty, size_of, slices
from s2v.engine.compositor.torch.mouth_tensors import HALF, LIP_POINTS, MouthTensors, mouth_tensors
from s2v.engine.face.geometry import Points

_SEAM_ENTRIES = 512  # of the table of the seam between the lips
_CURVE_ENTRIES = 512  # of the tables of the lids' edges

# What one eye's curves say at s: t of the upper lid's edge, height of the opening, how freely the eyeball turns, how
# far the lower lid rises and the upper one comes down when it is shut.
CURVES = ("upper", "opening", "freedom", "rise", "drop")

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
class EyeTensors:
    """For `eyes`; two eyes a face, (s, t) of `s2v.engine.compositor.eyes`."""

    places: Tensor  # (n, 2, 3, 1, 1, 3): photo pixel (x, y, 1) -> 2 s - 1, 0, t
    curves: Tensor  # (n, 2, 5, 1, entries) over s: see `CURVES`
    along: Tensor  # (n, 2, 1, 1, 2): photo pixels of half an eye width, as places have it
    down: Tensor  # (n, 2, 1, 1, 2): photo pixels of an eye width
    strip: Tensor  # (n, 2, 1, 1)
    strength: Tensor  # (n, 2, 1, 1); 0 for an eye that stays as it is
    width_px: Tensor  # (n, 2, 1, 1)
    plates: Tensor  # (n, 2, 3, h, w): skin of the upper lids, and HALF
    plate_factor: Tensor  # (n, 2, 1, 1, 2): photo pixel -> plate in [-1, 1]
    plate_shift: Tensor  # (n, 2, 1, 1, 2)


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
        eyes=_eye_tensors(tables.idle.eyes if tables.idle else (), layout),
        mouth=mouth_tensors(tables.mouth, tables.unit_px, layout),
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


def _eye_tensors(eyes: Sequence[EyeTables], layout: Layout) -> EyeTensors:
    if is_empty(layout.eyes):
        return EyeTensors(*(torch.zeros((1, 2)) for _ in fields(EyeTensors)))
    pair = [_one_eye(eye, layout.plate) for eye in (*eyes, None, None)[:2]]
    return _join(lambda parts: torch.stack(parts)[None], pair)


def _one_eye(eye: EyeTables | None, plate: tuple[int, int]) -> EyeTensors:
    """Without the axes of faces and eyes. Args: eye: None is one that stays as it is."""
    width, height = plate
    skin = np.zeros((3, height, width), np.uint8)
    corner = np.zeros(2)
    upper: Curve = (0.0, 0.0)
    lower, strip, strength, width_px = upper, 0.0, 0.0, 0.0
    to_eye: Points = np.zeros((2, 3))
    to_photo = to_eye
    if eye is not None:
        upper, lower, strip, to_photo = eye.upper, eye.lower, eye.strip, eye.to_photo
        strength, width_px, to_eye = eye.strength, eye.width_px, np.asarray(eye.to_eye, np.float64)
        room = [(0, height - eye.plate.shape[0]), (0, width - eye.plate.shape[1]), (0, 0)]
        skin, corner = np.pad(eye.plate, room, mode="edge").transpose(2, 0, 1), np.array(eye.box[:2], float)
    s = np.linspace(0, 1, _CURVE_ENTRIES)
    edge, opening = curve_at(upper, s), curve_at(lower, s) - curve_at(upper, s)
    curves = {
        "upper": edge,
        "opening": np.maximum(opening, LEAST_OPENING),
        "freedom": strength * gaze_freedom(s),
        "rise": strength * LOWER_LID_SHARE * opening,
        "drop": strength * lid_drop(opening, s),
    }
    places = np.stack([2 * to_eye[0] - [0, 0, 1], np.zeros(3), to_eye[1]])
    factor = 2 / (np.array(plate) - 1)
    return EyeTensors(
        places=_float(places.T.reshape(3, 1, 1, 3)),
        curves=_float(np.stack([curves[name] for name in CURVES])[:, None]),
        along=_float(to_photo[:, 0].reshape(1, 1, 2) / 2),
        down=_float(to_photo[:, 1].reshape(1, 1, 2)),
        strip=_float(np.full((1, 1), strip)),
        strength=_float(np.full((1, 1), strength)),
        width_px=_float(np.full((1, 1), width_px)),
        plates=_float(skin + HALF),
        plate_factor=_float(factor.reshape(1, 1, 2)),
        plate_shift=_float((-factor * corner - 1).reshape(1, 1, 2)),
    )


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
