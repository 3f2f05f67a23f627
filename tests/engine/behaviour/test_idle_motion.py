from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.behaviour.idle_motion import (
    CLOSING_S,
    EASE_IN_S,
    GAZE_HIGHEST,
    GAZE_WIDEST,
    OPENING_S,
    ROLL_DEGREES,
    SEED_LIMIT,
    SHIFT_X_UNITS,
    SHIFT_Y_UNITS,
    SHUT_S,
    IdleMotion,
    lid_course,
)
from s2v.engine.behaviour.pose import FacePose

SEEDS = st.integers(0, SEED_LIMIT - 1)


@cache
def blinks(seed: int, fps: int = 25, seconds: int = 200) -> list[list[float]]:
    """Each blink's course, frame by frame, and its first frame in front."""
    motion = IdleMotion(seed, fps)
    found: list[list[float]] = []
    before = 0.0
    for frame in range(seconds * fps):
        closed = motion.at(frame).closed
        if closed > 0 and before == 0:
            found.append([frame])
        if closed > 0:
            found[-1].append(closed)
        before = closed
    return found


# --- a function of seed and frame, nothing else -------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_frame_is_the_same_however_frames_are_asked_for(seed: int, frames: list[int]) -> None:
    asked = IdleMotion(seed, 25)
    shuffled = [asked.at(frame) for frame in frames]
    assert shuffled == [IdleMotion(seed, 25).at(frame) for frame in frames]
    assert [asked.at(frame) for frame in reversed(frames)] == shuffled[::-1]


@given(SEEDS, SEEDS)
@settings(max_examples=30, deadline=None)
def test_seeds_move_differently(one: int, other: int) -> None:
    same = all(IdleMotion(one, 25).at(frame) == IdleMotion(other, 25).at(frame) for frame in (30, 60, 90))
    assert same == (one == other)


@given(SEEDS, st.integers(0, 3000))
@settings(max_examples=50, deadline=None)
def test_the_frame_rate_changes_when_frames_are_seen_not_what_happens(seed: int, seconds: int) -> None:
    slow, fast = IdleMotion(seed, 25).at(25 * seconds), IdleMotion(seed, 60).at(60 * seconds)
    assert slow == fast


@pytest.mark.parametrize("seed", [-1, SEED_LIMIT])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=str(seed)):
        IdleMotion(seed, 25)


# --- how far and how fast -----------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_it_begins_at_rest(seed: int) -> None:
    motion = IdleMotion(seed, 25)
    assert motion.at(0) == FacePose()
    assert motion.at(0).still
    for frame in range(round(EASE_IN_S * 25)):
        pose = motion.at(frame)
        assert pose.closed == 0
        assert abs(pose.shift[0]) <= SHIFT_X_UNITS * min(1, 4 * (frame / 25) ** 2)


@given(SEEDS, st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_nothing_goes_further_than_it_may(seed: int, frame: int) -> None:
    pose = IdleMotion(seed, 25).at(frame)
    assert abs(pose.shift[0]) <= SHIFT_X_UNITS
    assert abs(pose.shift[1]) <= SHIFT_Y_UNITS
    assert abs(np.degrees(pose.roll)) <= ROLL_DEGREES + 1e-9
    assert 0 <= pose.breath <= 1
    assert 0 <= pose.closed <= 1
    assert abs(pose.gaze[0]) <= GAZE_WIDEST
    assert abs(pose.gaze[1]) <= GAZE_HIGHEST


@given(SEEDS, st.integers(0, 10**5))
@settings(max_examples=20, deadline=None)
def test_head_and_breath_never_jump(seed: int, first: int) -> None:
    motion = IdleMotion(seed, 25)
    for a, b in pairwise(motion.at(frame) for frame in range(first, first + 100)):
        # Within one frame: 15 % of the way at the very most, where it begins to move.
        assert abs(a.shift[0] - b.shift[0]) < 0.15 * SHIFT_X_UNITS
        assert abs(a.shift[1] - b.shift[1]) < 0.15 * SHIFT_Y_UNITS
        assert abs(a.roll - b.roll) < 0.15 * np.radians(ROLL_DEGREES)
        assert abs(a.breath - b.breath) < 0.08


def test_the_idle_head_uses_most_of_its_range() -> None:
    motion = IdleMotion(1, 25)
    poses = [motion.at(frame) for frame in range(0, 1500, 5)]
    assert np.ptp([pose.shift[0] for pose in poses]) > 0.6 * SHIFT_X_UNITS
    assert np.ptp([pose.shift[1] for pose in poses]) > 0.6 * SHIFT_Y_UNITS
    assert np.ptp([np.degrees(pose.roll) for pose in poses]) > 0.6 * ROLL_DEGREES


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_breathes_about_fifteen_times_a_minute(seed: int) -> None:
    motion = IdleMotion(seed, 25)
    breath = np.array([motion.at(frame).breath for frame in range(25, 25 + 3000)])
    breaths = (np.diff((breath > 0.5).astype(int)) == 1).sum()
    assert 26 <= breaths <= 34  # in two minutes


# --- blinks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_blinks_come_every_few_seconds_and_not_like_a_clock(seed: int) -> None:
    starts_s = np.array([blink[0] for blink in blinks(seed)]) / 25
    gaps_s = np.diff(starts_s)
    assert 12 <= len(starts_s) * 60 / 200 <= 22  # a minute
    assert starts_s[0] > EASE_IN_S
    assert gaps_s.max() < 8
    single = gaps_s[gaps_s > 1]
    assert single.min() > 1.3
    assert single.std() > 0.8


def test_some_blinks_come_in_pairs() -> None:
    gaps_s = np.concatenate([np.diff([blink[0] for blink in blinks(seed)]) / 25 for seed in range(4)])
    assert 0.04 < (gaps_s < 1).mean() < 0.2


@pytest.mark.parametrize("fps", [24, 25, 30, 50])
def test_every_blink_closes_the_eyes_and_takes_a_third_of_a_second(fps: int) -> None:
    for _, *course in blinks(5, fps, seconds=60)[:-1]:
        assert max(course) > 0.85
        assert (CLOSING_S + OPENING_S) * fps - 1 <= len(course) <= (CLOSING_S + SHUT_S + OPENING_S) * fps + 1
        peak = int(np.argmax(course))
        assert (np.diff(course[: peak + 1]) >= 0).all()
        assert (np.diff(course[peak:]) <= 1e-9).all()


def test_lids_fall_faster_than_they_rise() -> None:
    moments = np.linspace(-0.1, 0.6, 701)
    course = np.array([lid_course(t) for t in moments])
    assert course[0] == course[-1] == 0
    assert course.max() == 1
    half_closed = moments[course >= 0.5]
    falling, rising = half_closed[0], moments[course > 0][-1] - half_closed[-1]
    assert 0.03 < falling < 0.06
    assert 0.07 < rising < 0.15
    assert np.abs(np.diff(course)).max() < 0.02  # a thousandth of a second: no jump


# --- gaze ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_looks_are_held_and_change_within_a_frame_or_two(seed: int) -> None:
    motion = IdleMotion(seed, 25)
    gaze = np.array([motion.at(frame).gaze for frame in range(50, 4000)])
    moving = (np.abs(np.diff(gaze, axis=0)) > 0).any(1)
    assert 0.005 < moving.mean() < 0.12
    steps = np.flatnonzero(moving)
    holds = np.diff(steps)[np.diff(steps) > 1]  # frames
    assert np.median(holds) > 12  # half a second
    assert holds.min() > 8
    assert len(steps) < 4 * (len(holds) + 1)  # a change takes three frames at most
    assert (gaze == 0).all(1).mean() > 0.2  # often straight into the camera
    assert gaze[:, 0].std() > 0.2 * GAZE_WIDEST
