"""What painting one face's mouth on a device needs and no frame changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor import lips as lip_rules
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.teeth import _MATCHING
from s2v.engine.compositor.torch.layout import Layout, place, size_of
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import UPPER_INNER_LIP
from s2v.spec import LipSyncSpec

N_LIPS = len(UPPER_INNER_LIP)  # of one lip; both begin and end in the corners of the mouth
N_OUTLINE, N_LINE = 2 * N_LIPS - 2, N_LIPS - 1  # straight pieces around the opening, and along its middle
POINTS = 2 * N_LIPS + 2 * (N_OUTLINE + N_LINE)

HALF = 0.5  # of a level more is in all colours, so that cutting off what follows the point rounds them
_WIDE_UINT8, _WIDE_FLOAT = 3, 4  # standard deviations to each side that OpenCV gives a Gaussian, by the type of pixels


@dataclass(frozen=True)
class MouthTables:
    """For `paint`; n faces, a window of (h, w). A blur is a matrix from the left and one from the right."""

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


def mouth_tables(compositor: MotionCompositor, face: EnrolledFace, spec: LipSyncSpec, layout: Layout) -> MouthTables:
    """Those of one face, n = 1, in host memory."""
    unit_px, (width, height) = face.pose.unit_px, size_of(layout.mouth)
    margin_px, line_px = unit_px * lip_rules.OPENING_MARGIN, unit_px * lip_rules._LINE_WIDTH
    blurs = [
        (max(0.5, margin_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101),
        (unit_px * lip_rules.LIGHT_REACH, _WIDE_FLOAT, cv2.BORDER_CONSTANT),
        (max(0.6, 0.5 * line_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101),
    ]
    gate, light, line_blur = ((blur_matrix(height, *blur), blur_matrix(width, *blur).T) for blur in blurs)
    patch_sigma = compositor._blur if layout.soft_patch else 0.0
    patch_blur = (patch_sigma, _WIDE_FLOAT, cv2.BORDER_REFLECT_101)
    line, teeth = compositor._lip_line, compositor._own_teeth
    levels = 255 * (1 - lip_rules.DARKEST) / lip_rules.FULLY_LIT
    strength = lip_rules._LINE_STRENGTH if line._parted else 0.0
    matching = _MATCHING if teeth.any else (1.0, 1.0)
    return MouthTables(
        _one(np.arange(width).reshape(1, 1, -1)),
        _one(np.arange(height).reshape(1, -1, 1)),
        *(
            _one(gate[0]),
            _one(gate[1]),
            _one(levels * light[0]),
            _one(light[1]),
            _one(strength * line_blur[0]),
            _one(line_blur[1]),
        ),
        _one(blur_matrix(spec.mouth_h_px, *patch_blur)[None]),
        _one(blur_matrix(spec.mouth_w_px, *patch_blur).T[None]),
        _one(np.full((1, 1), pen_width_px(max(1, round(2 * margin_px))) / 2)),
        _one(np.full((1, 1), pen_width_px(max(1, round(line_px))) / 2)),
        _one(np.full(1, lip_rules._FADE_IN * margin_px)),
        _one(line._colour.reshape(3, 1, 1) + HALF),
        _one(np.full((1, 1, 1), HALF)),
        _one(_teeth(compositor, layout)),
        _one(np.full((1, 1, 1), matching[0])),
        _one(np.full((1, 1, 1), matching[1])),
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


def _teeth(compositor: MotionCompositor, layout: Layout) -> NDArray[np.float32]:
    if not layout.teeth:
        return np.zeros((4, 1, 1), np.float32)
    width, height = size_of(layout.mouth)
    whole = np.zeros((height, width, 4), np.float32)
    if compositor._own_teeth.any:
        own = compositor._own_teeth._teeth / np.array([255, 255, 255, 1], np.float32)
        whole[place(Layout.mouth_of(compositor), layout.mouth)] = own
    return whole.transpose(2, 0, 1)


def _one(values: NDArray[np.floating] | NDArray[np.int_]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]
