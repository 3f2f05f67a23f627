"""When the eyes blink, and how the lids move."""

from __future__ import annotations

import numpy as np

from s2v.engine.behaviour.hearing.conversation import Moment, Role
from s2v.engine.behaviour.hearing.prosody import TICK_S
from s2v.engine.face.maps import smoothstep

# Bentivoglio et al., "Analysis of blink rate patterns in normal subjects", Movement Disorders 12 (1997), count 17 a
# minute at rest and 26 in conversation. Film of free speech: from 20 to 80 % of the way lids take 30-50 ms to close and
# 120-140 ms to open, 65-85 ms lie between.
MEDIAN_S = 3.7  # from one blink to the next, as long as nothing else brings one
SPREAD = 0.38  # of its logarithm
SHORTEST_S, LONGEST_S = 1.8, 7.5
PACE: dict[Role, float] = {"talking": 1.0, "listening": 0.85, "idle": 1.0}  # at which that time passes
CLOSING_S, SHUT_S, OPENING_S = 0.09, 0.02, 0.27
COURSE_S = CLOSING_S + SHUT_S + OPENING_S
DOUBLE_SHARE = 0.08
DOUBLE_AFTER_S = 0.42
AT_END_SHARE = 0.5  # of the ends of phrases
WITH_TURN_SHARE = 0.2  # of the head's larger turns
APART_S = 0.8  # no blink is begun sooner after another, but for the second of two
FIRST_S = 1.2  # the first is not before


class Blinks:
    """Plans blinks as the conversation goes on."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._wait_s = max(FIRST_S, self._gap_s())
        self._starts_s: list[float] = []  # of the newest blink, and of those that will follow it
        self._depth = 1.0

    def step(self, now: Moment, turned: bool) -> None:
        """Take in a tick. Args: turned, the head sets off for another posture."""
        self._wait_s -= TICK_S * PACE[now.role]
        wanted = self._wait_s <= 0
        if now.phrase.ends:
            wanted |= self._random.random() < AT_END_SHARE
        if turned:
            wanted |= self._random.random() < WITH_TURN_SHARE
        if wanted and now.time_s >= FIRST_S and (not self._starts_s or now.time_s - self._starts_s[-1] >= APART_S):
            self._begin(now.time_s)

    def closed(self, t_s: float) -> float:
        """How far the lids are closed at a time not more than a tick before the newest step: 0 open, 1 shut."""
        return max((self._depth * lid_course(t_s - start_s) for start_s in self._starts_s), default=0.0)

    def _begin(self, time_s: float) -> None:
        self._wait_s = self._gap_s()
        self._depth = self._random.uniform(0.93, 1.0)
        self._starts_s = [time_s]
        if self._random.random() < DOUBLE_SHARE:
            self._starts_s.append(time_s + DOUBLE_AFTER_S)

    def _gap_s(self) -> float:
        gap_s = MEDIAN_S * np.exp(SPREAD * self._random.standard_normal())
        return float(np.clip(gap_s, SHORTEST_S, LONGEST_S))


def lid_course(t_s: float) -> float:
    """How far the lids are closed `t_s` seconds after a blink began: 0 open, 1 shut.

    They fall fast, hardly stay shut and rise slower, slowing down towards the end.
    """
    if not 0.0 < t_s < COURSE_S:
        return 0.0
    if t_s < CLOSING_S:
        return smoothstep(t_s / CLOSING_S)
    rising = min(max((t_s - CLOSING_S - SHUT_S) / OPENING_S, 0.0), 1.0)
    opened: float = rising**0.6
    return 1.0 - smoothstep(opened)
