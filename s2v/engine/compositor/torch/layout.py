"""Where on a frame things are drawn: what faces must have in common to be drawn together, or by one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2v.engine.compositor.cpu import _LEAST_BLUR, MotionCompositor
from s2v.engine.compositor.lids import Box
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec

FINE_WHERE_THE_HEAD_MOVES = 2  # bicubic between pixels so fine keeps what the CPU's bilinear look-up keeps at four
Place = tuple[slice, slice]


@dataclass(frozen=True)
class Layout:
    """Sizes, boxes (left, top, right, bottom in photo pixels) and switches of a drawing.

    The boxes of several faces are the smallest that hold those of each.
    """

    frame: tuple[int, int]  # width, height
    region: Box  # all that may differ from the photo
    face: Box  # the lower face
    mouth: Box  # where paint may be
    eyes: Box  # both of them, with their lids; empty if they stay as they are
    plate: tuple[int, int]  # width and height of the skin kept for a lid
    cell_px: int  # of the head's coarse grid; 0: the head is held still
    n_motion: int
    patch: tuple[int, int]  # width and height of the network's mouth
    soft_patch: bool  # paint is blurred to be as soft as the photo
    teeth: bool  # the photo shows teeth
    lip_line: bool  # the photo's lips are apart

    @property
    def alive(self) -> bool:
        """Whether head and eyes move."""
        return self.cell_px > 0

    @property
    def fine(self) -> int:
        """How many times as fine as the photo the picture is that pixels are looked up in."""
        return FINE_WHERE_THE_HEAD_MOVES if self.alive else 1

    @classmethod
    def of(cls, compositor: MotionCompositor, spec: LipSyncSpec) -> Layout:
        """That of one face."""
        height, width = compositor._photo.shape[:2]
        face: Box = compositor._corners
        region, eyes, plate, cell_px = face, (0, 0, 0, 0), (0, 0), 0
        if compositor._alive is not None:
            head, pair = compositor._alive._head, compositor._alive._eyes._eyes
            region, cell_px = head.box, head._cell_px
            seen = [eye for eye in pair if eye.strength > 0]
            if seen:
                eyes = _common(_union([eye.box for eye in seen]), region)
                sizes = [eye._plate.shape for eye in seen]
                plate = (max(size[1] for size in sizes), max(size[0] for size in sizes))
        return cls(
            (width, height),
            region,
            face,
            cls.mouth_of(compositor),
            eyes,
            plate,
            cell_px,
            len(compositor._warp._flows) - 1,
            (spec.mouth_w_px, spec.mouth_h_px),
            compositor._blur > _LEAST_BLUR,
            compositor._own_teeth.any,
            compositor._lip_line._parted,
        )

    @staticmethod
    def mouth_of(compositor: MotionCompositor) -> Box:
        """Where one face's paint may be."""
        left, top = compositor._corners[:2]
        rows, columns = compositor._mouth
        return _plain((left + columns.start, top + rows.start, left + columns.stop, top + rows.stop))

    @classmethod
    def merged(cls, layouts: Sequence[Layout]) -> Layout:
        """One that all of these faces can be drawn in.

        Raises: BackendError, frames of different sizes, or only some of the heads move.
        """
        first = layouts[0]
        for other in layouts[1:]:
            if (other.frame, other.alive, other.patch) != (first.frame, first.alive, first.patch):
                raise BackendError(
                    f"faces of {other.frame[0]} x {other.frame[1]} px{_says(other)} and "
                    f"{first.frame[0]} x {first.frame[1]} px{_says(first)} cannot be drawn together: "
                    "draw those of one size and with the same idle motion in one batch"
                )
        with_eyes = [layout.eyes for layout in layouts if not is_empty(layout.eyes)]
        return replace(
            first,
            region=_union([layout.region for layout in layouts]),
            face=_union([layout.face for layout in layouts]),
            mouth=_union([layout.mouth for layout in layouts if not is_empty(layout.mouth)] or [first.mouth]),
            eyes=_union(with_eyes) if with_eyes else first.eyes,
            plate=(max(layout.plate[0] for layout in layouts), max(layout.plate[1] for layout in layouts)),
            soft_patch=any(layout.soft_patch for layout in layouts),
            teeth=any(layout.teeth for layout in layouts),
            lip_line=any(layout.lip_line for layout in layouts),
        )


def place(box: Box, region: Box) -> Place:
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


def _union(boxes: Sequence[Box]) -> Box:
    sides = np.array(boxes)
    return _plain((*sides[:, :2].min(0), *sides[:, 2:].max(0)))


def _common(one: Box, other: Box) -> Box:
    sides = np.array([one, other])
    return _plain((*sides[:, :2].max(0), *sides[:, 2:].min(0)))


def _plain(box: tuple[int, ...]) -> Box:
    left, top, right, bottom = (int(n) for n in box)
    return left, top, right, bottom


def _says(layout: Layout) -> str:
    return " whose head moves" if layout.alive else ""
