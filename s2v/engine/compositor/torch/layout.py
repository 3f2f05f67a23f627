"""Where on a frame things are drawn: what faces must have in common to be drawn together, or by one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.face.maps import Box
from s2v.errors import BackendError

MOVING_PHOTO_SCALE = 2  # bicubic between pixels so fine keeps what the CPU's bilinear look-up keeps at four


@dataclass(frozen=True)
class Layout:
    """Sizes, boxes (left, top, right, bottom in photo pixels) and switches of a drawing.

    The boxes of several faces are the smallest that hold those of each.
    """

    frame: tuple[int, int]  # width, height
    region: Box  # all that may differ from the photo
    face: Box  # the lower face
    mouth: Box  # where the lips may be
    row: tuple[int, int]  # width and height of the pictures of the rows of teeth
    eyes: Box  # both of them, with their lids; empty if they stay as they are
    plate: tuple[int, int]  # width and height of the skin kept for a lid
    cell_px: int  # of the head's coarse grid; 0: the head is held still
    n_motion: int
    lip_line: bool  # the photo's lips are apart

    @property
    def idle(self) -> bool:
        """Whether head and eyes move."""
        return self.cell_px > 0

    @property
    def photo_scale(self) -> int:
        """How many times as fine as the photo the picture is that pixels are looked up in."""
        return MOVING_PHOTO_SCALE if self.idle else 1

    @classmethod
    def of(cls, tables: FaceTables) -> Layout:
        """That of one face."""
        height, width = tables.photo.shape[:2]
        region, eyes, plate, cell_px = tables.box, (0, 0, 0, 0), (0, 0), 0
        if tables.idle is not None:
            region, cell_px = tables.idle.head.box, tables.idle.head.cell_px
            if tables.idle.eyes:
                eyes = _intersection(_union([eye.box for eye in tables.idle.eyes]), region)
                sizes = [eye.plates.half_open.shape for eye in tables.idle.eyes]
                plate = _largest([(size[1], size[0]) for size in sizes])
        return cls(
            frame=(width, height),
            region=region,
            face=tables.box,
            mouth=tables.interior.window,
            row=(tables.interior.upper.shape[1], tables.interior.upper.shape[0]),
            eyes=eyes,
            plate=plate,
            cell_px=cell_px,
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
            if (other.frame, other.idle) != (first.frame, first.idle):
                raise BackendError(
                    f"faces of {other.frame[0]} x {other.frame[1]} px{_motion_words(other)} and "
                    f"{first.frame[0]} x {first.frame[1]} px{_motion_words(first)} cannot be drawn together: "
                    "draw those of one size and with the same idle motion in one batch"
                )
        with_eyes = [layout.eyes for layout in layouts if not is_empty(layout.eyes)]
        return replace(
            first,
            region=_union([layout.region for layout in layouts]),
            face=_union([layout.face for layout in layouts]),
            mouth=_union([layout.mouth for layout in layouts if not is_empty(layout.mouth)] or [first.mouth]),
            eyes=_union(with_eyes) if with_eyes else first.eyes,
            row=_largest([layout.row for layout in layouts]),
            plate=_largest([layout.plate for layout in layouts]),
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
    sides = np.array(boxes)
    return _as_box((*sides[:, :2].min(0), *sides[:, 2:].max(0)))


def _intersection(one: Box, other: Box) -> Box:
    sides = np.array([one, other])
    return _as_box((*sides[:, :2].max(0), *sides[:, 2:].min(0)))


def _as_box(sides: tuple[int, ...]) -> Box:
    left, top, right, bottom = (int(n) for n in sides)
    return left, top, right, bottom


def _motion_words(layout: Layout) -> str:
    return " whose head moves" if layout.idle else ""
