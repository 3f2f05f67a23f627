"""The tongue, and the lower lip under the upper teeth: soft shapes in the face plane, one formula each.

Each function returns how much light the shape throws back and how far it covers what is behind it, (h, w) float32.
u counts from the middle of the teeth; v goes down; both in face units.
"""

from __future__ import annotations

import numpy as np

from s2v.engine.compositor.maps import smoothstep
from s2v.engine.compositor.mouth.opening import Plane

_OVER_TEETH, _HEIGHT = 0.030, 0.075  # the body's top above the lower teeth: of a low tongue, and how much a high one adds
_MOUND, _MOUND_FROM = 0.5, 0.06  # an open jaw leaves the tongue behind: by that share of what the jaw moves further
_BODY_BEND, _TIP_BEND, _BETWEEN_BEND = 0.9, 5.0, 2.2  # how fast it falls off to the sides, per face unit
_BODY_SOFT, _TIP_SOFT, _LIP_SOFT = 0.035, 0.014, 0.010  # face units over which an edge comes in
_ROUND = 0.06  # face units below its edge where a rounded surface faces the light
_EDGE_LIGHT, _BACK_LIGHT = 0.62, 0.72  # at the edge of the body; of a tongue far back
_TIP_UNDER = 0.10  # face units down the tip: its underside is in its own shade
_BETWEEN_FROM, _BETWEEN_OVER = 1.45, 0.35  # tip + front: where the tip begins to come between the teeth; and how fast
_LIP_BEND = 0.5  # the tucked lip follows the upper teeth's edge


def tongue_body(u: Plane, v: Plane, lower_v: float, jaw: float, height: float, front: float) -> tuple[Plane, Plane]:
    """The back of the tongue behind the lower teeth, whose edge is at `lower_v`. Args: jaw: how far it is open."""
    top = lower_v - (_OVER_TEETH + _HEIGHT * height) - _MOUND * max(0.0, jaw - _MOUND_FROM)
    below = v - np.float32(top) - np.float32(_BODY_BEND) * u * u
    light = np.float32(_EDGE_LIGHT) + np.float32(1 - _EDGE_LIGHT) * smoothstep(below * np.float32(1 / _ROUND))
    light *= np.float32(_BACK_LIGHT + (1 - _BACK_LIGHT) * front)
    return light, smoothstep(below * np.float32(1 / _BODY_SOFT))


def tongue_tip(u: Plane, v: Plane, lower_v: float, upper_v: float, tip: float, front: float) -> tuple[Plane, Plane]:
    """The tip, raised from behind the lower teeth to behind the upper ones."""
    low, high = lower_v - 0.5 * _OVER_TEETH, upper_v - _TIP_SOFT
    top = low + (min(high, low) - low) * tip
    below = v - np.float32(top) - np.float32(_TIP_BEND) * u * u
    light = np.float32(1.04) - np.float32(0.30) * smoothstep(below * np.float32(1 / _TIP_UNDER))
    return light, smoothstep(below * np.float32(1 / _TIP_SOFT)) * np.float32(smoothstep(3 * tip))


def tongue_between(
    u: Plane, v: Plane, lower_v: float, upper_v: float, tip: float, front: float
) -> tuple[Plane, Plane]:
    """The tip between the teeth, over the lower ones and under the upper ones."""
    out = smoothstep((tip + front - _BETWEEN_FROM) / _BETWEEN_OVER)
    top, bottom = upper_v - _TIP_SOFT, max(lower_v, upper_v) + 0.014
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    inside = np.float32(half) - np.abs(v - np.float32(middle)) - np.float32(_BETWEEN_BEND) * u * u
    light = np.float32(0.80) + np.float32(0.28) * smoothstep(inside * np.float32(2 / max(half, 1e-3)))
    return light, smoothstep(inside * np.float32(1 / _TIP_SOFT)) * np.float32(out)


def lip_tucked(u: Plane, v: Plane, upper_v: float, tuck: float) -> tuple[Plane, Plane]:
    """The lower lip's inner side, on which the upper teeth's edge rests."""
    below = v - np.float32(upper_v) + np.float32(_LIP_BEND) * u * u
    light = np.float32(0.72) + np.float32(0.28) * smoothstep(below * np.float32(1 / _ROUND))
    return light, smoothstep(below * np.float32(1 / _LIP_SOFT)) * np.float32(tuck)
