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
from s2v.engine.compositor.lips import (
    DARKEST,
    FADE_IN,
    FULLY_LIT,
    LIGHT_REACH,
    LINE_STRENGTH,
    LINE_WIDTH,
    OPENING_MARGIN,
    edge_blur_px,
    line_blur_px,
    pen_px,
)
from s2v.engine.compositor.mouth.own_teeth import MATCHING
from s2v.engine.compositor.torch.layout import Layout, size_of, slices
from s2v.engine.face.geometry import UPPER_INNER_LIP

N_LIPS = len(UPPER_INNER_LIP)  # of one lip; both begin and end in the corners of the mouth
N_OUTLINE, N_LINE = 2 * N_LIPS - 2, N_LIPS - 1  # straight pieces around the opening, and along its middle
POINTS = 2 * N_LIPS + 2 * (N_OUTLINE + N_LINE)

HALF = 0.5  # of a level more is in all colours, so that cutting off what follows the point rounds them
_WIDE_UINT8, _WIDE_FLOAT = 3, 4  # standard deviations to each side that OpenCV gives a Gaussian, by the type of pixels


@dataclass(frozen=True)
class MouthTensors:
    """For `mouth`; n faces, a window of (h, w). A blur is a matrix from the left and one from the right."""

    columns: Tensor  # (n, 1, 1, w): pixels of the window
    rows: Tensor  # (n, 1, h, 1)
    gate_left: Tensor  # (n, h, h)
    gate_right: Tensor  # (n, w, w)
    light_left: Tensor  # and what share of full light, in levels, the open share of the surroundings lets in
    light_right: Tensor
    line_left: Tensor  # and how dark the line is; nothing for a photo whose lips touch
    line_right: Tensor
    patch_left: Tensor  # (n, 1, h, h) of the patch
    patch_right: Tensor  # (n, 1, w, w)
    gate_half_px: Tensor  # (n, 1, 1): half the width of the pen that widens the opening
    line_half_px: Tensor  # (n, 1, 1)
    gap_px: Tensor  # (n, 1): lips that far apart are open
    line_colour: Tensor  # (n, 3, 1, 1), and HALF
    half: Tensor  # (n, 1, 1, 1)
    teeth: Tensor  # (n, 4, h, w): BGR in full light in [0, 1], cover; (n, 4, 1, 1) if no face of the layout shows any
    least_match: Tensor  # (n, 1, 1, 1): how far paint beside teeth may be darkened ...
    most_match: Tensor  # (n, 1, 1, 1): ... or brightened to match; 1 where there are none


def mouth_tensors(tables: MouthTables, unit_px: float, layout: Layout) -> MouthTensors:
    """Those of one face, n = 1, in host memory. Args: unit_px: pixels of a face unit."""
    width, height = size_of(layout.mouth)
    patch_width, patch_height = layout.patch
    margin_px, line_px = unit_px * OPENING_MARGIN, unit_px * LINE_WIDTH
    blurs = [
        (edge_blur_px(margin_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101),
        (unit_px * LIGHT_REACH, _WIDE_FLOAT, cv2.BORDER_CONSTANT),
        (line_blur_px(line_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101),
    ]
    gate, light, line = ((blur_matrix(height, *blur), blur_matrix(width, *blur).T) for blur in blurs)
    patch_blur = (tables.blur_px, _WIDE_FLOAT, cv2.BORDER_REFLECT_101)
    levels = 255 * (1 - DARKEST) / FULLY_LIT
    strength, colour = (0.0, np.zeros(3)) if tables.line_colour is None else (LINE_STRENGTH, tables.line_colour)
    least_match, most_match = (1.0, 1.0) if tables.teeth is None else MATCHING
    return MouthTensors(
        columns=_one(np.arange(width).reshape(1, 1, -1)),
        rows=_one(np.arange(height).reshape(1, -1, 1)),
        gate_left=_one(gate[0]),
        gate_right=_one(gate[1]),
        light_left=_one(levels * light[0]),
        light_right=_one(light[1]),
        line_left=_one(strength * line[0]),
        line_right=_one(line[1]),
        patch_left=_one(blur_matrix(patch_height, *patch_blur)[None]),
        patch_right=_one(blur_matrix(patch_width, *patch_blur).T[None]),
        gate_half_px=_one(np.full((1, 1), pen_width_px(pen_px(2 * margin_px)) / 2)),
        line_half_px=_one(np.full((1, 1), pen_width_px(pen_px(line_px)) / 2)),
        gap_px=_one(np.full(1, FADE_IN * margin_px)),
        line_colour=_one(colour.reshape(3, 1, 1) + HALF),
        half=_one(np.full((1, 1, 1), HALF)),
        teeth=_one(_teeth(tables, layout)),
        least_match=_one(np.full((1, 1, 1), least_match)),
        most_match=_one(np.full((1, 1, 1), most_match)),
    )


def _lip_points() -> NDArray[np.float64]:
    """(POINTS, 2 * N_LIPS) from the inner lips, upper then lower, to: themselves, where straight pieces begin, end.

    The pieces go around the opening, then along the line in its middle.
    """
    upper, lower = np.split(np.eye(2 * N_LIPS), 2)
    around = np.concatenate([upper, lower[-2:0:-1]])
    middle = (upper + lower) / 2
    return np.concatenate([upper, lower, around, middle[:-1], np.roll(around, -1, axis=0), middle[1:]])


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


def _teeth(tables: MouthTables, layout: Layout) -> NDArray[np.float32]:
    if not layout.teeth:
        return np.zeros((4, 1, 1), np.float32)
    width, height = size_of(layout.mouth)
    whole = np.zeros((height, width, 4), np.float32)
    if tables.teeth is not None:
        whole[slices(tables.window, layout.mouth)] = tables.teeth / np.array([255, 255, 255, 1], np.float32)
    return whole.transpose(2, 0, 1)


def _one(values: NDArray[np.floating] | NDArray[np.int_]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]
