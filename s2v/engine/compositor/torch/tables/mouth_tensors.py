"""The tables of a face's mouth on a device, laid out for torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.compositor.lips import LINE_STRENGTH, LINE_WIDTH, line_blur_px, pen_px
from s2v.engine.compositor.mouth import tongue as shapes
from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE, InteriorTables
from s2v.engine.compositor.mouth.opening import (
    FADE_IN,
    MARGIN,
    REACH,
    SHADOW_LENGTH,
    WIDE,
    edge_blur_px,
)
from s2v.engine.compositor.mouth.teeth_texture import Texture
from s2v.engine.compositor.torch.tables.arrays import HALF, of_one, unit_step
from s2v.engine.compositor.torch.tables.layout import Layout, is_empty, size_of
from s2v.engine.compositor.torch.tables.warp_tensors import N_LIPS
from s2v.spec import TRACT_VARIABLES

_WIDE_UINT8, _WIDE_FLOAT = 3, 4  # standard deviations to each side that OpenCV gives a Gaussian, by the type of pixels
_EDGE_ENTRIES = 512  # of the tables of the lips' edges


# What the rows of teeth and the soft shapes need of a frame that is a sum of motions and tract variables: how the lower
# row moves in [-1, 1] of it; v of the lower teeth's edge, of the tongue's top and of its tip when that is down; by how
# much a wide jaw leaves the tongue behind, if that is more than 0; how far the tip is raised, and comes out between the
# teeth, before `smoothstep`; light of a tongue so far in front.
NUMBERS = ("jaw_x", "jaw_y", "lower_v", "body_v", "left_behind", "tip_low_v", "up", "out", "front_light")


@dataclass(frozen=True)
class MouthTensors:
    """For `lips`; n faces, a window of (h, w). A blur is a matrix from the left and one from the right."""

    corner_px: Tensor  # (n, 1, 2): the window's first pixel on the photo
    columns: Tensor  # (n, 1, 1, w): pixels of the window
    rows: Tensor  # (n, 1, h, 1)
    line_left: Tensor  # (n, h, h), and how dark the line is; nothing for a photo whose lips touch
    line_right: Tensor  # (n, w, w)
    line_half_px: Tensor  # (n, 1, 1)
    line_colour: Tensor  # (n, 3, 1, 1), and HALF
    gap_px: Tensor  # (n, 1, 1): lips that far apart are open; infinite where nothing may be drawn between them
    wide_px: Tensor  # (n, 1, 1): lips that far apart are no slit
    margin_px: Tensor  # (n, 1, 1): how far the opening reaches beyond the corners of the mouth ...
    widening: Tensor  # (n, 2, N_LIPS, 2): ... and what it adds to each point of the lips: outwards, down, in pixels
    edge_left: Tensor  # (n, h, h): the soft edge of the lips
    edge_right: Tensor  # (n, w, w)
    far_left: Tensor  # (n, h, h): what is open around a pixel
    far_right: Tensor  # (n, w, w)
    places: Tensor  # (n, h, w, 2): pixels of the window in [-1, 1]
    shadow: Tensor  # (n, 1, 1, 2): length of the upper lip's shadow along x and y, as places have it
    entries: Tensor  # (n, 1, 1, entries) in [0, 1]: of the tables of the lips' edges, corner to corner


@dataclass(frozen=True)
class InteriorTensors:
    """For `interior`; n faces, rows of teeth of (rh, rw), soft shapes on the grid of `s2v...mouth.tongue` (gh, gw)."""

    upper: Tensor  # (n, 3, rh, rw): light of teeth, of gums, each times cover, and cover
    lower: Tensor
    numbers: Tensor  # (n, m + 5, len(NUMBERS)): what each motion, the one behind them, and each tract variable adds
    colours: Tensor  # (n, 3, 4): BGR in [0, 255] of teeth, flesh, cavity, lip
    inner_lip: Tensor  # (n, 3, 1, 1): BGR in [0, 255] of the lower lip's wet inner side
    exponents: Tensor  # (n, 3, 1, 1): light to that power is the light of B, G, R
    half: Tensor  # (n, 1, 1, 1): HALF
    # Of the four soft shapes (body and tip of the tongue, tongue between the teeth, tucked lip):
    below: Tensor  # (n, 4, gh, gw): how far each pixel is below an edge at 0 (of the third: its upper one)
    above: Tensor  # (n, gh, gw): the same of the third one's lower edge, if that is at the upper one
    soft: Tensor  # (n, 4, 1, 1): 1 over the way over which an edge comes in
    round_off: Tensor  # (n, 4): 1 over the way below it that is rounded; the third's depends on its depth
    least_light: Tensor  # (n, 4, 1, 1): at the edge
    more_light: Tensor  # (n, 4, 1, 1): where it faces the light
    across: Tensor  # (n, 4, 1, gw): light across: of the tongue's body, of its wet shine, of the cheeks, of the tip
    shade: Tensor  # (n, gh, gw): light that the upper teeth leave


def mouth_tensors(tables: FaceTables, layout: Layout) -> MouthTensors:
    """Those of one face, n = 1, in host memory."""
    interior, unit_px = tables.interior, tables.unit_px
    width, height = size_of(layout.mouth)
    line_px, margin_px = unit_px * LINE_WIDTH, unit_px * MARGIN
    blurs = [
        (line_blur_px(line_px), _WIDE_UINT8, cv2.BORDER_REFLECT_101),
        (edge_blur_px(unit_px, interior.blur_px), _WIDE_FLOAT, cv2.BORDER_CONSTANT),
        (unit_px * REACH, _WIDE_FLOAT, cv2.BORDER_CONSTANT),
    ]
    line, edge, far = ((blur_matrix(height, *blur), blur_matrix(width, *blur).T) for blur in blurs)
    no_mouth = is_empty(interior.window)
    strength = 0.0 if no_mouth or tables.line_colour is None else LINE_STRENGTH
    colour = np.zeros(3, np.float32) if tables.line_colour is None else tables.line_colour
    widening = np.zeros((2, N_LIPS, 2))
    widening[:, 0, 0], widening[:, -1, 0] = -margin_px, margin_px
    widening[0, 1:-1, 1], widening[1, 1:-1, 1] = -margin_px, margin_px
    across, down = (np.linspace(-1, 1, n) for n in (width, height))
    return MouthTensors(
        corner_px=of_one(np.array([layout.mouth[:2]])),
        columns=of_one(np.arange(width).reshape(1, 1, -1)),
        rows=of_one(np.arange(height).reshape(1, -1, 1)),
        line_left=of_one(strength * line[0]),
        line_right=of_one(line[1]),
        line_half_px=_number(pen_width_px(pen_px(line_px)) / 2),
        line_colour=of_one(colour.reshape(3, 1, 1) + HALF),
        gap_px=_number(np.inf if no_mouth else FADE_IN * margin_px),
        wide_px=_number(WIDE * unit_px),
        margin_px=_number(margin_px),
        widening=of_one(widening),
        edge_left=of_one(edge[0]),
        edge_right=of_one(edge[1]),
        far_left=of_one(far[0]),
        far_right=of_one(far[1]),
        places=of_one(np.stack(np.meshgrid(across, down), -1)),
        shadow=of_one(SHADOW_LENGTH * unit_px * 2 / np.maximum([width - 1, height - 1], 1).reshape(1, 1, 2)),
        entries=of_one(np.linspace(0, 1, _EDGE_ENTRIES).reshape(1, 1, -1)),
    )


def interior_tensors(tables: InteriorTables, n_motion: int, layout: Layout) -> InteriorTensors:
    """Those of one face, n = 1, in host memory."""
    u, v = shapes.GRID_U, shapes.GRID_V
    bends = np.array([shapes.BODY_BEND, shapes.TIP_BEND, shapes.BETWEEN_BEND, -shapes.LIP_BEND])[:, None, None]
    tops = np.array([0, 0, -shapes.TIP_SOFT, 0])[:, None, None]
    soft = np.array([shapes.BODY_SOFT, shapes.TIP_SOFT, shapes.TIP_SOFT, shapes.LIP_SOFT])
    rounded = np.array([shapes.ROUND, shapes.TIP_UNDER, np.inf, shapes.ROUND])
    least = np.array([shapes.EDGE_LIGHT, shapes.TIP_LIGHT, shapes.BETWEEN_EDGE, shapes.LIP_EDGE])
    more = np.array([1 - shapes.EDGE_LIGHT, -shapes.TIP_DARKER, shapes.BETWEEN_LIGHT, 1 - shapes.LIP_EDGE])
    return InteriorTensors(
        upper=of_one(_row(tables.upper, layout)),
        lower=of_one(_row(tables.lower, layout)),
        numbers=of_one(_numbers(tables, n_motion, layout)),
        colours=of_one(tables.colours),
        inner_lip=of_one(tables.inner_lip.reshape(3, 1, 1)),
        exponents=of_one(tables.shade_exponents.reshape(3, 1, 1)),
        half=of_one(np.full((1, 1, 1), HALF)),
        below=of_one(v - bends * u**2 - tops),
        above=of_one(-v - shapes.BETWEEN_BEND * u**2 - shapes.TIP_SOFT),
        soft=of_one(1 / soft[:, None, None]),
        round_off=of_one(1 / rounded),
        least_light=of_one(least[:, None, None]),
        more_light=of_one(more[:, None, None]),
        across=of_one(np.stack(shapes.ACROSS)),
        shade=of_one(shapes.SHADE),
    )


def _numbers(tables: InteriorTables, n_motion: int, layout: Layout) -> NDArray[np.float64]:
    """(n_motion + 1 + 5, len(NUMBERS)), of `InteriorTensors`."""
    window_to_row = np.linalg.inv(tables.row_to_window[:, :2])
    plane_to_row = unit_step(layout.row)[:, None] * window_to_row @ tables.plane_to_window[:, :2]
    jaw = JAW_SHARE * tables.chin_moves @ plane_to_row.T
    zero = np.zeros(n_motion + 1 + len(TRACT_VARIABLES))
    one = zero.copy()
    one[n_motion] = 1
    chin = zero.copy()
    chin[:n_motion] = tables.chin_moves[:, 1]
    height, front, tip, _, dental = np.eye(len(zero))[n_motion + 1 :]
    lower_v = tables.lower_v * one + JAW_SHARE * chin
    numbers = {
        "jaw_x": np.append(jaw[:, 0], zero[n_motion:]),
        "jaw_y": np.append(jaw[:, 1], zero[n_motion:]),
        "lower_v": lower_v,
        "body_v": lower_v - shapes.OVER_TEETH * one - shapes.HEIGHT * height,
        "left_behind": shapes.MOUND * (chin - shapes.MOUND_FROM * one),
        "tip_low_v": lower_v - 0.5 * shapes.OVER_TEETH * one,
        "up": (tip - shapes.TIP_FROM * one) / shapes.TIP_OVER,
        "out": (dental - shapes.BETWEEN_FROM * one) / shapes.BETWEEN_OVER,
        "front_light": shapes.BACK_LIGHT * one + (1 - shapes.BACK_LIGHT) * front,
    }
    return np.stack([numbers[name] for name in NUMBERS], axis=1)


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


def _row(row: Texture, layout: Layout) -> NDArray[np.float32]:
    """(3, rh, rw), as far as cover goes: beyond it a look-up finds nothing, not even cover."""
    width, height = layout.row
    whole = np.zeros((height, width, 3), np.float32)
    whole[: row.shape[0], : row.shape[1]] = row
    whole[: row.shape[0], : row.shape[1], 2] = 1 - row[..., 2]
    return whole.transpose(2, 0, 1)


def _number(value: float) -> Tensor:
    return torch.full((1, 1, 1), float(value))
