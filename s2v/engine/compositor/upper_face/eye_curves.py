"""What depends on the place along an eye alone, read from tables: a fraction of the time of working it out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.lids import curve_at
from s2v.engine.face.maps import Map, smoothstep

LEAST_OPENING = 1e-3  # eye widths: what an opening's height counts as at least
_OVERLAP = 0.16  # a quarter of it, in eye widths: shut lids overlap in the middle, or a line of white stays
_CORNER = 0.3  # of the eye's width from a corner: from there on the eyeball turns freely
_ENTRIES = 1 << 14  # the nearest one is less than 0.005 pixels of a lid's edge away


def gaze_freedom(s: NDArray[np.floating]) -> NDArray[np.floating]:
    """How freely the eyeball turns at s, 0 in the corners to 1."""
    from_corner: NDArray[np.floating] = np.minimum(s, 1 - s) / _CORNER
    return smoothstep(from_corner)


def lids_overlap(s: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far a shut upper lid goes beyond the lower one at s, in eye widths."""
    return curve_at((0.0, _OVERLAP), s)


class EyeCurves:
    """Tables over s of one eye; beyond its corners as in them. To be read at `entries`."""

    def __init__(self, eye: EyeTables) -> None:
        s = np.linspace(0, 1, _ENTRIES + 1)
        upper, lower = curve_at(eye.upper, s), curve_at(eye.lower, s)
        self.upper, self.opening, self.free, self.overlap = (
            np.asarray(curve, np.float32) for curve in (upper, lower - upper, gaze_freedom(s), lids_overlap(s))
        )
        self.highest, self.lowest = float(upper.min()), float(lower.max())  # t of the lids' edges


def entries(s: Map) -> NDArray[np.intp]:
    """Where s is in the tables of `EyeCurves`."""
    at = s * np.float32(_ENTRIES)
    at += np.float32(0.5)
    np.clip(at, 0, _ENTRIES, out=at)
    return at.astype(np.intp)
