"""How far a session follows what it needs; the clock and the machine are not asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.streaming.session.playout_delay import (
    FEWEST_LASTING,
    FRAMES,
    RESERVE_S,
    STEP_DOWN_S,
    STEP_DOWN_SHARE,
    STEP_UP_S,
    PlayoutDelay,
)


def fed(frame_s: float, packet_s: float, frames: int = FRAMES) -> PlayoutDelay:
    playout_delay = PlayoutDelay()
    for _ in range(frames):
        playout_delay.frame_needed(frame_s)
        playout_delay.packet_needed(packet_s)
    return playout_delay


def test_nothing_changes_before_enough_was_seen() -> None:
    playout_delay = fed(0.1, 0.02, frames=99)
    assert playout_delay.wanted_s() is None and playout_delay.next(0.3) == 0.3
    playout_delay.frame_needed(0.1)
    assert playout_delay.wanted_s() == pytest.approx(0.108)


def test_nothing_changes_before_a_packet_has_come() -> None:
    playout_delay = shared(slow=0, frames=FRAMES, packets=0)
    assert playout_delay.wanted_s() is None and playout_delay.next(0.3) == 0.3


@settings(deadline=None)
@given(frame_s=st.floats(0, 0.5), packet_s=st.floats(0, 0.5), start_s=st.floats(0.05, 0.8))
def test_the_playout_delay_arrives_at_the_larger_need_in_small_steps_and_stays(
    frame_s: float, packet_s: float, start_s: float
) -> None:
    playout_delay, now_s = fed(frame_s, packet_s), start_s
    needed_s = max(frame_s, packet_s) + RESERVE_S
    for _ in range(60):
        before_s, now_s = now_s, playout_delay.next(now_s)
        down_s = max(STEP_DOWN_S, STEP_DOWN_SHARE * (before_s - needed_s))
        assert -down_s - 1e-9 <= now_s - before_s <= STEP_UP_S + 1e-9
    assert now_s == pytest.approx(needed_s)


def shared(slow: int, frames: int, packets: int = 1, slow_packets: int = 0) -> PlayoutDelay:
    """Of the newest `frames`, `slow`, all over them, needed 0.4 s and the others 0.1 s; of the packets, or 0.02 s."""
    playout_delay = PlayoutDelay()
    for k in range(frames):
        playout_delay.frame_needed(0.4 if (k + 1) * slow // frames > k * slow // frames else 0.1)
    for k in range(packets):
        late = (k + 1) * slow_packets // packets > k * slow_packets // packets
        playout_delay.packet_needed(0.4 if late else 0.02)
    return playout_delay


def test_nineteen_frames_of_twenty_are_in_time_and_ninety_nine_packets_of_a_hundred() -> None:
    """Beside the worst stretch, of 38 frames and 75 packets."""
    assert shared(slow=14, frames=250).wanted_s() == pytest.approx(0.108), "of 250, 12 are fewer than one in twenty"
    assert shared(slow=16, frames=250).wanted_s() == pytest.approx(0.408)
    assert shared(0, 250, packets=500, slow_packets=5).wanted_s() == pytest.approx(0.108)
    assert shared(0, 250, packets=500, slow_packets=6).wanted_s() == pytest.approx(0.408)


@pytest.mark.parametrize(("frames", "wanted_s"), [(38, 0.108), (38 + 12, 0.108), (38 + 13, 0.408)])
def test_one_hiccup_of_a_second_and_a_half_is_no_need_wherever_it_lies(frames: int, wanted_s: float) -> None:
    for after in (0, 80, 250 - frames):
        playout_delay = shared(slow=0, frames=250)
        for needed_s in [0.4] * frames + [0.1] * after:
            playout_delay.frame_needed(needed_s)
        assert playout_delay.wanted_s() == pytest.approx(wanted_s)


def test_a_second_hiccup_within_ten_seconds_is_a_need() -> None:
    playout_delay = shared(slow=0, frames=250)
    for needed_s in [0.4] * 14 + [0.1] * 100 + [0.4] * 14:
        playout_delay.frame_needed(needed_s)
    assert playout_delay.wanted_s() == pytest.approx(0.408)


def test_a_slowness_lasts_when_a_quarter_of_the_newest_frames_were_slow_in_each_half() -> None:
    assert shared(slow=12, frames=50).lasting_s(50) == pytest.approx(0.108)
    assert shared(slow=14, frames=50).lasting_s(50) == pytest.approx(0.408)
    hiccup = fed(0.1, 0.02)
    for _ in range(25):
        hiccup.frame_needed(0.4)
    assert hiccup.lasting_s(50) == pytest.approx(0.108), "a whole second, but only one"


def test_what_is_older_than_ten_seconds_is_forgotten() -> None:
    playout_delay = shared(slow=250, frames=250, packets=500, slow_packets=500)
    for _ in range(250 - 12):
        playout_delay.frame_needed(0.1)
    for _ in range(500 - 75 - 5):
        playout_delay.packet_needed(0.02)
    assert playout_delay.wanted_s() == pytest.approx(0.408), "five packets beyond a hiccup are still known"
    playout_delay.packet_needed(0.02)
    assert playout_delay.wanted_s() == pytest.approx(0.108)


@pytest.mark.parametrize(
    ("current_s", "next_s"),
    [
        (0.1, 0.12),  # up by 20 ms a second
        (0.295, 0.308),  # or less, when that is all
        (0.318, 0.308),  # down by 10 ms
        (0.315, 0.308),
        (0.508, 0.348),  # or by four fifths of what is too much
    ],
)
def test_the_steps_of_a_second(current_s: float, next_s: float) -> None:
    assert fed(0.3, 0.02).next(current_s) == pytest.approx(next_s, abs=1e-9)


def test_a_single_slow_frame_costs_a_frame_and_not_delay() -> None:
    playout_delay = fed(0.1, 0.02)
    playout_delay.frame_needed(0.7)
    assert playout_delay.wanted_s() == pytest.approx(0.1 + RESERVE_S)


def test_a_voice_that_comes_in_fits_is_held_back_for_its_slow_packets() -> None:
    playout_delay = PlayoutDelay()
    for k in range(500):
        playout_delay.packet_needed(0.15 if k % 25 == 0 else 0.02)
        playout_delay.frame_needed(0.1)
    assert playout_delay.wanted_s() == pytest.approx(0.15 + RESERVE_S)


def test_a_slowness_that_lasts_is_told_from_a_hiccup() -> None:
    playout_delay = fed(0.1, 0.02)
    assert playout_delay.lasting_s(50) == pytest.approx(0.1 + RESERVE_S)
    for _ in range(10):
        playout_delay.frame_needed(0.4)
    assert playout_delay.lasting_s(50) == pytest.approx(0.1 + RESERVE_S)
    for _ in range(35):
        playout_delay.frame_needed(0.4)
    assert playout_delay.lasting_s(50) == pytest.approx(0.4 + RESERVE_S)
    assert fed(0.4, 0.4, frames=49).lasting_s(50) == 0.0


def test_a_machine_that_draws_few_frames_finds_out_from_these_that_it_is_slow() -> None:
    playout_delay = fed(0.1, 0.02)
    for _ in range(FEWEST_LASTING):
        playout_delay.frame_needed(0.5)
    assert playout_delay.lasting_s(FEWEST_LASTING) == pytest.approx(0.5 + RESERVE_S)
    assert playout_delay.lasting_s(FEWEST_LASTING - 1) == 0.0, "too few to tell"


def test_the_limits_hold() -> None:
    playout_delay = fed(0.01, 0.01)
    playout_delay.lowest_s, playout_delay.highest_s = 0.1, 0.8
    assert playout_delay.wanted_s() == 0.1
    for _ in range(FRAMES):
        playout_delay.frame_needed(2.0)
    assert playout_delay.wanted_s() == 0.8
