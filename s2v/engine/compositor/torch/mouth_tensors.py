"""The tables of a face's mouth on a device, laid out for torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import MouthTables
from s2v.engine.compositor.lips import FADE_IN, LINE_STRENGTH, LINE_WIDTH, OPENING_MARGIN, line_blur_px, pen_px
from s2v.engine.compositor.torch.layout import Layout, size_of
from s2v.engine.face.geometry import UPPER_INNER_LIP

N_LIPS = len(UPPER_INNER_LIP)  # of one lip; both begin and end in the corners of the mouth
N_LINE = N_LIPS - 1  # straight pieces along the middle of the opening
POINTS = 2 * N_LIPS + 2 * N_LINE

HALF = 0.5  # of a level more is in all colours, so that cutting off what follows the point rounds them
_WIDE_UINT8 = 3  # standard deviations to each side that OpenCV gives a Gaussian of bytes


@dataclass(frozen=True)
class MouthTensors:
    """For `mouth`; n faces, a window of (h, w). A blur is a matrix from the left and one from the right."""

    columns: Tensor  # (n, 1, 1, w): pixels of the window
    rows: Tensor  # (n, 1, h, 1)
    line_left: Tensor  # (n, h, h), and how dark the line is; nothing for a photo whose lips touch
    line_right: Tensor  # (n, w, w)
    line_half_px: Tensor  # (n, 1, 1)
    gap_px: Tensor  # (n, 1): lips that far apart are open
    line_colour: Tensor  # (n, 3, 1, 1), and HALF


def mouth_tensors(tables: MouthTables, unit_px: float, layout: Layout) -> MouthTensors:
    """Those of one face, n = 1, in host memory. Args: unit_px: pixels of a face unit."""
    width, height = size_of(layout.mouth)
    line_px = unit_px * LINE_WIDTH
    left, right = (blur_matrix(n, line_blur_px(line_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101) for n in (height, width))
    strength, colour = (0.0, np.zeros(3)) if tables.line_colour is None else (LINE_STRENGTH, tables.line_colour)
    return MouthTensors(
        columns=_one(np.arange(width).reshape(1, 1, -1)),
        rows=_one(np.arange(height).reshape(1, -1, 1)),
        line_left=_one(strength * left),
        line_right=_one(right.T),
        line_half_px=_one(np.full((1, 1), pen_width_px(pen_px(line_px)) / 2)),
        gap_px=_one(np.full(1, FADE_IN * unit_px * OPENING_MARGIN)),
        line_colour=_one(colour.reshape(3, 1, 1) + HALF),
    )


def _lip_points() -> NDArray[np.float64]:
    """(POINTS, 2 * N_LIPS) from the inner lips, upper then lower, to: themselves, where the line's straight pieces
    begin, where they end."""
    upper, lower = np.split(np.eye(2 * N_LIPS), 2)
    middle = (upper + lower) / 2
    return np.concatenate([upper, lower, middle[:-1], middle[1:]])


LIP_POINTS = _lip_points()


def blur_matrix(n: int, sigma_px: float, reach: int, border: int) -> NDArray[np.float32]:
    """(n, n): what cv2.GaussianBlur does to a column of n pixels, its border included; nothing for a sigma of 0."""
    unit = np.eye(n, dtype=np.float32)
    if sigma_px <= 0 or n < 2:
        return unit
    taps = round(2 * reach * sigma_px + 1) | 1
    return np.asarray(cv2.GaussianBlur(unit, (1, taps), sigma_px, borderType=border), np.float32)


@cache
def pen_width_px(thickness: int) -> float:
    """How wide a smooth line of a thickness really is that OpenCV draws: measured, for it is wider than asked for."""
    side = 4 * thickness + 64
    mask = np.zeros((side, side), np.uint8)
    rise = side // 8
    ends = np.array([[-side, side // 2 - 3 * rise // 2], [2 * side, side // 2 + 3 * rise // 2]])
    cv2.polylines(mask, [ends * 16], False, 255, thickness, cv2.LINE_AA, 4)
    return float(mask.sum() / 255 / side / np.hypot(1, rise / side))


def _one(values: NDArray[np.floating] | NDArray[np.int_]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]
