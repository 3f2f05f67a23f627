"""What brows, upper lids, cheeks and the corners of the mouth do while somebody talks or listens."""

from __future__ import annotations

import numpy as np

from s2v.engine.behaviour.hearing.accents import STRONG
from s2v.engine.behaviour.hearing.conversation import Moment, Role
from s2v.engine.behaviour.hearing.prosody import TICK_S
from s2v.engine.behaviour.pulses import Pulse, Pulses
from s2v.engine.behaviour.springs import Float64

OMEGAS = (17.0, 17.0, 8.5, 8.5)  # of the springs that follow the targets
# The height that they go to from phrase to phrase: its standard deviation, how much of it the next one keeps, and the
# time constants of the way there. In film brows are lifted at once and sink over ten seconds.
LEVEL_UNITS, LEVEL_KEPT = 0.016, 0.75
RISES_S, SINKS_S = 0.15, 2.5
TALKING_UNITS = -0.014  # what loudness adds on the average is taken off here
LEVEL_SHARE: dict[Role, float] = {"talking": 1.0, "listening": 0.5, "idle": 0.4}
LEVEL_S = 1.2, 4.0
LIFT_UNITS, LIFT_S = (0.030, 0.050), (0.22, 0.45)  # with strong accents
LIFT_SHARE = 0.75  # of the strong accents
QUESTION_UNITS, QUESTION_S = 0.040, 0.7
LOUD_UNITS = 0.034  # at a loudness of 1
WIDEN_PER_UNIT = 2.2  # of the eye's opening, per face unit of the brows
LOUD_WIDEN = 0.05
CHEEKS = 0.25  # the most that a phrase raises them
CORNERS_UNITS = 0.004  # standard deviation from phrase to phrase


class Brows:
    """Says where the upper face is to go, as the conversation goes on."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._lifts = Pulses()
        self._level = self._goal = self._cheeks = self._corners = 0.0
        self._level_s = 1.0

    def step(self, now: Moment, lifts: list[Pulse]) -> Float64:
        """Targets after a tick, (4,): brows in face units, widen, cheeks, corners in face units.

        Args:
            lifts: of a listener's brows, face units.
        """
        self._lifts.add(lifts)
        if now.accent > STRONG and self._random.random() < LIFT_SHARE:
            self._lift(now.time_s, self._random.uniform(*LIFT_UNITS), self._random.uniform(*LIFT_S))
        if now.phrase.rises:
            self._lift(now.time_s, QUESTION_UNITS, QUESTION_S)
        self._level_s -= TICK_S
        if now.phrase.begins or now.phrase.ends or self._level_s <= 0:
            self._change(LEVEL_SHARE[now.role], now.role == "talking")
        self._level += (self._goal - self._level) * TICK_S / (RISES_S if self._goal > self._level else SINKS_S)
        loud = now.sound.loudness
        brows = self._level + self._lifts.at(now.time_s) + LOUD_UNITS * loud
        return np.array((brows, WIDEN_PER_UNIT * brows + LOUD_WIDEN * loud, self._cheeks, self._corners))

    def _lift(self, time_s: float, units: float, length_s: float) -> None:
        self._lifts.add([Pulse(time_s, time_s + length_s, units)])

    def _change(self, share: float, talking: bool) -> None:
        random = self._random
        level, corners = np.clip(random.standard_normal(2), -1.5, 1.5) * share
        middle = TALKING_UNITS * talking
        kept = np.clip(self._goal - middle, -1.5 * LEVEL_UNITS * share, 1.5 * LEVEL_UNITS * share)
        self._goal = middle + LEVEL_KEPT * float(kept) + (1 - LEVEL_KEPT**2) ** 0.5 * LEVEL_UNITS * float(level)
        self._corners = CORNERS_UNITS * float(corners)
        self._cheeks = CHEEKS * random.random() ** 2 if talking else 0.0
        self._level_s = random.uniform(*LEVEL_S)
