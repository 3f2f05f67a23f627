"""How the head moves: postures that are held and wavered about, nods with accents, and a lean with loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.hearing.conversation import Moment
from s2v.engine.behaviour.postures import AXES, Postures
from s2v.engine.behaviour.pulses import Pulse, Pulses
from s2v.engine.behaviour.sway import Swayed
from s2v.engine.behaviour.wander import Wander

Float64 = NDArray[np.float64]

POSTURE_OMEGAS = (18.0, 24.0, 18.0, 18.0, 15.0, 18.0)  # of AXES: heads are lifted and lowered faster than turned
NOD_OMEGA, LOUDNESS_OMEGA = 19.0, 16.5
OMEGAS = (*POSTURE_OMEGAS, *[NOD_OMEGA] * 3, LOUDNESS_OMEGA)  # of the springs that follow the targets
GESTURE_SHARE = 0.6  # of the accents
NOD_DEGREES, NOD_SPREAD = 4.0, 0.48  # the way of a usual nod that is really reached, and the deviation of its logarithm
SMALLEST_DEGREES, LARGEST_DEGREES = 1.2, 10.0
NOD_S, LENGTH_POWER = 0.13, 0.6  # the target's length; a nod twice as far takes 1.5 times as long
STRENGTH_POWER = 0.5
# What an accent does: the nose goes down, up, to a side and back (some past the middle: a shake), or the head tilts.
GESTURES, GESTURE_SHARES = ("nod", "raise", "turn", "tilt"), (0.60, 0.15, 0.14, 0.11)
RAISE_SIZE, TURN_SIZE, TILT_SIZE = 0.8, 0.9, 0.45  # of what a nod would be
SHAKE_SHARE, SHAKE_BACK = 0.5, 0.6  # of the turns, and how far past the middle
BESIDE_NOD = np.array([0.5, 0.45])  # degrees of yaw and roll at most that go with a degree of nod, either way
LOUD_PITCH_DEGREES, LOUD_Y_UNITS, LOUD_LEAN = 3.5, 0.13, 0.010  # at a loudness of 1
# Degrees of yaw and roll at most at a loudness of 1, either way, another for each phrase: no held posture is rigid.
LOUD_SIDES = np.array([2.4, 1.8])
NOD_Y_UNITS = 0.018  # a nodding head sinks, per degree
_UNITS = np.array([1.0, 1.0, np.pi / 180, np.pi / 180, np.pi / 180, 1.0])


class HeadGestures:
    """Says where one head is to go, as the conversation goes on."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._postures, self._wander = Postures(random), Wander(random.spawn(1)[0])
        self._nods, self._turns, self._tilts = Pulses(), Pulses(), Pulses()
        self._loud_sides = np.zeros(2)
        self._targets = np.zeros(len(AXES) + 4)
        self.turned = False  # a large step of the posture begins in this tick

    def step(self, now: Moment, nods: list[Pulse]) -> Float64:
        """Targets after a tick, (10,) for springs of OMEGAS; `head_of` makes a head of what they move. A view.

        Args:
            nods: of a listener, in degrees.
        """
        self._nods.add(nods)
        if now.accent and self._random.random() < GESTURE_SHARE:
            self._stress(now)
        posture, self.turned = self._postures.step(now)
        targets = self._targets
        targets[:6] = posture + self._wander.step(now.role)
        targets[6:9] = [pulses.at(now.time_s) for pulses in (self._nods, self._turns, self._tilts)]
        if now.phrase.begins:
            self._loud_sides = LOUD_SIDES * self._random.uniform(-1, 1, 2)
        targets[7:9] += now.sound.loudness * self._loud_sides
        targets[9] = now.sound.loudness
        return targets

    def _stress(self, now: Moment) -> None:
        """Begin what goes with an accent."""
        random = self._random
        gesture = random.choice(GESTURES, p=GESTURE_SHARES)
        spread = float(np.exp(NOD_SPREAD * random.standard_normal()))
        degrees = min(LARGEST_DEGREES, NOD_DEGREES * now.accent**STRENGTH_POWER * spread)
        side = random.uniform(-1, 1, 2)
        left_or_right = float(np.sign(side[0])) or 1.0
        if gesture == "turn":
            turn = _stroke(now.time_s, left_or_right * TURN_SIZE * degrees)
            self._turns.add([turn])
            if random.random() < SHAKE_SHARE:
                length_s = turn.ends_s - turn.begins_s
                self._turns.add([Pulse(turn.ends_s, turn.ends_s + length_s, -SHAKE_BACK * turn.height)])
        elif gesture == "tilt":
            self._tilts.add([_stroke(now.time_s, left_or_right * TILT_SIZE * degrees)])
        else:
            nod = _stroke(now.time_s, degrees if gesture == "nod" else -RAISE_SIZE * degrees)
            self._nods.add([nod])
            turned, tilted = BESIDE_NOD * side * nod.height
            self._turns.add([Pulse(nod.begins_s, nod.ends_s, float(turned))])
            self._tilts.add([Pulse(nod.begins_s, nod.ends_s, float(tilted))])


def _stroke(begins_s: float, degrees: float) -> Pulse:
    """A pulse that takes the springs of NOD_OMEGA about so far, either way."""
    size = max(abs(degrees), SMALLEST_DEGREES)
    length_s = NOD_S * (size / NOD_DEGREES) ** LENGTH_POWER
    reached = np.tanh(0.225 * NOD_OMEGA * length_s)  # of a pulse's height, within a fiftieth
    return Pulse(begins_s, begins_s + length_s, float(np.sign(degrees) * size / reached))


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
