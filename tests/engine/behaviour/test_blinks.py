from __future__ import annotations

import numpy as np
import pytest
from talk import moments

from s2v.engine.behaviour.blinks import AT_END_SHARE, COURSE_S, FIRST_S, Blinks, lid_course
from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.hearing.phrases import Phrase


def starts_s(length_s: float, role: Role = "idle", seed: int = 0, own: dict[int, Phrase] | None = None) -> np.ndarray:
    blinks = Blinks(np.random.default_rng(seed))
    closed = []
    for now in moments(length_s, role, own=own):
        blinks.step(now, turned=False)
        closed.append(blinks.closed(now.time_s - 0.005))
    lids = np.array(closed)
    return np.flatnonzero((lids[1:] > 0) & (lids[:-1] == 0)) / 100


@pytest.mark.parametrize("seed", range(3))
def test_blinks_come_every_few_seconds_and_not_like_a_clock(seed: int) -> None:
    found = starts_s(300.0, seed=seed)
    gaps_s = np.diff(found)
    assert 12 <= len(found) / 5 <= 22  # a minute
    assert found[0] >= FIRST_S
    assert gaps_s.max() < 8
    single = gaps_s[gaps_s > 1]
    assert single.min() > 1.3 and single.std() > 0.8


def test_some_blinks_come_in_pairs() -> None:
    gaps_s = np.concatenate([np.diff(starts_s(200.0, seed=seed)) for seed in range(4)])
    assert 0.04 < (gaps_s < 1).mean() < 0.2


def test_a_talker_blinks_more_often_than_a_listener() -> None:
    ends = {tick: Phrase(ends=True) for tick in range(400, 30000, 400)}
    talking, listening = starts_s(300.0, "talking", own=ends), starts_s(300.0, "listening")
    assert 17 < len(talking) / 5 < 30
    assert len(talking) > 1.3 * len(listening)


def test_half_of_the_phrases_end_with_a_blink() -> None:
    ends = {170: Phrase(ends=True)}  # sooner than any other blink
    blinked = np.mean([starts_s(1.76, "talking", seed, ends).any() for seed in range(150)])
    assert AT_END_SHARE - 0.12 < blinked < AT_END_SHARE + 0.12


def test_a_large_turn_of_the_head_often_comes_with_one() -> None:
    count = 0
    for seed in range(150):
        blinks = Blinks(np.random.default_rng(seed))
        for tick, now in enumerate(moments(1.75, "idle")):
            blinks.step(now, turned=tick == 160)
        count += blinks.closed(1.7) > 0
    assert 0.12 < count / 150 < 0.27


def test_lids_fall_fast_and_rise_slowly_as_on_film() -> None:
    t = np.linspace(-0.1, 0.6, 7001)
    course = np.array([lid_course(x) for x in t])
    assert course[0] == course[-1] == 0 and course.max() == 1
    assert (course[(t <= 0) | (t >= COURSE_S)] == 0).all()
    low, high = t[course >= 0.2], t[course >= 0.8]
    assert 0.03 < high[0] - low[0] < 0.05
    assert 0.065 < high[-1] - high[0] < 0.085
    assert 0.11 < low[-1] - high[-1] < 0.14
    assert np.abs(np.diff(course)).max() < 0.003  # a ten-thousandth of a second: no jump
