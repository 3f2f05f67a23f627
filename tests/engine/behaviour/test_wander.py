from __future__ import annotations

import numpy as np

from s2v.engine.behaviour.head_motion import POSTURE_OMEGAS
from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.springs import Springs, acceleration_bound
from s2v.engine.behaviour.wander import WANDER, WANDER_SHARE, Wander


def wandered(role: Role, seed: int = 0) -> np.ndarray:
    """What the springs of postures make of a minute, (6000, 6)."""
    wander, springs = Wander(np.random.default_rng(seed)), Springs(POSTURE_OMEGAS, 0.01)
    return np.array([springs.step(wander.step(role)).copy() for _ in range(6000)])


def test_a_held_head_wavers_within_each_second_about_as_film_does() -> None:
    seconds = wandered("talking").reshape(60, 100, 6).std(1)
    # Film's quietest tenth of seconds: 0.45 degrees of yaw, 0.60 of pitch, 0.33 of roll.
    assert (np.median(seconds, axis=0)[2:5] > [0.25, 0.2, 0.12]).all()
    assert (np.median(seconds, axis=0)[2:5] < [0.6, 0.6, 0.45]).all()
    assert not seconds[:, 5].any()


def test_it_stays_near_and_is_never_thrown() -> None:
    found = wandered("talking")
    assert (np.abs(found) <= WANDER).all() and (np.abs(found.mean(0)) <= 0.1 * WANDER).all()
    bounds = [acceleration_bound(omega, reach) for omega, reach in zip(POSTURE_OMEGAS, 2 * WANDER, strict=True)]
    assert (np.abs(np.diff(found, 2, axis=0)).max(0) <= 100**2 * np.array(bounds)).all()


def test_who_does_not_talk_is_calmer() -> None:
    talking, listening, idle = (wandered(role)[:, :5].std(0) for role in ("talking", "listening", "idle"))
    np.testing.assert_allclose(listening, WANDER_SHARE["listening"] * talking)
    np.testing.assert_allclose(idle, WANDER_SHARE["idle"] * talking)


def test_seeds_wander_differently_and_one_seed_the_same() -> None:
    np.testing.assert_array_equal(wandered("talking", 1), wandered("talking", 1))
    assert (wandered("talking", 1) != wandered("talking", 2)).any()
