"""Where the eyes look: long looks at the other side, short ones away, and small jumps in between.

Who speaks looks away when a phrase begins and back when it ends (Kendon, "Some functions of gaze-direction in social
interaction", Acta Psychologica 26, 1967); who listens looks steadily.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2v.engine.behaviour.hearing.conversation import Moment, Role
from s2v.engine.behaviour.hearing.prosody import TICK_S
from s2v.engine.behaviour.springs import Float64

OMEGAS = (70.0, 70.0)  # of the springs that follow the targets: a jump is nine tenths done after 0.1 s
COUNTER_YAW, COUNTER_PITCH = -0.42, -0.30  # eye widths per sine of the head's turn: the eyes stay on who they look at
WIDEST, HIGHEST = 0.11, 0.055  # eye widths, all in all
JUMP_X, JUMP_Y = 0.006, 0.003  # small jumps while a look is held, standard deviation
JUMPS_EVERY_S = 0.25, 0.9


@dataclass(frozen=True, slots=True)
class Looks:
    """How a role looks about: reach in eye widths, lengths of looks in s, share of those at the other side."""

    x: float
    y: float
    there_s: tuple[float, float]  # at the other side: median, longest
    away_s: tuple[float, float]
    there_share: float


LOOKS: dict[Role, Looks] = {
    "talking": Looks(0.055, 0.022, (1.5, 4.0), (0.6, 1.4), 0.55),
    "listening": Looks(0.030, 0.012, (3.0, 7.0), (0.5, 1.0), 0.8),
    "idle": Looks(0.045, 0.018, (1.6, 4.0), (0.9, 2.5), 0.45),
}
AWAY_AT_BEGIN_SHARE = 0.45  # of the phrases that follow a pause
BACK_AT_END_SHARE = 0.8
SHORTEST_LOOK_S = 0.4


class Gaze:
    """Plans looks as the conversation goes on."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._look = np.zeros(2)
        self._jump = np.zeros(2)
        self._look_s = 1.0  # left of the look
        self._jump_s = 1.0

    def step(self, now: Moment) -> Float64:
        """Targets after a tick, (2,): where the eyes look, eye widths right and down, the head straight."""
        self._look_s -= TICK_S
        self._jump_s -= TICK_S
        if now.phrase.begins and self._random.random() < AWAY_AT_BEGIN_SHARE:
            self._away(now.role)
        elif now.phrase.ends and self._random.random() < BACK_AT_END_SHARE:
            self._there(now.role)
        elif self._look_s <= 0:
            there = self._look.any() or self._random.random() < LOOKS[now.role].there_share
            (self._there if there else self._away)(now.role)
        elif self._jump_s <= 0:
            self._jump = self._random.standard_normal(2).clip(-2, 2) * (JUMP_X, JUMP_Y)
            self._jump_s = self._random.uniform(*JUMPS_EVERY_S)
            self._look_s = max(self._look_s, JUMPS_EVERY_S[0])
        return np.asarray(self._look + self._jump)

    def _there(self, role: Role) -> None:
        self._turn(np.zeros(2), LOOKS[role].there_s)

    def _away(self, role: Role) -> None:
        looks = LOOKS[role]
        self._turn(self._random.uniform(-1, 1, 2) * (looks.x, looks.y), looks.away_s)

    def _turn(self, look: Float64, median_and_longest_s: tuple[float, float]) -> None:
        median_s, longest_s = median_and_longest_s
        length_s = median_s * float(np.exp(0.4 * self._random.standard_normal()))
        self._look, self._look_s = look, min(longest_s, max(SHORTEST_LOOK_S, length_s))
        self._jump_s = self._random.uniform(*JUMPS_EVERY_S)
