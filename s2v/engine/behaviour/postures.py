"""Postures of a head: it goes to one, holds it, and goes on to the next, as real heads do.

While its owner talks the steps are wide and quick, at the beginnings and ends of phrases and in between; listening and
silent ones are narrower, slower and further apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.hearing.conversation import Moment, Role
from s2v.engine.behaviour.hearing.prosody import TICK_S
from s2v.engine.face.maps import smoothstep

Float64 = NDArray[np.float64]

AXES = ("x", "y", "yaw", "pitch", "roll", "lean")  # face units, degrees, share of the head's size
REACH = np.array([0.050, 0.085, 9.5, 5.0, 7.9, 0.035])  # of the postures of a talking head, either way
TALKING_MIDDLE = np.array([0.0, -0.024, 0.0, -1.2, 0.0, 0.0])  # what loudness adds on the average is taken off here
# A turned head tilts a little the same way, one that tilts leans over, one that nods sinks: an axis' share in another.
TILT_OF_YAW, SHIFT_OF_ROLL, SINK_OF_PITCH = 0.3, 0.5, 0.3
MOST_TILT = 7.5  # degrees of roll in one step: a head does not fall from one shoulder to the other
MOVED_SHARE = 0.85  # of the axes take part in a step
SMALL_SHARE, SMALL = 0.2, 0.4  # steps that are small
APART_S = 0.35  # no step is begun sooner after another
AT_BEGIN_SHARE, AT_END_SHARE = 0.9, 0.6
BACK_SHARE, BACK_OVER_S, BACK_BY = 0.2, (0.8, 1.8), 0.7  # steps that are taken back slowly, by most of their way
LARGE = 0.8  # of the reach: a step that blinks go with
FOLLOWED_SHARE, FOLLOWED_AFTER_S = 0.5, (0.35, 0.55)  # steps of a talking head that another follows at once


@dataclass(frozen=True, slots=True)
class Steps:
    """How a role changes its posture: reach as a share of a talking head's, holds and glides in s."""

    reach: float
    hold_s: tuple[float, float]
    glide_s: tuple[float, float]


STEPS: dict[Role, Steps] = {
    "talking": Steps(1.0, (0.65, 2.2), (0.02, 0.10)),
    "listening": Steps(0.45, (1.8, 5.0), (0.25, 0.7)),
    "idle": Steps(0.35, (2.5, 7.0), (0.5, 1.4)),
}
LISTENING_LEAN = 0.010  # a listener comes a little nearer


class Postures:
    """Chooses postures as the conversation goes on; what it gives still jumps and is for springs to follow."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._from = np.zeros(len(AXES))
        self._to = np.zeros(len(AXES))
        self._glide_s, self._into_s = 0.1, 0.0
        self._back: tuple[Float64, float] | None = None  # where to go afterwards, and how slowly
        self._hold_s = 0.4
        self._since_s = 0.0
        self._role: Role = "idle"

    def step(self, now: Moment) -> tuple[Float64, bool]:
        """The posture after a tick, (6,) in the units of AXES, and whether a large step begins in it."""
        self._into_s += TICK_S
        self._hold_s -= TICK_S
        self._since_s += TICK_S
        changed = self._role != now.role and now.role == "listening"
        self._role = now.role
        due = changed or self._hold_s <= 0
        if now.phrase.begins:
            due |= self._random.random() < AT_BEGIN_SHARE
        elif now.phrase.ends:
            due |= self._random.random() < AT_END_SHARE
        large = self._go(now.role) if due and self._since_s >= APART_S else False
        if self._back is not None and self._into_s >= self._glide_s:
            target, glide_s = self._back
            self._set_off(target, glide_s)
            self._back = None
        return self._now(), large

    def _go(self, role: Role) -> bool:
        """Set off for another posture; returns whether it is far."""
        steps, random = STEPS[role], self._random
        drawn = max(self._draw(), self._draw(), key=self._away) * steps.reach  # seldom where it already is
        if role == "talking":
            drawn += TALKING_MIDDLE
        elif role == "listening":
            drawn[5] += LISTENING_LEAN
        small = random.random() < SMALL_SHARE
        target = self._to + SMALL * (drawn - self._to) if small else drawn
        target = np.where(random.random(len(AXES)) < MOVED_SHARE, target, self._to)
        tilt = self._now()[4]
        target[4] = np.clip(target[4], tilt - MOST_TILT, tilt + MOST_TILT)
        self._back = None
        if not small and random.random() < BACK_SHARE:
            rest = target + BACK_BY * (self._to - target)
            self._back = rest, random.uniform(*BACK_OVER_S)
        way = self._away(target)
        followed = role == "talking" and random.random() < FOLLOWED_SHARE
        self._hold_s = random.uniform(*(FOLLOWED_AFTER_S if followed else steps.hold_s))
        self._since_s = 0.0
        self._set_off(target, random.uniform(*steps.glide_s))
        return way > LARGE

    def _away(self, target: Float64) -> float:
        """How far a posture is from the newest, as a share of the reach."""
        return float(np.sqrt((((target - self._to) / REACH) ** 2).mean()))

    def _set_off(self, target: Float64, glide_s: float) -> None:
        self._from = self._now()
        self._to, self._glide_s, self._into_s = target, glide_s, 0.0

    def _now(self) -> Float64:
        if self._into_s >= self._glide_s:
            return self._to
        return self._from + smoothstep(self._into_s / self._glide_s) * (self._to - self._from)

    def _draw(self) -> Float64:
        """A posture of a talking head, (6,)."""
        z = self._random.uniform(-1, 1, len(AXES))
        z[4] = (z[4] + self._random.uniform(-1, 1)) / 2  # tilts gather about the middle, as people's do
        z[4] = TILT_OF_YAW * z[2] + (1 - TILT_OF_YAW**2) ** 0.5 * z[4]
        z[1] = SINK_OF_PITCH * z[3] + (1 - SINK_OF_PITCH**2) ** 0.5 * z[1]
        z[0] = SHIFT_OF_ROLL * z[4] + (1 - SHIFT_OF_ROLL**2) ** 0.5 * z[0]
        return np.asarray(z * REACH)
