"""Springs that carry a target, which may jump, over into a movement that has weight.

Two critically damped springs in a row: the second follows the first. Position, speed and acceleration of what comes out
are continuous, it never overshoots, and its acceleration is bounded by the target's range alone (`acceleration_bound`).
The steps are exact (the matrix exponential in closed form), not an integration by small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# The unit impulse answer is h(t) = w^4 t^3 / 6 e^(-w t); the integral of |h''| is this times w^2.
_SECOND_DERIVATIVE = 0.375


class Springs:
    """Several of them side by side, each with its own stiffness.

    Args:
        omegas: (n,) natural frequencies in rad/s: half of a jump is done after 3.7 / omega, nine tenths after 6.7 / omega.
        step_s: time from one step to the next.
    """

    def __init__(self, omegas: Sequence[float], step_s: float) -> None:
        w = np.asarray(omegas, np.float64)
        # Of the distances to the target (first spring, its speed, second spring, its speed), each (n, 4, 4).
        self._carry = np.stack([_transition(float(one), step_s) for one in w])
        self._state = np.zeros((len(w), 4, 1))  # as those, but the positions themselves

    @property
    def positions(self) -> Float64:
        """(n,) where they are: a view, changed by the next step."""
        return self._state[:, 2, 0]

    def step(self, targets: Sequence[float] | Float64) -> Float64:
        """Positions (n,) one step later, the targets (n,) held meanwhile; a view that the next step changes."""
        away = self._state
        pull = np.asarray(targets, np.float64)[:, None]
        away[:, 0] -= pull
        away[:, 2] -= pull
        self._state = self._carry @ away
        self._state[:, 0] += pull
        self._state[:, 2] += pull
        return self.positions


def acceleration_bound(omega: float, reach: float) -> float:
    """The most that the acceleration of a spring's output can be, per s^2, for any target within -reach..reach."""
    return _SECOND_DERIVATIVE * omega**2 * reach


def _transition(w: float, t: float) -> Float64:
    """What becomes of the four distances after `t` seconds, (4, 4).

    Both springs obey x'' = -2 w x' - w^2 (x - pull), where the first is pulled to 0 and the second to the first:
    x = P(t) e^(-w t) with polynomials of the third degree at most, found from the four at t = 0.
    """
    decay = np.exp(-w * t)
    carried = np.zeros((4, 4))
    for column in range(4):
        a0, v0, b0, u0 = np.eye(4)[column]
        # First spring: a = (a0 + c t) e^(-w t).
        c = v0 + w * a0
        # Second: b = (b0 + d t + w^2 (a0 t^2 / 2 + c t^3 / 6)) e^(-w t), since (D + w)^2 b = w^2 a.
        d = u0 + w * b0
        first, first_slope = a0 + c * t, c
        second = b0 + d * t + w**2 * (a0 * t**2 / 2 + c * t**3 / 6)
        second_slope = d + w**2 * (a0 * t + c * t**2 / 2)
        carried[:, column] = first, first_slope - w * first, second, second_slope - w * second
    return np.asarray(carried * decay)
