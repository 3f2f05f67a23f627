from __future__ import annotations

import numpy as np
import pytest
from talk import moments

from s2v.engine.behaviour.head_motion import (
    GESTURE_SHARE,
    GESTURE_SHARES,
    LARGEST_DEGREES,
    LOUD_SIDES,
    NOD_S,
    NOD_Y_UNITS,
    OMEGAS,
    HeadGestures,
    head_of,
)
from s2v.engine.behaviour.hearing.phrases import Phrase
from s2v.engine.behaviour.hearing.prosody import ProsodyTick
from s2v.engine.behaviour.pulses import Pulse
from s2v.engine.behaviour.springs import Springs
from s2v.engine.behaviour.sway import Swayed

NO_SWAY = Swayed(0, 0, 0, 0, 0, 0)
DEGREES = np.array([1, 1, 180 / np.pi, 180 / np.pi, 180 / np.pi, 1])


def test_at_rest_it_rests() -> None:
    np.testing.assert_allclose(head_of(np.zeros(10), NO_SWAY), 0, atol=1e-15)


def test_a_posture_is_left_as_it_is_and_sway_adds_to_it() -> None:
    posture = np.array([0.04, -0.08, 6.0, -5.0, 7.0, -0.03])
    np.testing.assert_allclose(head_of(np.r_[posture, np.zeros(4)], NO_SWAY) * DEGREES, posture)
    swayed = head_of(np.r_[posture, np.zeros(4)], Swayed(0.01, -0.008, 0.6, 0.7, -0.5, 1)) * DEGREES - posture
    np.testing.assert_allclose(swayed, [0.01, -0.008, 0.7, -0.5, 0.6, 0.0], atol=1e-12)


def test_a_nod_lowers_the_head_as_well() -> None:
    nodding = head_of(np.r_[np.zeros(6), 3.0, np.zeros(3)], NO_SWAY)
    assert np.degrees(nodding[3]) == pytest.approx(3.0) and nodding[1] == pytest.approx(3 * NOD_Y_UNITS)
    assert not nodding[[0, 2, 4, 5]].any()


def test_a_louder_voice_lowers_the_head_and_brings_it_nearer() -> None:
    quiet, loud = (head_of(np.r_[np.zeros(9), level], NO_SWAY) for level in (0.2, 0.8))
    assert (loud - quiet)[[1, 3, 5]].min() > 0
    assert ((loud - quiet)[[0, 2, 4]] == 0).all()


def courses(seed: int, accents: dict[int, float], nods: dict[int, Pulse] | None = None) -> np.ndarray:
    """What the springs make of accents, (200, 3): nod, turn and tilt in degrees."""
    head, springs = HeadGestures(np.random.default_rng(seed)), Springs(OMEGAS, 0.01)
    found = []
    for tick, now in enumerate(moments(2.0, "idle", accents=accents, sound=ProsodyTick(0.5, True, 0.0))):
        found.append(springs.step(head.step(now, [nods[tick]] if nods and tick in nods else []))[6:9].copy())
    return np.array(found)


def test_while_it_speaks_a_held_head_leans_to_a_side_with_loudness_another_in_each_phrase() -> None:
    begins = {10: Phrase(True, begins=True), 150: Phrase(True, begins=True)}
    sides = []
    for loud in (0.4, 0.8):
        head = HeadGestures(np.random.default_rng(5))
        sound = ProsodyTick(loud, True, 0.0)
        sides.append([head.step(now, [])[7:9].copy() for now in moments(2.0, own=begins, sound=sound)])
    quiet, strong = np.array(sides)
    np.testing.assert_allclose(strong, 2 * quiet)
    assert not quiet[5].any() and (np.abs(quiet[[100, 190]]) > 0).all()
    assert (quiet[100] != quiet[190]).all()
    assert (np.abs(quiet) <= 0.4 * LOUD_SIDES).all()


def pitches(seed: int, accents: dict[int, float], nods: dict[int, Pulse] | None = None) -> np.ndarray:
    return courses(seed, accents, nods)[:, 0]


def furthest(course: np.ndarray) -> float:
    return float(course[np.abs(course).argmax()])


def test_nods_scatter_as_peoples_do_and_are_over_within_a_second() -> None:
    nods = [pitches(seed, {50: 1.0}) for seed in range(300)]
    down = [nod for nod in nods if furthest(nod) > 0.1]
    # Filmed nods differ by a factor of four between the smallest and the largest tenth.
    low, middle, high = np.quantile([nod.max() for nod in down], [0.1, 0.5, 0.9])
    assert 1.5 < low < 2.7 and 3.4 < middle < 4.6 and 6.0 < high < 9.0
    assert max(nod.max() for nod in down) < 1.05 * LARGEST_DEGREES
    late = [int(nod.argmax()) - 50 for nod in down]
    assert min(late) >= 12 and max(late) <= 33  # a larger nod takes longer
    assert all(abs(nod[130]) < 0.1 for nod in down)


def test_accents_are_nodded_to_raised_to_turned_to_and_tilted_to() -> None:
    found = [courses(seed, {50: 1.0}) for seed in range(300)]
    moved = [course for course in found if np.abs(course).max() > 0.1]
    assert abs(len(moved) / 300 - GESTURE_SHARE) < 0.08
    pitch, turn, tilt = np.array([[furthest(part) for part in course.T] for course in moved]).T
    still = np.abs(pitch) < 0.1
    seen = [pitch >= 0.1, pitch <= -0.1, still & (np.abs(turn) > np.abs(tilt)), still & (np.abs(tilt) > np.abs(turn))]
    assert np.abs(np.mean(seen, axis=1) - GESTURE_SHARES).max() < 0.08
    for sideways in (turn[seen[2]], tilt[seen[3]]):
        assert sideways.min() < -1 and sideways.max() > 1  # either way
    there_and_beyond = [course[:, 1] for course, turned in zip(moved, seen[2], strict=True) if turned]
    shaken = [course for course in there_and_beyond if course.max() > 0.5 and course.min() < -0.5]
    assert 0.2 < len(shaken) / len(there_and_beyond) < 0.8


def test_a_stronger_accent_nods_further() -> None:
    usual, strong = (np.mean([np.abs(pitches(seed, {50: x})).max() for seed in range(90)]) for x in (0.8, 2.0))
    assert strong > 1.2 * usual


def test_without_accents_it_nods_only_when_asked_to() -> None:
    assert not pitches(1, {}).any()
    assert pitches(1, {}, {20: Pulse(0.3, 0.3 + NOD_S, 3.0)}).max() > 1.0


def test_the_targets_stay_within_what_the_bound_of_acceleration_is_made_of() -> None:
    head = HeadGestures(np.random.default_rng(4))
    accents = dict.fromkeys(range(0, 6000, 30), 2.0)
    targets = np.array(
        [head.step(now, []).copy() for now in moments(60.0, accents=accents, sound=ProsodyTick(1.2, True))]
    )
    assert np.abs(targets[:, 6:9]).max() <= 1.35 * LARGEST_DEGREES  # three quarters of the largest are reached
    assert targets[:, 9].max() <= 1.2
