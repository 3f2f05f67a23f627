"""How far a session follows what it needs; the clock and the machine are not asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2v.streaming.session.playout_delay import (
    FEWEST_LASTING,
    FRAMES,
    RESERVE_S,
    SEEN_ENOUGH,
    STEP_DOWN_S,
    STEP_DOWN_SHARE,
    STEP_UP_S,
    PlayoutDelay,
)


def fed(frame_s: float, packet_s: float, frames: int = FRAMES) -> PlayoutDelay:
    budget = PlayoutDelay()
    for _ in range(frames):
        budget.frame_needed(frame_s)
        budget.packet_needed(packet_s)
    return budget


def test_nothing_changes_before_enough_was_seen() -> None:
    budget = fed(0.1, 0.02, frames=SEEN_ENOUGH - 1)
    assert budget.wanted_s() is None and budget.next(0.3) == 0.3


@given(frame_s=st.floats(0, 0.5), packet_s=st.floats(0, 0.5), start_s=st.floats(0.05, 0.8))
def test_the_budget_arrives_at_the_larger_need_in_small_steps_and_stays(
    frame_s: float, packet_s: float, start_s: float
) -> None:
    budget, now_s = fed(frame_s, packet_s), start_s
    needed_s = max(frame_s, packet_s) + RESERVE_S
    for _ in range(60):
        before_s, now_s = now_s, budget.next(now_s)
        down_s = max(STEP_DOWN_S, STEP_DOWN_SHARE * (before_s - needed_s))
        assert -down_s - 1e-9 <= now_s - before_s <= STEP_UP_S + 1e-9
    assert now_s == pytest.approx(needed_s)


def test_a_single_slow_frame_costs_a_frame_and_not_delay() -> None:
    budget = fed(0.1, 0.02)
    budget.frame_needed(0.7)
    assert budget.wanted_s() == pytest.approx(0.1 + RESERVE_S)


def test_a_voice_that_comes_in_fits_is_held_back_for_its_slow_packets() -> None:
    budget = PlayoutDelay()
    for k in range(500):
        budget.packet_needed(0.15 if k % 25 == 0 else 0.02)
        budget.frame_needed(0.1)
    assert budget.wanted_s() == pytest.approx(0.15 + RESERVE_S)


def test_a_slowness_that_lasts_is_told_from_a_hiccup() -> None:
    budget = fed(0.1, 0.02)
    assert budget.lasting_s(50) == pytest.approx(0.1 + RESERVE_S)
    for _ in range(10):
        budget.frame_needed(0.4)
    assert budget.lasting_s(50) == pytest.approx(0.1 + RESERVE_S)
    for _ in range(25):
        budget.frame_needed(0.4)
    assert budget.lasting_s(50) == pytest.approx(0.4 + RESERVE_S)
    assert fed(0.4, 0.4, frames=49).lasting_s(50) == 0.0


def test_a_machine_that_draws_few_frames_finds_out_from_these_that_it_is_slow() -> None:
    budget = fed(0.1, 0.02)
    for _ in range(FEWEST_LASTING):
        budget.frame_needed(0.5)
    assert budget.lasting_s(FEWEST_LASTING) == pytest.approx(0.5 + RESERVE_S)
    assert budget.lasting_s(FEWEST_LASTING - 1) == 0.0, "too few to tell"


def test_the_playout_delay_stays_within_its_limits() -> None:
    budget = fed(0.01, 0.01)
    budget.lowest_s, budget.highest_s = 0.1, 0.8
    assert budget.wanted_s() == 0.1
    for _ in range(FRAMES):
        budget.frame_needed(2.0)
    assert budget.wanted_s() == 0.8
