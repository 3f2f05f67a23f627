"""Where the face goes when the corners of the mouth go up and out, or down: a little smile or its opposite."""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import MOUTH_CORNERS, OUTER_LIPS, Points, curve_heights

_WAY = (0.50, -0.85, 0.15)  # outwards, down, back: where the zygomatic muscles pull; nearly of length one
_BESIDE = 0.16  # face units beyond a corner over which the skin follows
_ABOVE, _BELOW = 0.24, 0.12  # face units from the lips: up to the fold beside the nose, down to the chin


def corners_displacement(canonical: Points) -> Points:
    """(468, 3) face units for corners that go by one.

    Lips bend: from nothing in their middle, as the square of the way to the corner. What lies above each other between
    the lips goes the same way, so that closed lips stay closed and an opening stays as high as it was.

    Args:
        canonical: (468, 3) the photo's landmarks in face units.
    """
    x, y = canonical[:, 0], canonical[:, 1]
    left, right = (float(canonical[corner, 0]) for corner in MOUTH_CORNERS)
    middle, half = (left + right) / 2, max((right - left) / 2, 1e-6)
    half_row = len(OUTER_LIPS) // 2
    upper = canonical[list(OUTER_LIPS[: half_row + 1])]
    lower = canonical[[OUTER_LIPS[0], *OUTER_LIPS[:half_row:-1], OUTER_LIPS[half_row]]]
    above = curve_heights(upper, x) - y
    below = y - curve_heights(lower, x)
    aside = np.maximum(np.abs(x - middle) - half, 0)
    share = np.minimum(np.abs(x - middle) / half, 1) ** 2
    share *= np.exp(-((aside / _BESIDE) ** 2))
    share *= np.exp(-((np.maximum(above, 0) / _ABOVE) ** 2) - (np.maximum(below, 0) / _BELOW) ** 2)
    side = np.sign(x - middle)
    return np.stack([_WAY[0] * side * share, _WAY[1] * share, _WAY[2] * share], -1)
