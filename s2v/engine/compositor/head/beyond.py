"""What a head shows of itself beyond the photo's border, where the photo cuts it off: hair goes on, its edge closes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.head.person import Matte
from s2v.engine.face.maps import Box, Pixel, smoothstep

_BESIDE_UNITS = 0.25  # so far beside where the border cuts a head, and so far from the border, its outline is looked at
_LEAST_POINTS = 8  # of the outline
_GENEROUS_UNITS = 0.03  # so far outside of its hair a person's matte ends
_SOFT_UNITS = 0.02  # until what the outline encloses ends


def beyond(box: Box, size: tuple[int, int], reach_px: int) -> Box:
    """A box, further by what may come in where it ends with a photo; not at the bottom, where nothing moves.

    Args: size: width, height of the photo.
    """
    left, top, right, bottom = box
    reach_px = min(reach_px, min(size) - 1)
    return left - reach_px * (left == 0), top - reach_px * (top == 0), right + reach_px * (right == size[0]), bottom


def continued(picture: NDArray[Pixel], box: Box) -> NDArray[Pixel]:
    """The box of a picture, (h, w, ...), mirrored where that goes beyond it."""
    rows, columns = (
        end - 1 - np.abs(end - 1 - np.abs(np.arange(first, last)))
        for first, last, end in ((box[1], box[3], picture.shape[0]), (box[0], box[2], picture.shape[1]))
    )
    return np.ascontiguousarray(picture[rows[:, None], columns])


def closed(matte: Matte, person: Matte, box: Box, unit_px: float) -> Matte:
    """The matte `continued` in a box. A head that a border cuts near its top does not widen again beyond it.

    Where its outline bends towards the border on both sides of the cut, a parabola goes on beyond; where it comes to
    the border on one side only, for shoulders take up the other, a line.

    Args: person: (h, w) without the rim of background that the matte may have.
    """
    kept, width = continued(matte, box), matte.shape[1]
    x, y = np.meshgrid(np.arange(box[0], box[2]), np.arange(box[1], box[3]))
    here = person > 0.5
    # Top, left, right: each as if it were the upper one, how far from it pixels are, and where along it.
    for seen, away, along in ((here, y, x), (here.T, x, y), (here.T[::-1], width - 1 - x, y)):
        if (away < 0).any() and (outline := _outline_beyond(seen, unit_px)) is not None:
            soft_px = max(1.0, _SOFT_UNITS * unit_px)
            edge = np.minimum(outline, soft_px)[along.clip(0, len(outline) - 1)]
            most = smoothstep(1 + (away - edge) / soft_px)
            kept = np.where(away < 0, np.minimum(kept, most), kept)
    return np.asarray(kept, np.float32)


def _outline_beyond(person: NDArray[np.bool_], unit_px: float) -> NDArray[np.float64] | None:
    """How far down, below 0, the person begins above the upper border, (w,); None if the outline does not close."""
    reach_px = int(_BESIDE_UNITS * unit_px)
    first_row = np.where(person[:reach_px].any(0), person[:reach_px].argmax(0), reach_px)
    cut = np.flatnonzero(first_row == 0)
    if not len(cut):
        return None
    columns = np.arange(max(0, cut[0] - reach_px), min(len(first_row), cut[-1] + 1 + reach_px))
    columns = columns[(first_row[columns] > 0) & (first_row[columns] < reach_px)]
    before, after = columns[columns < cut[0]], columns[columns > cut[-1]]
    inside = first_row + _GENEROUS_UNITS * unit_px
    middle = (cut[0] + cut[-1]) / 2
    x = np.arange(len(first_row)) - middle
    if min(len(before), len(after)) >= _LEAST_POINTS:
        bend, slope, height = np.polyfit(columns - middle, inside[columns], 2)
        if bend <= 0:
            return None
    else:
        side, inwards = max((before, -1), (after, 1), key=lambda one: len(one[0]))
        if len(side) < _LEAST_POINTS:
            return None
        bend, (slope, height) = 0.0, np.polyfit(side - middle, inside[side], 1)
        if inwards * slope <= 0:
            return None
    return np.asarray(bend * x * x + slope * x + height, np.float64)
