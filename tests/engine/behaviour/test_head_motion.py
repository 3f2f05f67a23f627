from __future__ import annotations

import numpy as np
import pytest
from talk import moments

from s2v.engine.behaviour.head_motion import NOD_DEGREES, NOD_S, NOD_Y_UNITS, OMEGAS, HeadGestures, head_of
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


def pitches(seed: int, accents: dict[int, float], nods: dict[int, Pulse] | None = None) -> np.ndarray:
    """What the nod's spring makes of accents, degrees."""
    head, springs = HeadGestures(np.random.default_rng(seed)), Springs(OMEGAS, 0.01)
    found = []
    for tick, now in enumerate(moments(2.0, "idle", accents=accents, sound=ProsodyTick(0.5, True, 0.0))):
        found.append(springs.step(head.step(now, [nods[tick]] if nods and tick in nods else []))[6])
    return np.array(found)


def test_most_accents_nod_down_by_two_to_five_degrees_within_a_quarter_of_a_second() -> None:
    down, late = [], []
    for seed in range(80):
        course = pitches(seed, {50: 1.0})
        if (course > 0.1).any():
            down.append(course.max())
            late.append(int(course.argmax()) - 50)
            assert course[-1] < 0.05  # and up again
    assert 0.65 < len(down) / 80 < 0.95
    assert min(down) > 1.8 and max(down) < 5.0
    assert min(late) >= 12 and max(late) <= 26


def test_a_stronger_accent_nods_further() -> None:
    usual, strong = (np.mean([np.abs(pitches(seed, {50: x})).max() for seed in range(30)]) for x in (0.8, 2.0))
    assert strong > 1.2 * usual


def test_without_accents_it_nods_only_when_told() -> None:
    assert not pitches(1, {}).any()
    assert pitches(1, {}, {20: Pulse(0.3, 0.3 + NOD_S[0], 3.0)}).max() > 1.0


def test_the_targets_stay_within_what_the_bound_of_acceleration_is_made_of() -> None:
    head = HeadGestures(np.random.default_rng(4))
    accents = dict.fromkeys(range(0, 6000, 30), 2.0)
    targets = np.array(
        [head.step(now, []).copy() for now in moments(60.0, accents=accents, sound=ProsodyTick(1.2, True))]
    )
    assert np.abs(targets[:, 6]).max() <= NOD_DEGREES[1]
    assert targets[:, 9].max() <= 1.2
