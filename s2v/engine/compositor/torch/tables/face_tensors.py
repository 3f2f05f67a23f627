"""The tables of a face on a device: what `s2v.engine.compositor.face_tables` holds, laid out for torch.

Everything has a leading axis of n faces, so that faces of equal layout can be drawn together. Coordinates are
float32: float16 would be wrong by pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.torch.tables.arrays import HALF, of_one, unit_step
from s2v.engine.compositor.torch.tables.eye_tensors import EyeTensors, eye_tensors
from s2v.engine.compositor.torch.tables.head_tensors import HeadTensors, head_tensors
from s2v.engine.compositor.torch.tables.layout import Layout, size_of, slices
from s2v.engine.compositor.torch.tables.mouth_tensors import (
    InteriorTensors,
    MouthTensors,
    interior_tensors,
    mouth_tensors,
)
from s2v.engine.compositor.torch.tables.skin_tensors import SkinTensors, skin_tensors
from s2v.engine.compositor.torch.tables.warp_tensors import WarpTensors, warp_tensors
from s2v.engine.face.photo import Image

Part = TypeVar("Part")


@dataclass(frozen=True)
class FaceTensors:
    """All of one face, or of several of equal layout."""

    photo: Tensor  # what pixels are looked up in, (n, 3, h, w) float32, 0 to 255, and HALF; of a head that moves its
    # layer, (n, 4, h, w): that, and the share of the background in [0, 1]
    photo_factor: Tensor  # (n, 1, 1, 2): photo pixel -> `photo` in [-1, 1]
    photo_shift: Tensor  # (n, 1, 1, 2)
    at_rest: Tensor  # (n, h, w, 2): the region's own photo pixels; one pixel if the head's map takes their place
    background: Tensor  # (n, h, w, 3) uint8: the region of `behind`
    changes: Tensor  # (n, h, w, 1) bool: where in it frames may differ from that
    warp: WarpTensors
    head: HeadTensors
    skin: SkinTensors
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
    moving = tables.moving
    photo, scale, corner = tables.photo.transpose(2, 0, 1) + np.float32(HALF), 1, np.zeros(2)
    if moving is not None:
        photo, scale, corner = _layer(tables, layout), FINE, np.array(layout.layer[:2])
    factor = scale * unit_step((photo.shape[2], photo.shape[1]))
    left, top, right, bottom = layout.region
    at_rest = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    tensors = FaceTensors(
        photo=of_one(photo),
        photo_factor=of_one(factor.reshape(1, 1, 2)),
        photo_shift=of_one((-factor * corner - 1).reshape(1, 1, 2)),
        at_rest=of_one(at_rest[:1, :1] if layout.moving else at_rest),
        background=torch.from_numpy(behind(tables)[top:bottom, left:right].copy())[None],
        changes=torch.from_numpy(_changes(tables, layout))[None],
        warp=warp_tensors(tables),
        head=head_tensors(moving.head if moving else None, layout),
        skin=skin_tensors(moving.expression if moving else None, layout),
        eyes=eye_tensors(moving.eyes if moving else (), layout),
        mouth=mouth_tensors(tables, layout),
        interior=interior_tensors(tables.interior, layout.n_motion, layout),
    )
    return _join(lambda parts: parts[0].contiguous().to(device), [tensors])


def behind(tables: FaceTables) -> Image:
    """(h, w, 3) BGR: what a frame shows where nothing is drawn: the photo, or what is behind a head that moves."""
    return tables.photo if tables.moving is None else tables.moving.head.background


def stacked(tensors: Sequence[FaceTensors]) -> FaceTensors:
    """Several faces of equal layout as one; what they hold is copied."""
    return _join(torch.cat, list(tensors))


def _layer(tables: FaceTables, layout: Layout) -> NDArray[np.float32]:
    """(4, h, w) of the layout's layer: the head's, which is nowhere beyond its own box."""
    assert tables.moving is not None
    head = tables.moving.head
    width, height = size_of(layout.layer)
    layer = np.zeros((FINE * height, FINE * width, 4), np.float32)
    layer[..., 3] = 1
    rows, columns = (slice(FINE * part.start, FINE * part.stop) for part in slices(head.layer_box, layout.layer))
    layer[rows, columns] = head.fine / np.array([1, 1, 1, 255], np.float32)
    layer[..., :3] += HALF
    return layer.transpose(2, 0, 1)


def _changes(tables: FaceTables, layout: Layout) -> NDArray[np.bool_]:
    width, height = size_of(layout.region)
    changes = np.zeros((height, width, 1), bool)
    changes[slices(tables.box if tables.moving is None else tables.moving.head.box, layout.region)] = True
    return changes


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
