"""The session's clock, under virtual time: hours pass in a moment."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming.fakes import stamp_of
from streaming.virtual_time import VirtualTime

from s2v.streaming.session.buffers import DueFrame, FrameQueue, VoiceBuffer
from s2v.streaming.session.clock import GRID_SAMPLES, MAX_CATCH_UP, MediaClock
from s2v.streaming.session.tracks import FaceTrack, VoiceTrack

RATE_HZ = 16_000
CHUNK = 320
DELAY_S = 0.2


def play(
    clock: MediaClock,
    time: VirtualTime,
    seconds: float,
    ppm: float = 0.0,
    jitter_s: tuple[float, ...] = (0.0,),
    chunk: int = CHUNK,
    first: int = 0,
) -> list[tuple[int, float, float]]:
    """Feed a source whose crystal is off by `ppm`; returns (offset, arrival, delay of the newest sample) per chunk."""
    began_s, log = time.now_s, []
    for k in range(round(seconds * RATE_HZ / chunk)):
        end = first + (k + 1) * chunk
        sent_s = began_s + (k + 1) * chunk / RATE_HZ / (1 + ppm * 1e-6)
        time.now_s = max(time.now_s, sent_s + jitter_s[k % len(jitter_s)])
        offset = clock.arrived(end)
        log.append((offset, time.now_s, clock.time_of(end + offset) - sent_s))
    return log


def test_the_newest_sample_is_due_one_playout_delay_after_it_came() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    time.now_s += 7.0
    offset = clock.arrived(CHUNK)
    assert offset % GRID_SAMPLES == 0
    assert clock.time_of(CHUNK + offset) - time.now_s == pytest.approx(DELAY_S, abs=GRID_SAMPLES / RATE_HZ)


@given(since_s=st.floats(0, 0.1), first=st.integers(1, 5000), playout_delay_s=st.floats(0.05, 0.8))
def test_audio_is_never_held_back_shorter_than_asked_and_at_most_a_packet_longer(
    since_s: float, first: int, playout_delay_s: float
) -> None:
    time = VirtualTime()
    clock = MediaClock(playout_delay_s, now=time.now)
    time.now_s += since_s
    offset = clock.arrived(first)
    assert offset % 320 == 0, "packets of 20 ms begin on this grid"
    assert -1e-9 <= clock.until(first + offset) - playout_delay_s < 0.02 + 1e-9
    assert clock.actual_delay_s == pytest.approx(clock.until(first + offset))
    assert clock.due_of(first) == first + offset


def test_growing_goes_by_whole_packets_and_says_so() -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    before, actual_delay_s = clock.arrived(CHUNK), clock.actual_delay_s
    clock.grow_playout_delay(0.05)
    assert clock.arrived(CHUNK) - before == 3 * 320 and clock.playout_delay_s == pytest.approx(0.25)
    assert clock.actual_delay_s - actual_delay_s == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("asked_s", "speed"),
    [
        (0.5, 0.99),  # 0.3 s more at once: it may be 1 % slower, which nobody hears ...
        (0.22, 0.996),  # ... and is slower by a fifth of what is missing
        (0.19, 1.01),  # faster by as much as is too much, a second
        (0.15, 1.04),  # and never more than 4 %
    ],
)
def test_the_voice_is_bent_towards_what_is_asked_by_no_more_than_a_player_hides(asked_s: float, speed: float) -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    play(clock, time, 2.0)
    assert clock.actual_delay_s == pytest.approx(0.2, abs=1e-6)
    clock.playout_delay_s = asked_s
    play(clock, time, CHUNK / RATE_HZ, first=2 * RATE_HZ)
    began_s, began = time.now_s, clock.position()
    time.now_s += 1.0
    assert (clock.position() - began) / RATE_HZ == pytest.approx(speed * (time.now_s - began_s), abs=1e-6)


def test_in_a_pause_the_voice_may_run_faster_than_would_be_heard_in_speech() -> None:
    time = VirtualTime()
    clock = MediaClock(0.5, now=time.now)
    play(clock, time, 2.0)
    clock.playout_delay_s, clock.quiet = 0.2, True
    play(clock, time, 0.8, first=2 * RATE_HZ)
    assert clock.actual_delay_s == pytest.approx(0.2 + 0.3 * np.exp(-0.8 / 1.0), abs=0.01)
    clock.quiet = False
    play(clock, time, 5.0, first=round(2.8 * RATE_HZ))
    assert clock.actual_delay_s == pytest.approx(0.2, abs=0.01), "and it does not run past what was asked"
    assert clock.stalls == 0


def test_without_audio_the_clock_does_not_run_on_at_the_speed_of_a_catch_up() -> None:
    time = VirtualTime()
    clock = MediaClock(0.5, now=time.now)
    play(clock, time, 2.0)
    clock.playout_delay_s = 0.4
    play(clock, time, 0.1, first=2 * RATE_HZ)
    clock.coast()
    began_s, began = time.now_s, clock.position()
    time.now_s += 0.6
    assert (clock.position() - began) / RATE_HZ > 1.03 * 0.6, "a packet or two may be missing"
    clock.coast()
    began_s, began = time.now_s, clock.position()
    time.now_s += 60.0
    assert (clock.position() - began) / RATE_HZ == pytest.approx(time.now_s - began_s)


def test_an_early_arrival_counts_for_a_second() -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    play(clock, time, 2.0)
    later_s = (0.05,)  # the network has become longer for good
    play(clock, time, 0.9, jitter_s=later_s, first=2 * RATE_HZ)
    assert clock.actual_delay_s == pytest.approx(0.2, abs=2e-3)
    play(clock, time, 0.2, jitter_s=(0.0,), first=round(2.9 * RATE_HZ))  # `time` stands 0.05 s later already
    assert clock.actual_delay_s == pytest.approx(0.15, abs=5e-3)


def test_half_a_second_without_audio_in_time_is_a_stall_and_less_is_not() -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    placed = clock.arrived(CHUNK)
    time.now_s += 0.3  # longer than it is held back, and so is everything that follows
    log = play(clock, time, 1.0, first=CHUNK)
    moved_s = next(arrival_s for offset, arrival_s, _ in log if offset != placed)
    assert moved_s - log[0][1] == pytest.approx(0.5, abs=0.021)


@pytest.mark.parametrize(("longer_s", "stalls"), [(0.17, 0), (0.23, 1)])
def test_audio_that_comes_in_time_at_the_last_moment_is_no_stall(longer_s: float, stalls: int) -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    play(clock, time, 2.0)
    play(clock, time, 1.5, jitter_s=(longer_s,), first=2 * RATE_HZ)  # the network has become longer for good
    assert clock.stalls == stalls


def test_a_source_that_leaps_ahead_is_placed_anew_once() -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    play(clock, time, 2.0)
    log = play(clock, time, 2.0, first=3 * RATE_HZ)  # a second of it is left out
    assert clock.stalls == 1
    assert log[-1][2] == pytest.approx(0.2, abs=0.021)


@pytest.mark.parametrize(("late_s", "moves"), [(0.02, False), (0.04, True)])
def test_a_first_packet_may_make_the_call_wait_a_frame_longer_and_no_more(late_s: float, moves: bool) -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    time.now_s += 0.01  # so that what the grid adds makes it 0.23 s and 0.25 s
    log = play(clock, time, 1.0, jitter_s=(late_s, *[0.0] * 200))
    assert log[1][2] == pytest.approx(0.25 if moves else 0.23, abs=1e-3)
    assert (log[-1][0] != log[0][0]) is moves


def test_before_any_audio_has_come_whatever_is_asked_for_is_due_now() -> None:
    time = VirtualTime()
    clock = MediaClock(0.2, now=time.now)
    time.now_s += 1.0
    assert clock.due_of(5000) == clock.position() == pytest.approx(RATE_HZ)


@settings(max_examples=12, deadline=None)
@given(ppm=st.floats(-200, 200), hours=st.sampled_from([1, 4]))
def test_a_crystal_that_is_off_makes_the_delay_neither_grow_nor_run_dry(ppm: float, hours: int) -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    log = play(clock, time, hours * 3600, ppm, chunk=10 * CHUNK)
    assert {offset for offset, _, _ in log} == {log[0][0]}, "placed once, never again"
    settled = [delay for _, _, delay in log[len(log) // 20 :]]
    assert max(settled) - min(settled) < 0.002
    assert settled[-1] == pytest.approx(DELAY_S, abs=0.005)
    assert clock.stalls == 0


def test_twenty_four_hours_at_200_ppm_stay_near_the_playout_delay() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    log = play(clock, time, 24 * 3600, 200.0, chunk=25 * CHUNK)
    assert max(abs(delay - DELAY_S) for _, _, delay in log) < 0.03
    assert clock.stalls == 0


@pytest.mark.parametrize("ppm", [200.0, -200.0])
def test_a_day_of_jitter_pauses_and_a_crystal_that_is_off_leaves_the_delay_where_it_was(ppm: float) -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    random = np.random.default_rng(24)
    chunk, heard, settled = 25 * CHUNK, 0, []
    for hour in range(24):
        jitter = tuple(random.gamma(1.0, 0.01, size=997).clip(0, 0.15))
        log = play(clock, time, 3600, ppm, jitter, chunk=chunk, first=heard)
        heard += len(log) * chunk
        settled.append([delay for _, _, delay in log[120:]])  # a minute after it was placed
        assert {offset for offset, _, _ in log[120:]} == {log[120][0]}, "jitter alone never moves the voice"
        assert clock.stalls == hour
        time.now_s += 2.0  # the source stands still: its samples go on where they ended
    errors = np.abs(np.array(settled) - DELAY_S)
    assert errors.max() < 0.015, "the newest sample waits one playout delay, give or take the jitter, all day"
    assert abs(np.median(settled[-1]) - np.median(settled[0])) < 0.001, "and no different at night"


def test_after_a_day_both_tracks_still_release_one_position_at_one_moment() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    for hour in range(24):
        play(clock, time, 3600, 150.0, chunk=50 * CHUNK, first=hour * 3600 * RATE_HZ)

    async def day_old() -> None:
        frames = FrameQueue(4)
        voice, face = VoiceTrack(VoiceBuffer(96_000), clock), FaceTrack(frames, clock, np.zeros((8, 8, 3), np.uint8))
        await face.recv()
        for _ in range(50):
            position = stamp_of(await voice.recv()) // 3
            assert clock.position() == pytest.approx(position, abs=0.01)
            frames.put(DueFrame(position + 320, np.zeros((8, 8, 3), np.uint8)))
            picture = await face.recv()
            assert picture.pts == position + 320
            assert clock.position() == pytest.approx(position + 320 - face.lead_s * RATE_HZ, abs=10)

    time.run(day_old())


def test_a_playout_delay_that_changes_is_followed_without_a_jump() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    offset = play(clock, time, 5.0)[-1][0]
    for playout_delay_s in (0.13, 0.17):
        clock.playout_delay_s = playout_delay_s
        log = play(clock, time, 40.0, first=round(clock.position()) - offset + round(clock.actual_delay_s * RATE_HZ))
        assert {moved for moved, _, _ in log} == {offset}
        assert log[-1][2] == pytest.approx(playout_delay_s, abs=0.002)
        assert clock.actual_delay_s == pytest.approx(playout_delay_s, abs=0.002)


@settings(max_examples=50, deadline=None)
@given(
    jitter=st.lists(st.floats(0, 0.15), min_size=1, max_size=40).map(tuple),
    ppm=st.floats(-200, 200),
)
def test_releases_are_monotonic_and_slewed_gently_whatever_the_jitter(jitter: tuple[float, ...], ppm: float) -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    seen = []
    for _ in range(20):
        play(clock, time, 0.5, ppm, jitter)
        seen.append((time.now_s, clock.position()))
    for (t0, p0), (t1, p1) in pairwise(seen):
        assert (p1 - p0) / RATE_HZ == pytest.approx(t1 - t0, rel=MAX_CATCH_UP * 1.01)
    assert clock.time_of(p1) < clock.time_of(p1 + 1)
    assert clock.time_of(clock.position()) == pytest.approx(time.now_s)


def test_a_burst_after_a_network_pause_does_not_move_the_voice() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    before = play(clock, time, 5.0)[-1][0]
    time.now_s += 0.4
    for k in range(20):  # what was held up arrives at once
        assert clock.arrived(5 * RATE_HZ + (k + 1) * CHUNK) == before
    assert play(clock, time, 5.0, first=5 * RATE_HZ + 20 * CHUNK)[-1][0] == before
    assert clock.stalls == 0


def test_a_source_that_stood_still_is_placed_anew_once() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    before = play(clock, time, 5.0)[-1][0]
    position = clock.position()
    time.now_s += 3.0
    log = play(clock, time, 5.0, first=5 * RATE_HZ)
    assert clock.stalls == 1
    assert log[-1][0] - before == pytest.approx(3.0 * RATE_HZ, abs=0.1 * RATE_HZ)
    assert log[-1][2] == pytest.approx(DELAY_S, abs=0.03)
    assert clock.position() > position


def test_a_first_packet_that_came_late_does_not_delay_the_whole_call() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    log = play(clock, time, 3.0, jitter_s=(0.3, *[0.0] * 200))
    assert log[-1][2] == pytest.approx(DELAY_S, abs=0.03)
    assert clock.stalls == 0


def test_growing_the_playout_delay_holds_back_what_is_still_to_come() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)
    play(clock, time, 3.0)
    clock.grow_playout_delay(0.1)
    assert play(clock, time, 3.0, first=3 * RATE_HZ)[-1][2] == pytest.approx(DELAY_S + 0.1, abs=0.03)
    assert clock.stalls == 0


def test_voice_and_picture_of_one_sample_wake_together() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)

    async def wake(position: int) -> float:
        await clock.sleep_until(position)
        return time.now_s

    async def both() -> None:
        voice, face = await asyncio.gather(wake(8000), wake(8000))
        assert voice == face == pytest.approx(clock.time_of(8000))

    time.run(both())


def test_whoever_sleeps_while_the_voice_slows_down_sleeps_longer() -> None:
    time = VirtualTime()
    clock = MediaClock(DELAY_S, now=time.now)

    async def slow_down() -> None:
        play(clock, time, 2.0)
        position = clock.position() + RATE_HZ
        sleeping = asyncio.create_task(clock.sleep_until(position))
        await asyncio.sleep(0)
        clock.playout_delay_s = 0.5
        play(clock, time, CHUNK / RATE_HZ, first=2 * RATE_HZ)
        await sleeping
        assert clock.position() == pytest.approx(position, abs=1)

    time.run(slow_down())
