"""What never stops, whoever speaks: the slow sway of a head that is held by muscles, and breath."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 0.05, 0.42
SINES = 6
_GAIN = 2.0  # their sum seldom comes near its bound: with it, half of the room is used on the average
SHIFT_X_UNITS, SHIFT_Y_UNITS = 0.010, 0.008  # face units; a face is about 1.5 wide and 1.9 high
ROLL_DEGREES, YAW_DEGREES, PITCH_DEGREES = 0.6, 0.7, 0.5
BREATH_HZ = 0.25


class Swayed(NamedTuple):
    """Where the head sways to, face units and degrees, and how far it is breathed in, 0..1."""

    x: float
    y: float
    roll_degrees: float
    yaw_degrees: float
    pitch_degrees: float
    breath: float


class Sway:
    """Sums of slow sines, bent to stay within their bounds: a function of the seed and the time alone."""

    def __init__(self, random: np.random.Generator) -> None:
        edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, SINES + 1)
        hz = edges[:-1] * (edges[1:] / edges[:-1]) ** random.random((6, SINES))
        self._turns = 2 * np.pi * hz
        self._phases = random.uniform(0, 2 * np.pi, (6, SINES))
        shares = hz**-0.6  # the slow ones larger
        self._shares = shares / shares.sum(1, keepdims=True)
        self._breath_hz = BREATH_HZ * random.uniform(0.9, 1.1)
        self._drift_at_0 = float(self._waves(0.0)[5])

    def at(self, t_s: float) -> Swayed:
        """Their values at a time."""
        x, y, roll, yaw, pitch, drift = self._waves(t_s).tolist()
        breaths = self._breath_hz * t_s + 0.15 * (drift - self._drift_at_0)
        breath = float(0.5 - 0.5 * np.cos(2 * np.pi * breaths))
        degrees = ROLL_DEGREES * roll, YAW_DEGREES * yaw, PITCH_DEGREES * pitch
        return Swayed(SHIFT_X_UNITS * x, SHIFT_Y_UNITS * y, *degrees, breath)

    def _waves(self, t_s: float) -> NDArray[np.float64]:
        """Six sums of sines, (6,), each within -1..1."""
        waves: NDArray[np.float64] = np.tanh(_GAIN * (self._shares * np.sin(self._turns * t_s + self._phases)).sum(1))
        return waves
