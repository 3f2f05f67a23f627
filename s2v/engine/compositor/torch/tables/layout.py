"""Where on a frame things are drawn: what faces must have in common to be drawn together, or by one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.face.maps import Box
from s2v.errors import BackendError

_NO_BOX, _NO_SIZE = (0, 0, 0, 0), (0, 0)


@dataclass(frozen=True)
class Layout:
    """Sizes, boxes (left, top, right, bottom in photo pixels) and switches of a drawing.

    The boxes of several faces are the smallest that hold those of each.
    """

    frame: tuple[int, int]  # width, height
    region: Box  # all that may change
    layer: Box  # where the head's layer is at rest, beyond the photo's border too; empty if it is held still
    face: Box  # where the lower face may be
    mouth: Box  # where the lips may be
    row: tuple[int, int]  # width and height of the pictures of the rows of teeth
    eyes: Box  # where both of them may be, with their lids; empty if they stay as they are
    plate: tuple[int, int]  # width and height of the skin kept for a lid
    skin: Box  # where brows and cheeks may be; empty if they stay as they are
    skin_cells: tuple[int, int]  # columns and rows of their fields
    cells: tuple[int, int]  # columns and rows of the head's coarse grid; none if it is held still
    n_motion: int
    lip_line: bool  # the photo's lips are apart

    @property
    def moving(self) -> bool:
        """Whether head, eyes and brows move."""
        return self.cells[0] > 0

    @classmethod
    def of(cls, tables: FaceTables) -> Layout:
        """That of one face."""
        height, width = tables.photo.shape[:2]
        region, face = tables.box, tables.box
        layer, eyes, plate, skin, skin_cells, cells = _NO_BOX, _NO_BOX, _NO_SIZE, _NO_BOX, _NO_SIZE, _NO_SIZE
        if (moving := tables.moving) is not None:
            region, reach_px = moving.head.box, moving.head.eyes_reach_px
            layer, cells = moving.head.layer_box, _size_of_grid(moving.head.cells)
            face = _intersection(_grown(face, moving.head.reach_px), region)
            if moving.eyes:
                eyes = _intersection(_union([_grown(eye.box, reach_px) for eye in moving.eyes]), region)
                plate = _largest([_size_of_grid(eye.plates.lashes) for eye in moving.eyes])
            if fields := [field for field in (moving.expression.brows, moving.expression.cheeks) if field is not None]:
                skin = _union([_grown(field.box, field.pad_px + reach_px) for field in fields])
                skin = _intersection(skin, region)
                skin_cells = _largest([_size_of_grid(field.forward) for field in fields])
        return cls(
            frame=(width, height),
            region=region,
            layer=layer,
            face=face,
            mouth=tables.interior.window,
            row=(tables.interior.upper.shape[1], tables.interior.upper.shape[0]),
            eyes=eyes,
            plate=plate,
            skin=skin,
            skin_cells=skin_cells,
            cells=cells,
            n_motion=len(tables.warp.flows) - 1,
            lip_line=tables.line_colour is not None,
        )

    @classmethod
    def merged(cls, layouts: Sequence[Layout]) -> Layout:
        """One that all of these faces can be drawn in.

        Raises: BackendError, frames of different sizes, or only some of the heads move.
        """
        first = layouts[0]
        for other in layouts[1:]:
            if (other.frame, other.moving) != (first.frame, first.moving):
                raise BackendError(
                    f"faces of {other.frame[0]} x {other.frame[1]} px{_motion_words(other)} and "
                    f"{first.frame[0]} x {first.frame[1]} px{_motion_words(first)} cannot be drawn together: "
                    "draw those of one size, all moving or all still, in one batch"
                )
        return replace(
            first,
            region=_union([layout.region for layout in layouts]),
            layer=_union([layout.layer for layout in layouts]),
            face=_union([layout.face for layout in layouts]),
            mouth=_union([layout.mouth for layout in layouts]),
            eyes=_union([layout.eyes for layout in layouts]),
            skin=_union([layout.skin for layout in layouts]),
            row=_largest([layout.row for layout in layouts]),
            plate=_largest([layout.plate for layout in layouts]),
            skin_cells=_largest([layout.skin_cells for layout in layouts]),
            cells=_largest([layout.cells for layout in layouts]),
            lip_line=any(layout.lip_line for layout in layouts),
        )


def slices(box: Box, region: Box) -> tuple[slice, slice]:
    """Rows and columns of a box in an array that begins where a region does."""
    return (
        slice(box[1] - region[1], box[3] - region[1]),
        slice(box[0] - region[0], box[2] - region[0]),
    )


def size_of(box: Box) -> tuple[int, int]:
    """Width and height."""
    return box[2] - box[0], box[3] - box[1]


def is_empty(box: Box) -> bool:
    """Whether a box holds no pixel."""
    return box[2] <= box[0] or box[3] <= box[1]


def _largest(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size that has room for each."""
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _union(boxes: Sequence[Box]) -> Box:
    """Of those that hold a pixel; the first if none does."""
    sides = np.array([box for box in boxes if not is_empty(box)] or boxes[:1])
    return _as_box((*sides[:, :2].min(0), *sides[:, 2:].max(0)))


def _grown(box: Box, reach_px: int) -> Box:
    left, top, right, bottom = box
    return left - reach_px, top - reach_px, right + reach_px, bottom + reach_px


def _size_of_grid(grid: NDArray[np.float32] | NDArray[np.uint8]) -> tuple[int, int]:
    """Columns and rows."""
    return grid.shape[1], grid.shape[0]


def _intersection(one: Box, other: Box) -> Box:
    sides = np.array([one, other])
    return _as_box((*sides[:, :2].max(0), *sides[:, 2:].min(0)))


def _as_box(sides: tuple[int, ...]) -> Box:
    left, top, right, bottom = (int(n) for n in sides)
    return left, top, right, bottom


def _motion_words(layout: Layout) -> str:
    return " whose head moves" if layout.moving else ""
