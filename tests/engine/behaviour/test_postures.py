from __future__ import annotations

import numpy as np
import pytest
from talk import moments

from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.hearing.phrases import Phrase
from s2v.engine.behaviour.postures import APART_S, MOST_TILT, REACH, TALKING_MIDDLE, Postures


def course(length_s: float, role: Role, seed: int = 0, own: dict[int, Phrase] | None = None) -> np.ndarray:
    postures = Postures(np.random.default_rng(seed))
    return np.array([postures.step(now)[0] for now in moments(length_s, role, own=own)])


def setting_off(postures: np.ndarray) -> np.ndarray:
    """Ticks in which it begins to move after it was still."""
    moving = (np.diff(postures, axis=0) != 0).any(1)
    return np.flatnonzero(moving[1:] & ~moving[:-1]) + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_talking_head_holds_most_of_the_time_and_goes_on_within_two_seconds(seed: int) -> None:
    found = course(120.0, "talking", seed)
    moving = (np.diff(found, axis=0) != 0).any(1)
    assert moving.mean() < 0.35  # the targets: springs take longer
    gaps = np.diff(setting_off(found))
    assert gaps.min() >= 100 * APART_S - 1
    assert 40 < np.median(gaps) < 150


@pytest.mark.parametrize("role", ["listening", "idle"])
def test_who_does_not_talk_moves_less_and_slower(role: Role) -> None:
    talking, other = course(200.0, "talking"), course(200.0, role)
    assert (other[500:].std(0)[:5] < 0.6 * talking[500:].std(0)[:5]).all()
    assert len(setting_off(other)) < 0.4 * len(setting_off(talking))
    assert np.abs(np.diff(other, axis=0)).max(0)[2] < 0.5 * np.abs(np.diff(talking, axis=0)).max(0)[2]


def test_a_listener_comes_nearer() -> None:
    assert course(200.0, "listening")[500:, 5].mean() > course(200.0, "idle")[500:, 5].mean() + 0.005


def test_it_uses_its_reach_and_no_more() -> None:
    found = np.concatenate([course(100.0, "talking", seed) for seed in range(3)]) - TALKING_MIDDLE
    # The middle is for talking heads: they begin at rest.
    shared = np.array([1.5, 1.26, 1.0, 1.0, 1.26, 1.0])  # what other axes add
    assert (np.abs(found) <= shared * REACH + np.abs(TALKING_MIDDLE)).all()
    assert (np.abs(found).max(0) > 0.8 * REACH).all()
    assert (found.std(0) > np.array([0.4, 0.4, 0.4, 0.4, 0.3, 0.4]) * REACH).all()  # tilts gather about the middle


@pytest.mark.parametrize("seed", range(3))
def test_a_head_seldom_tilts_far_and_never_from_one_end_to_the_other(seed: int) -> None:
    tilts = course(200.0, "talking", seed)[:, 4]
    assert (np.abs(tilts) > 0.7 * REACH[4]).mean() < 0.08
    # 0.3 s hold one step; what is taken back slowly may be added.
    assert np.abs(tilts[30:] - tilts[:-30]).max() <= 1.1 * MOST_TILT


def test_a_phrase_brings_a_posture_with_it() -> None:
    begins = {tick: Phrase(speaking=True, begins=True) for tick in (400, 500)}
    ends = {tick: Phrase(ends=True) for tick in (400, 500)}
    counts = {}
    for name, events in (("begins", begins), ("ends", ends), ("nothing", {})):
        moved = [course(5.2, "idle", seed, events)[[398, 410, 498, 510]] for seed in range(40)]
        counts[name] = sum((one[i] != one[i + 1]).any() for one in moved for i in (0, 2))
    assert counts["begins"] > counts["ends"] > 1.8 * counts["nothing"]
    assert counts["begins"] > 0.85 * 80


def test_large_steps_are_reported() -> None:
    postures = Postures(np.random.default_rng(0))
    large = [postures.step(now)[1] for now in moments(60.0)]
    assert 5 < sum(large) < 60
