"""Rows of teeth, drawn: how bright each tooth is, where gums begin, and what neither of them covers.

A row is unrolled: s runs along the arch from the midline to the viewer's right, t from the incisal edge towards the
root, both in millimetres. Widths and heights: Wheeler's Dental Anatomy, chapters on the permanent teeth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Texture = NDArray[np.float32]  # (h, w, 3): light of teeth, light of gums, cover of both; lights are times cover

REACH_MM = 32.0  # of s to each side
BELOW_MM, ABOVE_MM = 2.0, 15.0  # of t around the incisal edge
PX_PER_MM = 500 / 92  # a face unit, about 92 mm, is 500 px


@dataclass(frozen=True)
class _Tooth:
    width_mm: float
    height_mm: float
    edge_mm: float  # how much shorter than its neighbours
    corner_mm: float  # how much further from the bite its corners are than its middle
    squareness: float  # exponent of its edge's curve: 1 is a point, 6 a flat edge with round corners


_UPPER = (
    _Tooth(8.4, 10.2, 0.0, 1.1, 6.0),
    _Tooth(6.5, 9.0, 0.7, 1.1, 4.0),
    _Tooth(7.4, 9.8, 0.1, 1.9, 1.7),
    _Tooth(7.0, 8.4, 0.6, 1.5, 1.8),
    _Tooth(6.8, 7.6, 0.9, 1.2, 2.0),
    _Tooth(10.0, 7.0, 1.2, 0.9, 3.0),
)
_LOWER = (
    _Tooth(5.3, 8.8, 0.2, 0.6, 7.0),
    _Tooth(5.9, 9.0, 0.2, 0.7, 6.0),
    _Tooth(6.8, 10.0, 0.0, 1.5, 1.8),
    _Tooth(7.0, 8.4, 0.6, 1.3, 1.9),
    _Tooth(7.1, 7.8, 1.0, 1.0, 2.2),
    _Tooth(11.0, 7.2, 1.3, 0.8, 3.0),
)
_GAP_LIGHT, _GAP_MM = 0.84, 0.35  # between two teeth: how bright the line is, and its standard deviation
_ROUNDING = 0.08  # of its light a tooth loses towards its sides
_NECK_LIGHT, _EDGE_LIGHT, _TRANSLUCENT_MM = 0.90, 0.94, 1.2
_SCALLOP, _SCALLOP_POWER = 0.38, 2.2  # the gum comes down by that share of a tooth's height between it and the next
_GUM_LIGHT = 0.8


def upper_row(seed: int) -> Texture:
    """One person's upper teeth."""
    return _row(_UPPER, np.random.default_rng([seed, 0]), uneven_mm=0.22)


def lower_row(seed: int) -> Texture:
    """One person's lower teeth: they stand less evenly."""
    return _row(_LOWER, np.random.default_rng([seed, 1]), uneven_mm=0.32)


def _row(teeth: tuple[_Tooth, ...], random: np.random.Generator, uneven_mm: float) -> Texture:
    s = np.arange(-REACH_MM, REACH_MM, 1 / PX_PER_MM)
    t = np.arange(-BELOW_MM, ABOVE_MM, 1 / PX_PER_MM)[:, None]
    size = random.normal(1, 0.035)  # of all of a person's teeth
    tooth_light, gum_light = np.zeros((2, len(t), len(s)))
    for side in (-1, 1):
        begin = 0.0
        for tooth in teeth:
            width = tooth.width_mm * size * random.normal(1, 0.02)
            x = (side * s - begin) / width * 2 - 1  # -1 at the side towards the midline, 1 at the other
            begin += width
            edge = max(0.0, tooth.edge_mm + random.normal(0, uneven_mm)) + random.normal(0, 0.15) * x
            bright = random.normal(1, 0.02) * (1 + random.normal(0, 0.02) * x)
            height = tooth.height_mm * size * random.normal(1, 0.03)
            here = (x >= -1) & (x < 1)
            covered, light = _one(tooth, np.clip(x, -1, 1), t - edge, height, width)
            gum = np.clip((t - edge - height * (1 - _SCALLOP * np.abs(x) ** _SCALLOP_POWER)) * PX_PER_MM + 0.5, 0, 1)
            tooth_light[:, here] = (covered * light * bright * (1 - gum))[:, here]
            gum_light[:, here] = (_GUM_LIGHT * gum)[:, here]
            if begin > REACH_MM:
                break
    cover = np.clip(np.maximum(tooth_light / 0.5, 0), 0, 1)  # a tooth is brighter than half everywhere
    cover = np.maximum(cover, gum_light / _GUM_LIGHT)
    return np.stack([tooth_light, gum_light, cover], axis=2).astype(np.float32)


def _one(
    tooth: _Tooth, x: NDArray[np.float64], t: NDArray[np.float64], height: float, width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cover and light of one tooth without its gum. Args: x: (w,) in [-1, 1]. t: (h, w) mm from its edge."""
    outline = tooth.corner_mm * np.abs(x) ** tooth.squareness
    covered = np.clip((t - outline) * PX_PER_MM + 0.5, 0, 1)
    aside = (1 - np.abs(x)) * width / 2
    light = 1 - _ROUNDING * np.abs(x) ** 3 - (1 - _GAP_LIGHT) * np.exp(-0.5 * (aside / _GAP_MM) ** 2)
    down = np.clip(t / height, 0, 1)
    light = (
        light
        * (1 - (1 - _NECK_LIGHT) * down**2)
        * (1 - (1 - _EDGE_LIGHT) * np.exp(-np.maximum(t, 0) / _TRANSLUCENT_MM))
    )
    return covered, light
