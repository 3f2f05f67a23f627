"""How far, how fast and how abruptly a head moves, and whether it moves with the voice."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.head.blinks import blinks
from s2v.training.evaluation.measures.head.curves import KEYS, Curve, HeadCurves, moves, noise_gains, tremble
from s2v.training.evaluation.measures.head.holds import hold_figures, holds_of
from s2v.training.evaluation.measures.metrics import loudness, offset_sweep

COUPLED = ("y", "pitch", "brow", "lid")
MAX_LAG_S = 0.5
_SHIFT_S = 3.0  # the sound moved by at least that much is by chance
_N_SHIFTS = 8
MIN_COUPLING_S = 2 * _SHIFT_S  # of shorter clips every sound fits as well as their own
AMOUNTS = ("sd", "speed", "acceleration")


class LoudnessFit(NamedTuple):
    """How a curve follows the loudness of the voice."""

    r: float  # absolute correlation at the best lag: sign and lag are a person's own
    lag_s: float  # the head is that much later than the sound
    chance: float  # the same with the sound shifted by seconds, median of several shifts


def amounts(head: HeadCurves, fps: int) -> dict[str, float]:
    """`KEY_sd`, `KEY_speed` (RMS, a second) and `KEY_acceleration` (RMS, a second squared) of all quantities.

    The detector's trembling is taken out of each. Heads wander: only clips of one length can be compared in `KEY_sd`.
    """
    found = moves(head.values, fps)
    noise = tremble(head.values)[:, None] * np.array(noise_gains(fps))
    seen = np.stack([found.place.std(0), _rms(found.speed), _rms(found.acceleration)], axis=1)
    less = np.sqrt(np.maximum(0, seen**2 - noise**2))
    return {
        f"{key}_{name}": float(value)
        for key, row in zip(KEYS, less, strict=True)
        for name, value in zip(AMOUNTS, row, strict=True)
    }


def coupling(curve: NDArray[np.floating[Any]], loud: NDArray[np.floating[Any]], fps: int) -> LoudnessFit:
    """How one curve follows the loudness.

    Args: curve, loud: (n,) each, a value a frame; of unequal ones the beginnings are compared.
    Returns: all NaN where there is less than MIN_COUPLING_S: chance would be as high.
    """
    n = min(len(curve), len(loud))
    if n < MIN_COUPLING_S * fps:
        return LoudnessFit(float("nan"), float("nan"), float("nan"))
    curve, loud = curve[:n], loud[:n]
    r, lag = _best_lag(curve, loud, fps)
    least = round(_SHIFT_S * fps)
    shifts = np.linspace(least, n - least, _N_SHIFTS).round().astype(int)
    by_chance = [_best_lag(curve, np.roll(loud, shift), fps)[0] for shift in shifts]
    return LoudnessFit(r, lag / fps, float(np.median(by_chance)))


def head_figures(head: HeadCurves, pcm: NDArray[np.float32], spec: LipSyncSpec) -> dict[str, float]:
    """Every figure of one head that hears or says a sound (n,) at 16 kHz: amounts, coupling, holds, blinks."""
    fps = spec.fps
    figures = amounts(head, fps) | hold_figures([holds_of(head, fps)])
    loud = loudness(pcm, len(head), spec)
    for key in COUPLED:
        found = coupling(moves(head[key], fps).place, loud, fps)
        figures |= {f"{key}_follows": found.r, f"{key}_chance": found.chance, f"{key}_lag_s": found.lag_s}
    shut = blinks(head["lid"], fps)
    figures["blinks_a_minute"] = 60 * fps * len(shut) / len(head)
    for name in ("closing_s", "shut_s", "opening_s"):
        figures[name] = float(np.median([getattr(blink, name) for blink in shut])) if shut else float("nan")
    return figures


def _best_lag(curve: NDArray[np.floating[Any]], loud: NDArray[np.floating[Any]], fps: int) -> tuple[float, int]:
    """Absolute correlation and frames by which the curve comes later, where it fits best."""
    most = round(MAX_LAG_S * fps)
    lags = range(-most, most + 1)
    sweep = np.abs(offset_sweep(curve, loud, lags))
    best = int(sweep.argmax())
    return float(sweep[best]), lags[best]


def _rms(values: Curve) -> Curve:
    root: Curve = np.sqrt((values**2).mean(0))
    return root
