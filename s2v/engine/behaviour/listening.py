"""What a listener shows: small nods at pauses and low pitches of the other voice, and now and then a lifted brow.

The cue of the low pitch is that of Ward and Tsukahara, "Prosodic features which cue back-channel responses in English
and Japanese", Journal of Pragmatics 32 (2000): low for 110 ms, after at least 700 ms of speech, answered 700 ms later.
"""

from __future__ import annotations

import numpy as np

from s2v.engine.behaviour.hearing.conversation import Moment
from s2v.engine.behaviour.hearing.phrases import ENDS_AFTER_S
from s2v.engine.behaviour.pulses import Pulse

AT_PAUSE_SHARE, AT_LOW_SHARE = 0.8, 0.5
AFTER_PAUSE_S = 0.3, 0.8  # from the other's last sound to the nod
AFTER_LOW_S = 0.6, 0.8
MIN_SPOKEN_S = 0.7  # by the other, before a nod says anything
APART_S = 1.8
NOD_DEGREES = 4.5, 8.0  # of the target: springs reach half of it
NOD_S = 0.13
REPEAT_AFTER_S = 0.36  # most nods of a listener come in twos or threes, each smaller
REPEATS = (0.35, 0.45, 0.20)  # share of one, two, three
SMALLER = 0.65
BROW_SHARE = 0.30  # of the nods come with lifted brows
BROW_UNITS, BROW_S = 0.022, 0.7


class Backchannel:
    """Plans a listener's answers without words."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._free_s = 0.0  # no other answer before
        self._answer_s = np.inf  # when the next one is due

    def step(self, now: Moment) -> tuple[list[Pulse], list[Pulse]]:
        """What a tick sets off: nods in degrees, brows in face units; both seldom anything."""
        if now.role != "listening":
            self._answer_s = np.inf
            return [], []
        other = now.other
        if now.time_s >= self._free_s and other.spoken_s >= MIN_SPOKEN_S:
            if other.ends and self._random.random() < AT_PAUSE_SHARE:
                self._plan(now.time_s + self._random.uniform(*AFTER_PAUSE_S) - ENDS_AFTER_S)
            elif other.low and self._random.random() < AT_LOW_SHARE:
                self._plan(now.time_s + self._random.uniform(*AFTER_LOW_S))
        if now.time_s < self._answer_s:
            return [], []
        self._answer_s = np.inf
        return self._nods(now.time_s), self._brows(now.time_s)

    def _plan(self, time_s: float) -> None:
        self._answer_s = time_s
        self._free_s = time_s + APART_S

    def _nods(self, time_s: float) -> list[Pulse]:
        degrees = self._random.uniform(*NOD_DEGREES)
        count = 1 + int(self._random.choice(len(REPEATS), p=REPEATS))
        begins_s = [time_s + i * REPEAT_AFTER_S for i in range(count)]
        return [Pulse(at, at + NOD_S, degrees * SMALLER**i) for i, at in enumerate(begins_s)]

    def _brows(self, time_s: float) -> list[Pulse]:
        if self._random.random() >= BROW_SHARE:
            return []
        return [Pulse(time_s, time_s + BROW_S, BROW_UNITS)]
