"""How heads hold and step: real ones stand still, move, and stand still elsewhere; a sum of slow waves never rests.

The head's speed is that of 16 points of the skull on the picture, so turns, nods, tilts and shifts all count by how far
they carry the face. It is smoothed over 0.28 s (`moves`): a step seems 0.1 to 0.15 s longer than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from s2v.training.evaluation.measures.head.curves import Curve, HeadCurves, moves, noise_gains, tremble
from s2v.training.evaluation.measures.metrics import runs

HOLD_SHARE = 0.3  # of a head's own RMS speed: below it the head holds; a Gaussian drift does so 9 % of the time or less
MIN_HOLD_S = 0.16
MIN_STEP_S = 0.08


class HeadStep(NamedTuple):
    """What lies between two holds."""

    amplitude: float  # mean way of the skull's points from hold to hold, face units
    duration_s: float


@dataclass(frozen=True)
class HeadHolds:
    """One head's."""

    share: float  # of the time that it holds
    holds_s: list[float]  # how long; those cut by the clip's ends are as long as seen
    steps: list[HeadStep]


def skull_speed(head: HeadCurves, fps: int) -> Curve:
    """(n,) RMS speed of the skull's points, face units a second, less what the detector's trembling adds."""
    speed = moves(head.rigid, fps).speed
    noise = tremble(head.rigid) * noise_gains(fps)[1]
    smoothed: Curve = np.sqrt(np.maximum(0, (speed**2).sum(-1).mean(-1) - float((noise**2).sum(-1).mean())))
    return smoothed


def holds_of(head: HeadCurves, fps: int) -> HeadHolds:
    """Where a head is slower than HOLD_SHARE of its RMS speed for MIN_HOLD_S or longer; moves under MIN_STEP_S add."""
    speed = skull_speed(head, fps)
    limit = HOLD_SHARE * float(np.sqrt((speed**2).mean()))
    held = [span for span in runs(_without_short(speed < limit, MIN_STEP_S * fps)) if _long(span, MIN_HOLD_S * fps)]
    place = moves(head.rigid, fps).place
    steps = []
    for (_, leaves), (arrives, _) in pairwise(held):
        way = np.linalg.norm(place[arrives] - place[leaves - 1], axis=-1).mean()
        steps.append(HeadStep(float(way), (arrives - leaves) / fps))
    lengths_s = [(end - start) / fps for start, end in held]
    return HeadHolds(sum(lengths_s) * fps / len(speed), lengths_s, steps)


def hold_figures(found: Sequence[HeadHolds]) -> dict[str, float]:
    """Of one head or several: medians of all holds and steps, and the share of time that they hold."""
    holds_s = [length for one in found for length in one.holds_s]
    steps = [step for one in found for step in one.steps]

    def middle(values: Sequence[float]) -> float:
        return float(np.median(values)) if values else float("nan")

    return {
        "hold_share": float(np.mean([one.share for one in found])) if found else float("nan"),
        "hold_s": middle(holds_s),
        "step_amplitude": middle([step.amplitude for step in steps]),
        "step_s": middle([step.duration_s for step in steps]),
    }


def _without_short(held: np.ndarray, n_frames: float) -> np.ndarray:
    """Moves shorter than `n_frames` between two holds are part of the hold."""
    whole = held.copy()
    for start, end in runs(~held):
        if start > 0 and end < len(held) and not _long((start, end), n_frames):
            whole[start:end] = True
    return whole


def _long(span: tuple[int, int], n_frames: float) -> bool:
    return span[1] - span[0] >= n_frames - 1e-9
