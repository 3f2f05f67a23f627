"""What phones ask of lips and tongue, and how neighbours blend."""

from __future__ import annotations

import numpy as np
import pytest

from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.voices.articulation import (
    LIP_AIMS,
    Aim,
    class_of,
    dominance,
    frame_times_s,
    lip_aims,
    tract_aims,
    tract_labels,
)
from s2v.training.voices.phones import SILENCE, Phone, phone_features

SPEC = LipSyncSpec()
HEIGHT, FRONT, TIP, TEETH, DENTAL = range(len(TRACT_VARIABLES))


def middle_of(phone: str, before: str = "AH", after: str = "AH", length_s: float = 0.12) -> np.ndarray:
    """Tract variables in the middle of a phone between two others."""
    phones = [Phone(before, 0.0, 0.44), Phone(phone, 0.44, 0.44 + length_s), Phone(after, 0.44 + length_s, 1.2)]
    return np.asarray(tract_labels(phones, 30, SPEC)[int((0.44 + length_s / 2) * 25)])


def test_every_phone_that_the_bridge_knows_has_aims() -> None:
    known = [name for name in LIP_AIMS if phone_features([Phone(name, 0.0, 0.1)], 10)[5, 15] == 0]
    assert len(known) == len(LIP_AIMS) == 39
    assert all(len(tract_aims(name)) == len(TRACT_VARIABLES) for name in LIP_AIMS)


@pytest.mark.parametrize(
    ("variable", "high", "low"),
    [(HEIGHT, "IY", "AA"), (HEIGHT, "K", "AE"), (FRONT, "IY", "UW"), (FRONT, "EH", "AO"), (TIP, "L", "AA"),
     (TIP, "TH", "K"), (TIP, "N", "M"), (TEETH, "F", "P"), (TEETH, "V", "S"), (DENTAL, "TH", "S"),
     (DENTAL, "DH", "D"), (DENTAL, "TH", "L"), (DENTAL, "TH", "F")],
)  # fmt: skip
def test_phones_differ_where_the_tongue_does(variable: int, high: str, low: str) -> None:
    assert middle_of(high)[variable] > middle_of(low)[variable] + 0.3


def test_labels_lie_between_0_and_1_and_at_rest_in_silence() -> None:
    phones = [Phone(name, 0.1 * i, 0.1 * (i + 1)) for i, name in enumerate(LIP_AIMS)]
    labels = tract_labels([*phones, Phone(SILENCE, 3.9, 6.0)], 150, SPEC)
    assert labels.shape == (150, 5) and labels.dtype == np.float32
    assert labels.min() >= 0 and labels.max() <= 1
    np.testing.assert_allclose(labels[130:], np.tile(TRACT_AT_REST, (20, 1)), atol=0.01)
    np.testing.assert_allclose(tract_labels([], 5, SPEC), np.tile(TRACT_AT_REST, (5, 1)), atol=1e-6)


def test_vowels_decide_what_lips_leave_open() -> None:
    """A b between front vowels has its tongue in front, between back ones at the back."""
    assert middle_of("B", "IY", "IY")[FRONT] > 0.9
    assert middle_of("B", "AO", "AO")[FRONT] < 0.1


def test_a_diphthong_goes_from_its_first_vowel_to_its_second() -> None:
    labels = tract_labels([Phone("AY", 0.2, 0.6)], 25, SPEC)
    assert labels[6, HEIGHT] < 0.3 < 0.6 < labels[13, HEIGHT]


def test_an_aim_holds_in_its_part_and_dies_away_outside() -> None:
    phones = [Phone("OW", 1.0, 1.4)]
    weight, values = dominance(np.array([0.9, 1.05, 1.1, 1.2, 1.4, 1.47]), phones, [[Aim(5.0, 0.8, 0.25, 1.0)]], 0.07)
    assert values.tolist() == [5.0]
    expected = 0.8 * np.exp(-np.array([0.2, 0.05, 0, 0, 0, 0.07]) / 0.07)
    np.testing.assert_allclose(weight[:, 0], expected, rtol=1e-9)


def test_phones_with_the_same_aims_are_one_class() -> None:
    assert class_of("B") == class_of("M") == "P"
    assert class_of("UW") != class_of("W")
    assert class_of("nothing") == ""


def test_frames_are_timed_by_their_middles() -> None:
    np.testing.assert_allclose(frame_times_s(3, SPEC), [0.02, 0.06, 0.10])


def test_phones_that_english_lacks_take_the_lips_of_one_and_the_tongue_of_another() -> None:
    """The French u: lips of "oo", tongue of "ee"."""
    assert class_of("y") == class_of("UW") == "UW"
    assert lip_aims("y") == LIP_AIMS["UW"]
    assert middle_of("y")[FRONT] > 0.6 > 0.3 > middle_of("UW")[FRONT]
    assert lip_aims(SILENCE) is None and lip_aims("nothing") is None
