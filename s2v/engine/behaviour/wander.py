"""How a head that holds its posture still wavers: nobody who talks stands straight as a post, see docs/LOG.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.hearing.prosody import TICK_S

Float64 = NDArray[np.float64]

# Of the targets, either way: x and y in face units, yaw, pitch, roll in degrees, lean. Springs of postures reach half.
WANDER = np.array([0.004, 0.006, 1.7, 1.5, 1.1, 0.0])
WANDER_S = 0.25, 0.75  # from one place to the next, each axis for itself
WANDER_SHARE: dict[Role, float] = {"talking": 1.0, "listening": 0.35, "idle": 0.25}


class Wander:
    """Draws small places about a posture; what it gives jumps and is for springs to follow."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._to, self._until_s = np.zeros(len(WANDER)), np.zeros(len(WANDER))
        self._time_s = self._next_s = 0.0

    def step(self, role: Role) -> Float64:
        """What is added to a posture after a tick, (6,) in its units."""
        self._time_s += TICK_S
        if self._time_s >= self._next_s:
            for axis in np.flatnonzero(self._until_s <= self._time_s):
                self._to[axis] = self._random.uniform(-1, 1) * WANDER[axis] * WANDER_SHARE[role]
                self._until_s[axis] = self._time_s + self._random.uniform(*WANDER_S)
            self._next_s = float(self._until_s.min())
        return self._to
