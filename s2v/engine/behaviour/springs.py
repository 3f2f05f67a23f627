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
_AT_TARGET = np.array([1.0, 0.0, 1.0, 0.0])  # the state when all is over


class Springs:
    """Several of them side by side, each with its own stiffness.

    Args:
        omegas: (n,) natural frequencies in rad/s: half of a jump is done after 3.7 / omega, nine tenths after
            6.7 / omega.
        step_s: time from one step to the next.
    """

    def __init__(self, omegas: Sequence[float], step_s: float) -> None:
        n = len(omegas)
        # Of the states (first spring, its speed, second spring, its speed), one after the other, and of the targets.
        self._carry, self._pull = np.zeros((4 * n, 4 * n)), np.zeros((4 * n, n))
        for i, omega in enumerate(omegas):
            own, carry = slice(4 * i, 4 * i + 4), _transition(float(omega), step_s)
            self._carry[own, own] = carry
            self._pull[own, i] = _AT_TARGET - carry @ _AT_TARGET
        self._states = np.zeros(4 * n)

    def step(self, targets: Float64) -> Float64:
        """The positions, (n,), one step later, the targets (n,) held meanwhile."""
        self._states = self._carry @ self._states + self._pull @ targets
        return self._states[2::4]


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
