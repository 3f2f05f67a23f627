from __future__ import annotations

import numpy as np
from talk import moments

from s2v.engine.behaviour.brows import LIFT_SHARE, LIFT_UNITS, LOUD_UNITS, QUESTION_UNITS, Brows
from s2v.engine.behaviour.hearing.phrases import Phrase
from s2v.engine.behaviour.hearing.prosody import ProsodyTick
from s2v.engine.behaviour.pulses import Pulse


def heights(seed: int, accents: dict[int, float] | None = None, own: dict[int, Phrase] | None = None) -> np.ndarray:
    """Targets of the brows in the first second, before another level is chosen."""
    brows = Brows(np.random.default_rng(seed))
    return np.array([brows.step(now, [])[0] for now in moments(0.95, accents=accents, own=own)])


def test_strong_accents_lift_the_brows_and_usual_ones_do_not() -> None:
    lifted = np.array([heights(seed, {40: 1.8}).max() for seed in range(100)])
    assert not any(heights(seed, {40: 1.0}).any() for seed in range(20))
    assert LIFT_SHARE - 0.15 < (lifted > 0).mean() < LIFT_SHARE + 0.15
    assert (lifted[lifted > 0] >= LIFT_UNITS[0]).all() and lifted.max() <= LIFT_UNITS[1]
    assert heights(0, {5: 1.8})[-10:].max() == 0  # and let them go


def test_a_question_lifts_them() -> None:
    rising = Phrase(ends=True, rises=True)
    plain, asked = (np.mean([heights(s, own={40: p})[45] for s in range(200)]) for p in (Phrase(ends=True), rising))
    assert abs(asked - plain - QUESTION_UNITS) < 0.004


def test_a_listener_lifts_them_when_asked_to() -> None:
    brows = Brows(np.random.default_rng(0))
    found = [brows.step(now, [Pulse(0.1, 0.3, 0.02)] if i == 0 else [])[0] for i, now in enumerate(moments(0.5))]
    assert found[5] == 0 and found[20] == 0.02 and found[40] == 0


def test_they_follow_loudness_and_the_lids_follow_them() -> None:
    brows = Brows(np.random.default_rng(0))
    found = np.array([brows.step(now, []) for now in moments(0.5, sound=ProsodyTick(1.0, True))])
    np.testing.assert_allclose(found[:, 0], LOUD_UNITS)
    assert (found[:, 1] > 0.05).all()


def test_levels_are_gone_to_at_once_upwards_and_slowly_downwards() -> None:
    brows = Brows(np.random.default_rng(0))
    found = np.array([brows.step(now, []) for now in moments(400.0)])
    ways = np.diff(found[:, 0])
    assert ways.max() > 5 * -ways.min() > 0
    assert (ways < 0).mean() > 2 * (ways > 1e-6).mean()
    assert found[:, 0].min() > -0.06 and found[:, 0].max() < 0.04


def test_levels_last_longer_than_a_phrase() -> None:
    levels = []
    for seed in range(8):
        brows = Brows(np.random.default_rng(seed))
        levels.append(np.array([brows.step(now, [])[0] for now in moments(120.0)]))
    slow = [one.reshape(-1, 500).mean(1).std() for one in levels]  # of means over five seconds: film has 0.0115
    assert 0.006 < np.mean(slow) < 0.014


def test_a_talkers_cheeks_rise_a_little() -> None:
    brows = Brows(np.random.default_rng(0))
    found = np.array([brows.step(now, []) for now in moments(200.0)])
    assert found[:, 2].min() >= 0 and 0.1 < found[:, 2].max() <= 0.25
    assert 0.001 < found[:, 3].std() < 0.006
