"""How the head moves: postures that are held, nods with accents, and a lean with loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.hearing.conversation import Moment
from s2v.engine.behaviour.postures import AXES, Postures
from s2v.engine.behaviour.pulses import Pulse, Pulses
from s2v.engine.behaviour.sway import Swayed

Float64 = NDArray[np.float64]

POSTURE_OMEGAS = (18.0, 24.0, 18.0, 18.0, 18.0, 18.0)  # of AXES: heads are lifted and lowered faster than turned
NOD_OMEGA, LOUDNESS_OMEGA = 19.0, 16.5
OMEGAS = (*POSTURE_OMEGAS, *[NOD_OMEGA] * 3, LOUDNESS_OMEGA)  # of the springs that follow the targets
NOD_SHARE = 0.9  # of the accents
NOD_DEGREES = 4.5, 8.0  # of a usual and of the strongest accent: the target, of which half is reached
NOD_S = 0.11, 0.16
UP_SHARE = 0.12  # of the nods go up
TURN_WITH_NOD = 0.35  # degrees of yaw and roll per degree of nod, either way
LOUD_PITCH_DEGREES, LOUD_Y_UNITS, LOUD_LEAN = 4.2, 0.095, 0.010  # at a loudness of 1
NOD_Y_UNITS = 0.012  # a nodding head sinks, per degree
_UNITS = np.array([1.0, 1.0, np.pi / 180, np.pi / 180, np.pi / 180, 1.0])


class HeadGestures:
    """Says where one head is to go, as the conversation goes on."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._postures = Postures(random)
        self._nods = Pulses()
        self._side = np.zeros(2)  # yaw and roll that go with the newest nod, per degree
        self._targets = np.zeros(len(AXES) + 4)
        self.turned = False  # a large step of the posture begins in this tick

    def step(self, now: Moment, nods: list[Pulse]) -> Float64:
        """Targets after a tick, (10,) for springs of OMEGAS; `head_of` makes a head of what they move. A view.

        Args:
            nods: of a listener, in degrees.
        """
        self._nods.add(nods)
        if now.accent and self._random.random() < NOD_SHARE:
            self._nods.add([self._nod(now)])
        nod = self._nods.at(now.time_s)
        posture, self.turned = self._postures.step(now)
        targets = self._targets
        targets[:6] = posture
        targets[6] = nod
        targets[7:9] = nod * self._side
        targets[9] = now.sound.loudness
        return targets

    def _nod(self, now: Moment) -> Pulse:
        usual, strongest = NOD_DEGREES
        degrees = usual + (strongest - usual) * min(1.0, now.accent / 2)
        if self._random.random() < UP_SHARE:
            degrees = -degrees
        self._side = self._random.uniform(-TURN_WITH_NOD, TURN_WITH_NOD, 2)
        return Pulse(now.time_s, now.time_s + self._random.uniform(*NOD_S), degrees)


def head_of(moved: Float64, sway: Swayed) -> Float64:
    """x, y, yaw, pitch, roll, lean, (6,) in face units, radians and a share of the size.

    Args:
        moved: (10,) what springs made of the targets.
    What a photo bears is for the compositor to say, which bends large poses; targets and springs bound these.
    """
    nodded, turned, tilted, loud = moved[6:].tolist()
    added = (
        sway.x,
        sway.y + NOD_Y_UNITS * nodded + LOUD_Y_UNITS * loud,
        sway.yaw_degrees + turned,
        sway.pitch_degrees + nodded + LOUD_PITCH_DEGREES * loud,
        sway.roll_degrees + tilted,
        LOUD_LEAN * loud,
    )
    return np.asarray((moved[:6] + added) * _UNITS)
