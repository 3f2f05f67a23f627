from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.behaviour.springs import Springs, acceleration_bound

STEP_S = 0.01


def course(springs: Springs, targets: list[float]) -> np.ndarray:
    return np.array([springs.step(np.array([target]))[0] for target in targets])


@pytest.mark.parametrize("omega", [3.0, 9.5, 70.0])
def test_a_jump_is_half_done_and_nine_tenths_done_when_promised(omega: float) -> None:
    step_s = 0.01 / omega
    done = course(Springs([omega], step_s), [1.0] * 1200)
    assert (np.argmax(done >= 0.5) + 1) * step_s * omega == pytest.approx(3.67, abs=0.02)
    assert (np.argmax(done >= 0.9) + 1) * step_s * omega == pytest.approx(6.68, abs=0.02)
    assert (np.diff(done) >= 0).all() and done.max() <= 1  # never back, never beyond


def test_two_short_steps_are_one_long_one() -> None:
    targets = np.random.default_rng(0).uniform(-1, 1, 50)
    long = course(Springs([14.0], 0.02), list(targets))
    short = course(Springs([14.0], 0.01), list(np.repeat(targets, 2)))
    np.testing.assert_allclose(short[1::2], long, atol=1e-12)


def test_springs_side_by_side_do_not_know_of_each_other() -> None:
    both = Springs([5.0, 20.0], STEP_S)
    one, other = Springs([5.0], STEP_S), Springs([20.0], STEP_S)
    for target in np.random.default_rng(1).uniform(-1, 1, (40, 2)):
        a, b = both.step(target)
        assert a == pytest.approx(one.step(target[:1])[0], abs=1e-15)
        assert b == pytest.approx(other.step(target[1:])[0], abs=1e-15)


@pytest.mark.parametrize("omega", [9.5, 18.0])
def test_no_target_accelerates_more_than_the_bound(omega: float) -> None:
    bound = acceleration_bound(omega, reach=1.0)
    rows = np.random.default_rng(2).choice([-1.0, 1.0], (40, 60)).repeat(4, axis=1)
    most = max(np.abs(np.diff(course(Springs([omega], STEP_S), list(row)), 2)).max() / STEP_S**2 for row in rows)
    assert most <= bound
    # The worst target follows the sign of the answer's second derivative, backwards in time: the bound is no wider.
    signs = np.sign([(u - u**2 + u**3 / 6) for u in omega * STEP_S * np.arange(300)])
    worst = course(Springs([omega], STEP_S), list(signs[::-1]))
    assert 0.93 * bound < np.abs(np.diff(worst, 2)).max() / STEP_S**2 <= bound
