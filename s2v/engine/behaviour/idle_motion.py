"""What a face does while it says nothing: when it blinks, where it looks, how its head sways.

Numbers only, no pixels: `head.py` and `eyes.py` draw them. Everything is a function of the
seed and the frame's index alone, so frames may be asked for in any order, again, or not at all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.face.maps import smoothstep

EASE_IN_S = 1.0  # the first frame is the photo at rest; everything grows from there
SEED_LIMIT = 2**63  # seeds are whole numbers from 0 to below this

# Blinks: Bentivoglio et al., "Analysis of blink rate patterns in normal subjects", Movement Disorders 12 (1997),
# count 17 a minute at rest; lids close in 80-100 ms and take twice as long to open.
BLINK_MEDIAN_S = 3.4
BLINK_SPREAD = 0.38  # of the logarithm
BLINK_SHORTEST_S, BLINK_LONGEST_S = 1.8, 6.5
CLOSING_S, SHUT_S, OPENING_S = 0.09, 0.045, 0.18
DOUBLE_BLINK_SHARE = 0.1
DOUBLE_BLINK_AFTER_S = 0.38

# Gaze: small fast steps between long looks.
HOLD_SHORTEST_S, HOLD_LONGEST_S = 0.5, 3.0
GAZE_STEP_S = 0.04  # a step that small takes no longer than a frame
GAZE_WIDEST, GAZE_HIGHEST = 0.045, 0.018  # of the eye's width
GAZE_BACK_SHARE = 0.4  # of the looks, straight into the camera as on the photo

# Head: a sum of slow sines. Breath: one slow wave.
SWAY_LOWEST_HZ, SWAY_HIGHEST_HZ = 0.05, 0.42
SWAY_SINES = 6
_SWAY_GAIN = 2.0  # their sum seldom comes near its bound: with it, half of the room is used on the average
SHIFT_X_UNITS, SHIFT_Y_UNITS = 0.010, 0.008  # face units; a face is about 1.5 wide and 1.9 high
ROLL_DEGREES = 0.6
BREATH_HZ = 0.25

BLOCK_S = 60.0  # blinks and looks are planned in stretches of about this length, each from a seed of its own


class _Waves(NamedTuple):
    """A sum of sines, bent to stay within [-1, 1]."""

    hz: NDArray[np.float64]
    phase: NDArray[np.float64]
    share: NDArray[np.float64]

    def at(self, t_s: float) -> float:
        return float(np.tanh(_SWAY_GAIN * (self.share @ np.sin(2 * np.pi * self.hz * t_s + self.phase))))


class IdleMotion:
    """The plan of one face's idle motion.

    Args:
        seed: 0 to 2**63 - 1; the same seed moves the same, another differently.
        fps: frames a second of the video.
    """

    def __init__(self, seed: int, fps: int) -> None:
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed {seed} is not in 0..{SEED_LIMIT - 1}")
        self._seed = seed
        self._fps = fps
        random = np.random.default_rng([seed, 0])
        self._x, self._y, self._roll = (_waves(random) for _ in range(3))
        self._breath_hz = BREATH_HZ * random.uniform(0.9, 1.1)
        self._breath_drift = _waves(random)
        # Stretches of another length for every seed: two faces do not blink together at each full minute.
        self._block_s = BLOCK_S * random.uniform(0.85, 1.15)
        self._blinks = lru_cache(maxsize=4)(self._plan_blinks)
        self._looks = lru_cache(maxsize=4)(self._plan_looks)

    def at(self, frame: int) -> FacePose:
        """The pose in video frame `frame`, 0 or later; frame 0 is the photo at rest."""
        t_s = frame / self._fps
        ease = smoothstep(t_s / EASE_IN_S)
        gaze_x, gaze_y = self._gaze(t_s)
        return FacePose(
            shift=(ease * SHIFT_X_UNITS * self._x.at(t_s), ease * SHIFT_Y_UNITS * self._y.at(t_s)),
            roll=ease * float(np.radians(ROLL_DEGREES)) * self._roll.at(t_s),
            breath=ease * self._breath(t_s),
            gaze=(ease * gaze_x, ease * gaze_y),
            closed=self._closed(t_s),
        )

    def _breath(self, t_s: float) -> float:
        turns = self._breath_hz * t_s + 0.15 * (self._breath_drift.at(t_s) - self._breath_drift.at(0.0))
        return float(0.5 - 0.5 * np.cos(2 * np.pi * turns))

    def _closed(self, t_s: float) -> float:
        block, into_s = divmod(t_s, self._block_s)
        starts, depths = self._blinks(int(block))
        newest = int(np.searchsorted(starts, into_s, side="right")) - 1
        return 0.0 if newest < 0 else float(depths[newest]) * lid_course(into_s - float(starts[newest]))

    def _gaze(self, t_s: float) -> tuple[float, float]:
        block, into_s = divmod(t_s, self._block_s)
        starts, targets = self._looks(int(block))
        newest = int(np.searchsorted(starts, into_s, side="right")) - 1
        before = targets[max(newest - 1, 0)]
        done = smoothstep((into_s - float(starts[newest])) / GAZE_STEP_S)
        x, y = before + done * (targets[newest] - before)
        return float(x), float(y)

    def _plan_blinks(self, block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When blinks of a stretch begin, in seconds from its start, and how far each goes."""
        random = np.random.default_rng([self._seed, 1, block])
        gaps = BLINK_MEDIAN_S * np.exp(BLINK_SPREAD * random.standard_normal(64))
        starts = _fill(np.clip(gaps, BLINK_SHORTEST_S, BLINK_LONGEST_S), self._block_s)
        if block:  # where two stretches meet there is a blink too, but not in the first frame of all
            starts = np.r_[0.0, starts]
        twice = starts[random.random(len(starts)) < DOUBLE_BLINK_SHARE] + DOUBLE_BLINK_AFTER_S
        starts = np.sort(np.concatenate([starts, twice]))
        return starts, random.uniform(0.93, 1.0, len(starts))

    def _plan_looks(self, block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When looks of a stretch begin and where they go, (n,) and (n, 2); each stretch begins and ends straight."""
        random = np.random.default_rng([self._seed, 2, block])
        gaps = random.gamma(2.0, 0.65, 160)
        starts = _fill(np.clip(gaps, HOLD_SHORTEST_S, HOLD_LONGEST_S), self._block_s)
        targets = random.uniform(-1, 1, (len(starts), 2)) * [GAZE_WIDEST, GAZE_HIGHEST]
        targets[random.random(len(starts)) < GAZE_BACK_SHARE] = 0
        targets[-1] = 0
        return np.r_[0.0, starts], np.r_[np.zeros((1, 2)), targets]


def lid_course(t_s: float) -> float:
    """How far the lids are closed `t_s` seconds after a blink began: 0 open, 1 shut.

    They fall fast, stay shut for a frame and rise slower, slowing down towards the end.
    """
    if t_s < CLOSING_S:
        return smoothstep(t_s / CLOSING_S)
    rising = min(max((t_s - CLOSING_S - SHUT_S) / OPENING_S, 0.0), 1.0)
    opened: float = rising**0.8
    return 1.0 - smoothstep(opened)


def _fill(gaps: NDArray[np.float64], length_s: float) -> NDArray[np.float64]:
    """Moments that as many gaps as fit divide a stretch by; the gaps grow a little so that they fill it."""
    ends = np.cumsum(gaps)
    fitting = ends[: max(2, int(np.searchsorted(ends, length_s)))]
    moments: NDArray[np.float64] = fitting[:-1] * (length_s / fitting[-1])
    return moments


def _waves(random: np.random.Generator) -> _Waves:
    """Sines of spread-out pitches, the slow ones larger."""
    edges = np.geomspace(SWAY_LOWEST_HZ, SWAY_HIGHEST_HZ, SWAY_SINES + 1)
    hz = edges[:-1] * (edges[1:] / edges[:-1]) ** random.random(SWAY_SINES)
    share = hz**-0.6
    return _Waves(hz, random.uniform(0, 2 * np.pi, SWAY_SINES), share / share.sum())
