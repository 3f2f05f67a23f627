from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.behaviour.sway import (
    PITCH_DEGREES,
    ROLL_DEGREES,
    SHIFT_X_UNITS,
    SHIFT_Y_UNITS,
    YAW_DEGREES,
    Sway,
)

BOUNDS = np.array([SHIFT_X_UNITS, SHIFT_Y_UNITS, ROLL_DEGREES, YAW_DEGREES, PITCH_DEGREES])


def swayed(seed: int, step_s: float, count: int) -> np.ndarray:
    sway = Sway(np.random.default_rng(seed))
    return np.array([sway.at(i * step_s) for i in range(count)])


def test_it_uses_most_of_its_range_and_no_more() -> None:
    for seed in range(4):
        head = swayed(seed, 0.2, 1500)[:, :5]
        assert (np.abs(head) <= BOUNDS).all()
        assert (np.ptp(head, axis=0) > 1.2 * BOUNDS).all()


def test_it_never_jumps() -> None:
    for seed in range(4):
        steps = np.abs(np.diff(swayed(seed, 0.04, 1000), axis=0))
        assert (steps[:, :5] < 0.15 * BOUNDS).all()
        assert steps[:, 5].max() < 0.08


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_breathes_about_fifteen_times_a_minute_from_breathed_out(seed: int) -> None:
    breath = swayed(seed, 0.04, 3000)[:, 5]
    assert breath[0] == 0
    assert breath.min() >= 0 and breath.max() <= 1
    assert 26 <= (np.diff((breath > 0.5).astype(int)) == 1).sum() <= 34  # in two minutes
