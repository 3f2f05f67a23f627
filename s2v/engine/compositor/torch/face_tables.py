"""What drawing one face on a device needs and no frame changes, as tensors: read once from the CPU's compositor.

Everything has a leading axis of n faces, so that faces of equal layout can be drawn together. Coordinates are
float32: float16 would be wrong by pixels. With `layout`, the one place that knows what the CPU's classes hold.
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

from s2v.engine.compositor import eyes as lid_rules
from s2v.engine.compositor import head as head_rules
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.lids import Curve, curve_at
from s2v.engine.compositor.torch.layout import Layout, is_empty, place, size_of
from s2v.engine.compositor.torch.mouth_tables import HALF, LIP_POINTS, MouthTables, mouth_tables
from s2v.engine.compositor.warp import smoothstep
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.spec import LipSyncSpec

CELLS = 56  # coarse cells of the flows along each side; fewer are filled up with copies of the last
_SEAM_ENTRIES = 512  # of the table of the seam between the lips
_CURVE_ENTRIES = 512  # of the tables of the lids' edges

# What one eye's curves say at s: t of the upper lid's edge, height of the opening, how freely the eyeball turns, how
# far the lower lid rises and the upper one comes down when it is shut.
CURVES = ("upper", "opening", "freedom", "rise", "drop")
_NO_HEIGHT = 1e-3  # eye widths: what an opening's height counts as at least

Array = NDArray[np.floating] | NDArray[np.uint8] | NDArray[np.int_]
Table = TypeVar("Table")


@dataclass(frozen=True)
class WarpTables:
    """For `warp.bend`; m is the number of motions and the photo's own rest."""

    flows: Tensor  # (n, m, 4 * CELLS * CELLS): both layers' x and y in [-1, 1] across the cells
    cells: Tensor  # (n, 1, CELLS, CELLS, 2): where each cell is, in [-1, 1]
    places: Tensor  # (n, 3, 1, 1, 5): photo pixel (x, y, 1) -> cells x and y, seam table x and 0, v
    back_px: Tensor  # (n, h, w, 2): photo pixels of one unit of flow, negative; 0 outside a face's own box
    points: Tensor  # (n, 1, 2 * POINTS): what `LIP_POINTS` makes of the inner lips at rest, x y in the face plane
    point_moves: Tensor  # (n, m, 2 * POINTS)
    seam_u: Tensor  # (n, 1, 1, entries)


@dataclass(frozen=True)
class HeadTables:
    """For `warp.head_map`: photo pixels on a coarse grid, and how each weight of a pose moves them."""

    at_rest: Tensor  # (n, 1, 2 * rows * columns)
    fields: Tensor  # (n, 4, 2 * rows * columns)


@dataclass(frozen=True)
class EyeTables:
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
class FaceTables:
    """All of one face, or of several of equal layout."""

    photo: Tensor  # (n, 3, h, w) float32, 0 to 255, and HALF: what pixels are looked up in
    photo_factor: Tensor  # (n, 1, 1, 2): photo pixel -> `photo` in [-1, 1]
    photo_shift: Tensor  # (n, 1, 1, 2)
    at_home: Tensor  # (n, h, w, 2): the region's own photo pixels; one pixel if the head's map takes their place
    behind: Tensor  # (n, h, w, 3) uint8: the region of the photo
    drawn: Tensor  # (n, h, w, 1) bool: where in it frames may differ from the photo
    warp: WarpTables
    head: HeadTables
    eyes: EyeTables
    mouth: MouthTables

    @property
    def n_bytes(self) -> int:
        """Of memory on the device."""
        return sum(tensor.nbytes for tensor in _leaves(self))


def face_tables(
    compositor: MotionCompositor, face: EnrolledFace, spec: LipSyncSpec, layout: Layout, device: torch.device
) -> FaceTables:
    """The tables of one face, n = 1, on a device.

    Args:
        layout: `Layout.of` this compositor, or one that `Layout.merged` made of it and others.
    """
    photo = _look_up_photo(compositor, layout)
    factor = 2 * layout.fine / (np.array(photo.shape[1::-1]) - 1)
    left, top, right, bottom = layout.region
    home = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    tables = FaceTables(
        _one(photo.transpose(2, 0, 1) + HALF),
        _one(factor.reshape(1, 1, 2)),
        _one(np.full((1, 1, 2), -1.0)),
        _one(home[:1, :1] if layout.alive else home),
        torch.from_numpy(compositor._photo[top:bottom, left:right].copy())[None],
        torch.from_numpy(_drawn(compositor, layout))[None],
        _warp_tables(compositor, face, layout),
        _head_tables(compositor),
        _eye_tables(compositor, layout),
        mouth_tables(compositor, face, spec, layout),
    )
    return _each(lambda tensors: tensors[0].contiguous().to(device), [tables])


def stacked(tables: Sequence[FaceTables]) -> FaceTables:
    """Several faces of equal layout as one; what they hold is copied."""
    return _each(torch.cat, list(tables))


def _look_up_photo(compositor: MotionCompositor, layout: Layout) -> NDArray[np.float32]:
    """(h, w, 3): pixel (x, y) of the photo is (fine * x, fine * y) of it."""
    photo, fine = compositor._photo, layout.fine
    if compositor._alive is None:
        return photo.astype(np.float32)
    grow = np.array([[fine, 0, 0], [0, fine, 0]], np.float64)
    size = (fine * photo.shape[1], fine * photo.shape[0])
    whole = cv2.warpAffine(photo, grow, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    head = compositor._alive._head
    left, top, right, bottom = (fine * n for n in head.box)
    every = head_rules.FINE // fine
    whole[top:bottom, left:right] = head._fine[::every, ::every, :3]
    return whole.astype(np.float32)


def _drawn(compositor: MotionCompositor, layout: Layout) -> NDArray[np.bool_]:
    width, height = size_of(layout.region)
    drawn = np.zeros((height, width, 1), bool)
    boxes = [compositor._corners] if compositor._alive is None else compositor._alive._head._bands
    for box in boxes:
        drawn[place(box, layout.region)] = True
    return drawn


def _warp_tables(compositor: MotionCompositor, face: EnrolledFace, layout: Layout) -> WarpTables:
    warp = compositor._warp
    _, rows, columns, _ = warp._shape
    flows = warp._flows.reshape(-1, 2, rows, columns, 2).transpose(0, 1, 4, 2, 3)
    filled = np.pad(flows, [(0, 0)] * 3 + [(0, CELLS - rows), (0, CELLS - columns)], mode="edge")
    per_cell = 2 / (CELLS - 1)  # of [-1, 1]
    line = np.linspace(-1, 1, CELLS)
    to_cells = per_cell * warp._photo_to_cells - np.array([[0, 0, 1], [0, 0, 1]])
    u = warp._table_u
    seam_u = np.linspace(u[0], u[-1], _SEAM_ENTRIES)
    to_plane = np.linalg.inv(np.vstack([face.plane.matrix, [0, 0, 1]]))[:2]
    to_table = np.array([[2 / (u[-1] - u[0])], [0]]) * to_plane[:1] - np.array([[0, 0, 2 * u[0] / (u[-1] - u[0]) + 1]])
    places = np.concatenate([to_cells, to_table[:1], np.zeros((1, 3)), to_plane[1:]])
    back_px = np.zeros((*size_of(layout.face)[::-1], 2))
    back_px[place(compositor._corners, layout.face)] = -np.diag(warp._to_photo) / per_cell
    return WarpTables(
        _one(per_cell * filled.reshape(len(filled), -1)),
        _one(np.stack(np.meshgrid(line, line), -1)[None]),
        _one(places.T.reshape(3, 1, 1, 5)),
        _one(back_px),
        _one((LIP_POINTS @ warp._lips).reshape(1, -1)),
        _one((LIP_POINTS @ warp._lip_moves.reshape(-1, *warp._lips.shape)).reshape(len(filled), -1)),
        _one(seam_u.reshape(1, 1, -1)),
    )


def _head_tables(compositor: MotionCompositor) -> HeadTables:
    if compositor._alive is None:
        return HeadTables(_one(np.zeros((1, 0))), _one(np.zeros((4, 0))))
    head = compositor._alive._head
    fields_px = head._fields.reshape(4, *head._at_rest.shape).transpose(0, 3, 1, 2)
    at_rest = head._at_rest.transpose(2, 0, 1)
    return HeadTables(_one(at_rest.reshape(1, -1)), _one(fields_px.reshape(4, -1)))


def _eye_tables(compositor: MotionCompositor, layout: Layout) -> EyeTables:
    if compositor._alive is None or is_empty(layout.eyes):
        return EyeTables(*(torch.zeros((1, 2)) for _ in fields(EyeTables)))
    pair = [_one_eye(eye, layout.plate) for eye in compositor._alive._eyes._eyes]
    return _each(lambda eyes: torch.stack(eyes)[None], pair)


def _one_eye(eye: lid_rules._Eye, plate: tuple[int, int]) -> EyeTables:
    """Without the axes of faces and eyes."""
    width, height = plate
    skin = np.zeros((3, height, width), np.uint8)
    corner = np.zeros(2)
    upper: Curve = (0.0, 0.0)
    lower, strip = upper, 0.0
    to_eye: Points = np.zeros((2, 3))
    to_photo = to_eye
    if eye.strength > 0:
        upper, lower, strip, to_photo = eye._upper, eye._lower, eye._strip, eye._to_photo
        to_eye = np.asarray(eye._to_eye, np.float64)
        room = [(0, height - eye._plate.shape[0]), (0, width - eye._plate.shape[1]), (0, 0)]
        skin, corner = np.pad(eye._plate, room, mode="edge").transpose(2, 0, 1), np.array(eye.box[:2], float)
    s = np.linspace(0, 1, _CURVE_ENTRIES)
    edge, opening = curve_at(upper, s), curve_at(lower, s) - curve_at(upper, s)
    share = lid_rules._LOWER_LID_SHARE
    curves = {
        "upper": edge,
        "opening": np.maximum(opening, _NO_HEIGHT),
        "freedom": eye.strength * smoothstep(np.minimum(s, 1 - s) / 0.3),
        "rise": eye.strength * share * opening,
        "drop": eye.strength * ((1 - share) * opening + curve_at((0.0, lid_rules._OVERLAP), s)),
    }
    places = np.stack([2 * to_eye[0] - [0, 0, 1], np.zeros(3), to_eye[1]])
    factor = 2 / (np.array(plate) - 1)
    return EyeTables(
        _float(places.T.reshape(3, 1, 1, 3)),
        _float(np.stack([curves[name] for name in CURVES])[:, None]),
        _float(to_photo[:, 0].reshape(1, 1, 2) / 2),
        _float(to_photo[:, 1].reshape(1, 1, 2)),
        _float(np.full((1, 1), strip)),
        _float(np.full((1, 1), eye.strength)),
        _float(np.full((1, 1), eye._width_px)),
        _float(skin + HALF),
        _float(factor.reshape(1, 1, 2)),
        _float((-factor * corner - 1).reshape(1, 1, 2)),
    )


def _float(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _one(values: Array) -> Tensor:
    """As float32, with an axis of one face in front."""
    return _float(values)[None]


def _leaves(tables: object) -> list[Tensor]:
    if isinstance(tables, Tensor):
        return [tables]
    values = [getattr(tables, field.name) for field in fields(tables)]  # type: ignore[arg-type]
    return [leaf for value in values for leaf in _leaves(value)]


def _each(join: Callable[[list[Tensor]], Tensor], tables: list[Table]) -> Table:
    """Several of one kind as one, tensor by tensor."""
    first = tables[0]
    if isinstance(first, Tensor):
        return cast(Table, join(cast("list[Tensor]", tables)))
    names = [field.name for field in fields(first)]  # type: ignore[arg-type]
    return type(first)(*(_each(join, [getattr(one, name) for one in tables]) for name in names))
