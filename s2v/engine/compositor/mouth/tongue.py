"""The tongue, what the upper teeth shade, and the lower lip under them: soft shapes, drawn coarsely, a formula each.

Each shape is how much light it throws back and how far it covers what is behind it. They are drawn on one grid for all
faces, in face units from the middle of the upper teeth's edge: u to the viewer's right, v down.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.maps import smoothstep

Plane = NDArray[np.float32]  # (h, w)

GRID_PX = 100.0  # of a face unit
GRID_LEFT, GRID_TOP = -0.34, -0.14  # where the grid begins; beyond its edges the last row or column goes on
GRID_SIZE = (68, 50)  # width, height
GRID_U = (GRID_LEFT + (np.arange(GRID_SIZE[0], dtype=np.float32) + 0.5) / GRID_PX)[None].astype(np.float32)
GRID_V = (GRID_TOP + (np.arange(GRID_SIZE[1], dtype=np.float32) + 0.5) / GRID_PX)[:, None].astype(np.float32)
_U2 = GRID_U * GRID_U

OVER_TEETH, HEIGHT = 0.018, 0.066  # the body's top above the lower teeth: of a low tongue; how much a high one adds
MOUND, MOUND_FROM = 0.36, 0.05  # an open jaw leaves the tongue behind: by that share of what the chin moves further
BODY_BEND, TIP_BEND, BETWEEN_BEND = 1.6, 5.0, 1.3  # how fast it falls off to the sides, per face unit
BODY_SOFT, TIP_SOFT, LIP_SOFT = 0.035, 0.016, 0.012  # face units over which an edge comes in
TIP_FROM, TIP_OVER = 0.3, 0.3  # of the tip variable: where a raised tip begins to be seen; and how fast it comes
ROUND = 0.06  # face units below its edge where a rounded surface faces the light
EDGE_LIGHT, BACK_LIGHT = 0.30, 0.72  # at the edge of the body, that is far back; of a tongue far back
GROOVE, GROOVE_HALF = 0.10, 0.045  # light lost along the middle of the body; face units to its side
ROUNDED, ROUNDED_FROM, ROUNDED_OVER = 0.55, 0.03, 0.17  # light that the body loses to its sides; face units
WET, WET_AT, WET_HALF = 0.20, 0.038, 0.018  # a wet shine on either side of the groove; face units below the edge
WET_ASIDE, WET_WIDE = 0.050, 0.032  # face units to the side of the middle; half its width
CHEEK, CHEEK_FROM, CHEEK_OVER = 0.14, 0.08, 0.14  # flesh that the cavity shows at its sides: the cheeks; face units
TIP_ROUNDED, TIP_SIDES, TIP_LINE, TIP_LINE_HALF = 0.30, 0.12, 0.10, 0.014  # the same of the tip: sides, midline
TIP_LIGHT, TIP_DARKER, TIP_UNDER = 1.10, 0.34, 0.10  # of the tip; its underside, that many face units further down
BETWEEN_FROM, BETWEEN_OVER = 0.5, 0.4  # of the dental variable: where the tip comes between the teeth; and how fast
BETWEEN_EDGE, BETWEEN_LIGHT = 0.80, 0.30  # of the tip between the teeth, and what its middle has more
BETWEEN_OUT = 0.014  # face units that it reaches over the lower teeth
SHADOW, SHADED = 0.32, 0.045  # light that the upper teeth keep off; face units below their edge
LIP_BEND, LIP_EDGE = 0.5, 0.72  # the tucked lip follows the upper teeth's edge; light at its edge


class Across(NamedTuple):
    """What does not change along the tongue, over `GRID_U`, (1, w) each."""

    body: Plane  # share of light
    wet: Plane  # light of the shine
    cheeks: Plane  # light
    tip: Plane  # share of light


def _across() -> Across:
    aside = np.abs(GRID_U)
    groove, line = (
        1 - deep * (1 - smoothstep(aside / half)) for deep, half in ((GROOVE, GROOVE_HALF), (TIP_LINE, TIP_LINE_HALF))
    )
    body = groove * (1 - ROUNDED * smoothstep((aside - ROUNDED_FROM) / ROUNDED_OVER))
    shine = WET * np.maximum(1 - np.abs(aside - WET_ASIDE) / WET_WIDE, 0)
    cheeks = CHEEK * smoothstep((aside - CHEEK_FROM) / CHEEK_OVER)
    tip = line * (1 - TIP_ROUNDED * smoothstep(aside / TIP_SIDES))
    return Across(*(plane.astype(np.float32) for plane in (body, shine, cheeks, tip)))


ACROSS = _across()
SHADE: Plane = np.repeat(1 - SHADOW + SHADOW * smoothstep(GRID_V / SHADED), GRID_SIZE[0], axis=1).astype(np.float32)


class Behind(NamedTuple):
    """What is behind the lower teeth, on the grid, (h, w) each in [0, 1]; the shade of the upper teeth is in it."""

    flesh: Plane  # light
    cavity: Plane  # light
    shade: Plane  # light that the upper teeth leave to what is behind them

    def merged(self) -> NDArray[np.float32]:
        """(h, w, 3)."""
        return np.asarray(cv2.merge(self), np.float32)


def behind_teeth(lower_v: float, chin: float, height: float, front: float, tip: float) -> Behind:
    """Cavity and tongue.

    Args:
        lower_v: of the lower teeth's edge, below the upper ones'. chin: how far it is moved down, face units.
        height, front, tip: of the tongue, of `TRACT_VARIABLES`.
    """
    top = lower_v - (OVER_TEETH + HEIGHT * height) - MOUND * max(0.0, chin - MOUND_FROM)
    below = GRID_V - np.float32(top) - np.float32(BODY_BEND) * _U2
    light = np.float32(EDGE_LIGHT) + np.float32(1 - EDGE_LIGHT) * smoothstep(below * np.float32(1 / ROUND))
    light *= np.float32(BACK_LIGHT + (1 - BACK_LIGHT) * front) * ACROSS.body
    light += ACROSS.wet * np.maximum(1 - np.abs(below - np.float32(WET_AT)) * np.float32(1 / WET_HALF), 0)
    cover = smoothstep(below * np.float32(1 / BODY_SOFT))
    bare = 1 - cover
    flesh, cavity = (light * cover + ACROSS.cheeks * bare) * SHADE, bare * (1 - ACROSS.cheeks) * SHADE
    if raised := smoothstep((tip - TIP_FROM) / TIP_OVER):
        low, high = lower_v - 0.5 * OVER_TEETH, -TIP_SOFT
        below = GRID_V - np.float32(low + (min(high, low) - low) * tip) - np.float32(TIP_BEND) * _U2
        light = np.float32(TIP_LIGHT) - np.float32(TIP_DARKER) * smoothstep(below * np.float32(1 / TIP_UNDER))
        light = light * ACROSS.tip
        cover = smoothstep(below * np.float32(1 / TIP_SOFT)) * np.float32(raised)
        flesh += (light - flesh) * cover
        cavity *= 1 - cover
    return Behind(flesh, cavity, SHADE)


def between(dental: float) -> float:
    """How far the tip is between the teeth, in [0, 1]. Args: dental: `tongue_dental` of `TRACT_VARIABLES`."""
    return float(smoothstep((dental - BETWEEN_FROM) / BETWEEN_OVER))


def tongue_between(lower_v: float, dental: float) -> NDArray[np.float32] | None:
    """The tip between the teeth, over the lower ones and under the upper ones: (h, w, 2) light times cover, cover.

    None where there is none. Args: lower_v: as of `behind_teeth`. dental: `tongue_dental` of `TRACT_VARIABLES`.
    """
    if not (out := between(dental)):
        return None
    top, bottom = -TIP_SOFT, max(lower_v, 0.0) + BETWEEN_OUT
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    inside = np.float32(half) - np.abs(GRID_V - np.float32(middle)) - np.float32(BETWEEN_BEND) * _U2
    light = np.float32(BETWEEN_EDGE) + np.float32(BETWEEN_LIGHT) * smoothstep(inside * np.float32(2 / half))
    return _layer(light * ACROSS.tip, smoothstep(inside * np.float32(1 / TIP_SOFT)) * np.float32(out))


def lip_tucked(tuck: float) -> NDArray[np.float32] | None:
    """The lower lip's inner side, on which the upper teeth's edge rests: (h, w, 2) light times cover, cover.

    None where the lip is not tucked. Args: tuck: `lip_to_teeth` of `TRACT_VARIABLES`.
    """
    if not tuck:
        return None
    below = GRID_V + np.float32(LIP_BEND) * _U2
    light = np.float32(LIP_EDGE) + np.float32(1 - LIP_EDGE) * smoothstep(below * np.float32(1 / ROUND))
    return _layer(light, smoothstep(below * np.float32(1 / LIP_SOFT)) * np.float32(tuck))


def _layer(light: Plane, cover: Plane) -> NDArray[np.float32]:
    return np.asarray(cv2.merge([light * cover, cover]), np.float32)
