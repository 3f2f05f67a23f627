"""How late a clip's sound comes after its lips, measured by the lips themselves.

The shipped model says how far lips open and how wide they are for what is heard; the landmarks say what they did.
Both are drawn on a fine axis of time and moved against each other: where they fit best is the offset, and how much
better they fit there than elsewhere is how far it may be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import MOUTH_CORNERS, Points
from s2v.engine.face.motion_basis import aperture
from s2v.spec import LipSyncSpec

Curves = NDArray[np.float64]  # (2, n) opening of the lips and distance of their corners, face units
Hear = Callable[[NDArray[np.int16]], Curves]  # 16 kHz mono -> what a mouth does for it in the middle of each frame

STEP_HZ = 100  # of the axis on which offsets are sought
SEARCHED_S = 1.0  # on either side
APART_S = 0.2  # two offsets so far apart are two answers; syllables come four or five a second
_TREND_S = 1.6  # what changes slower is how the head is held, and no speech
_WEIGHTS = np.array([1.0, 0.5])  # of opening and width
_LEAST_OVERLAP = 0.5  # of the clip, at the largest offsets
_LEAST_S = 0.6


@dataclass(frozen=True)
class SyncEstimate:
    """What a clip says about its own offset."""

    offset_s: float  # positive: the sound comes after the lips
    correlation: float  # of heard and seen lips there
    margin: float  # how much more than at the best offset elsewhere


def seen_curves(canonical: Points) -> Curves:
    """Of landmarks (n, 468, 3) in face units."""
    left, right = (canonical[:, corner, :2] for corner in MOUTH_CORNERS)
    return np.stack([aperture(canonical), np.linalg.norm(right - left, axis=-1)])


@cache
def shipped_model_hears() -> Hear:
    """The model that comes with the package, opened once for each process."""
    from s2v.engine.backends.registry import open_backend
    from s2v.training.evaluation.measures.motion_level import backend_speak, gap_weights, width_weights

    backend = open_backend(name="onnxruntime")
    speak, weights = backend_speak(backend), np.stack([gap_weights(backend.spec), width_weights(backend.spec)])

    def hear(pcm: NDArray[np.int16]) -> Curves:
        motion = speak((pcm / 32768).astype(np.float32))
        return np.asarray(weights @ motion.T, np.float64)

    return hear


def estimate_offset(
    heard: Curves, seen: Curves, times_s: NDArray[np.float64], searched_s: float = SEARCHED_S
) -> SyncEstimate | None:
    """Where what is heard and what is seen of one clip fit best; None where one of them does not move, or is too short.

    Args:
        heard: (2, n) in the middle of each frame of the spec's rate.
        seen: (2, m) at times_s (m,), the same clock; frames that show a picture again are left out.
    """
    times_s, first = np.unique(times_s, return_index=True)
    middles_s = (np.arange(heard.shape[1]) + 0.5) / LipSyncSpec.fps
    if not len(times_s) or not len(middles_s):
        return None
    from_s, to_s = max(times_s[0], middles_s[0]), min(times_s[-1], middles_s[-1])
    most = min(round(searched_s * STEP_HZ), int((1 - _LEAST_OVERLAP) * (to_s - from_s) * STEP_HZ))
    if to_s - from_s < _LEAST_S:
        return None
    at_s = np.arange(from_s, to_s, 1 / STEP_HZ)
    pairs = zip(_finely(heard, middles_s, at_s), _finely(seen[:, first], times_s, at_s), strict=True)
    fits = np.tensordot(_WEIGHTS / _WEIGHTS.sum(), [_correlations(a, b, most) for a, b in pairs], 1)
    best = int(fits.argmax())
    elsewhere = np.abs(np.arange(len(fits)) - best) >= APART_S * STEP_HZ
    if fits[best] <= 0 or not elsewhere.any():
        return None
    return SyncEstimate((best - most) / STEP_HZ, float(fits[best]), float(fits[best] - fits[elsewhere].max()))


def _finely(curves: Curves, times_s: NDArray[np.float64], at_s: NDArray[np.float64]) -> Curves:
    """At other moments, without what changes slowly."""
    drawn = np.stack([np.interp(at_s, times_s, curve) for curve in curves])
    width = min(len(at_s), round(_TREND_S * STEP_HZ))
    padded = np.pad(drawn, ((0, 0), (width // 2, width - 1 - width // 2)), mode="reflect")
    trend = np.stack([np.convolve(curve, np.ones(width) / width, "valid") for curve in padded])
    return np.asarray(drawn - trend, np.float64)


def _correlations(heard: NDArray[np.float64], seen: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """(2 most + 1,) Pearson's, for `heard` pulled forward by -most to most steps, over what both have then."""

    def at(lag: int) -> float:
        a = heard[max(0, lag) : len(heard) + min(0, lag)]
        b = seen[max(0, -lag) : len(seen) + min(0, -lag)]
        a, b = a - a.mean(), b - b.mean()
        scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
        return float((a * b).sum()) / scale if scale > 1e-9 else 0.0

    return np.array([at(lag) for lag in range(-most, most + 1)])
