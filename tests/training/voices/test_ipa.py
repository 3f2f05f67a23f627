# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""IPA as phones: English in ARPAbet, other languages with what English lacks."""

from __future__ import annotations

import pytest

from s2v.training.voices.ipa import arpabet, phones_of
from s2v.training.voices.phones import Phone, lips_like, phone_features, tongue_like

JAW, FRONT_TO_BACK, ROUND, LIPS, TEETH = range(5)


def features(name: str) -> list[float]:
    return [float(value) for value in phone_features([Phone(name, 0.0, 0.2)], 20)[10]]


@pytest.mark.parametrize(
    ("ipa", "names"),
    [
        ("bʌt^ʃ", "B AH CH"),
        ("ɹˈe^ɪ", "R EY"),
        ("lˈɪɾə^l", "L IH D AH L"),
        ("bˈʌʔn̩", "B AH T AH N"),
        ("rˈo", "R AO"),
    ],
)
def test_english_is_arpabet(ipa: str, names: str) -> None:
    assert arpabet(ipa) == names.split()


@pytest.mark.parametrize(
    ("ipa", "names"),
    [
        ("rˈy", "r y"),  # French rue with the r of Italian
        ("ʁˈy", "ɣ y"),
        ("blˈø", "B L ø"),
        ("pˈœʁ", "P œ ɣ"),
        ("bˈɔ̃ vˈɛ̃", "B o V AE"),
        ("lə- lyˈi", "L œ L y IY"),
        ("βˈeβe", "β e β e"),
        ("ɸˈɯᵝne̞", "ɸ ɯ N e"),
        ("t^sˈɯki", "T S ɯ K IY"),
        ("t^ɕˈä", "T ç a"),
        ("maɲˈana", "M a ɲ a N a"),
        ("pʰˈuːl", "P UW L"),
        ("cʰoːʈaː", "T ç o T AA"),
        ("pˈɐ̃^ʊ̃", "P AW"),
        ("a\u0303ɡ", "a G"),
    ],
)
def test_other_languages_keep_what_english_lacks(ipa: str, names: str) -> None:
    assert phones_of(ipa) == names.split()


def test_front_rounded_vowels_have_the_lips_of_oo_and_the_tongue_of_ee() -> None:
    oo, ee, rue, peu = features("UW"), features("IY"), features("y"), features("ø")
    assert rue[ROUND] == oo[ROUND] and rue[JAW] == oo[JAW]
    assert abs(rue[FRONT_TO_BACK] - ee[FRONT_TO_BACK]) < 0.2
    assert features("IH")[JAW] < peu[JAW] < features("EH")[JAW] and peu[ROUND] > 0.8


def test_lips_that_hiss_together_are_neither_shut_nor_at_the_teeth() -> None:
    for name in ("β", "ɸ"):
        assert 0.4 < features(name)[LIPS] < 0.8 and features(name)[TEETH] == 0
    assert features("B")[LIPS] == 1


def test_pure_vowels_do_not_glide_and_lie_between_their_neighbours() -> None:
    glide = phone_features([Phone("o", 0.0, 0.2)], 20)[:, ROUND]
    assert glide.min() == glide.max() > features("AO")[ROUND]
    assert features("IY")[JAW] < features("e")[JAW] < features("EH")[JAW]


FOREIGN = ["y", "ø", "œ", "ɯ", "e", "o", "a", "β", "ɸ", "r", "ɲ", "ç", "ʝ", "x", "ɣ", "ɥ"]


@pytest.mark.parametrize("name", FOREIGN)
def test_every_foreign_phone_has_english_ones_with_like_lips_and_tongue(name: str) -> None:
    lips, tongue = lips_like(name), tongue_like(name)
    assert all(like.isascii() and like.isupper() for like in (lips, tongue))
    assert abs(features(name)[ROUND] - features(lips)[ROUND]) <= 0.35
    assert abs(features(name)[FRONT_TO_BACK] - features(tongue)[FRONT_TO_BACK]) <= 0.4
    assert features(name)[TEETH] == features(tongue)[TEETH] == 0
    assert lips not in ("P", "B", "M")  # none of them shuts the mouth


def test_rounded_and_unrounded_are_told_apart() -> None:
    assert lips_like("y") == "UW" and tongue_like("y") == "IY"
    assert features(lips_like("ɯ"))[ROUND] == 0 and tongue_like("ɯ") == "UW"


def test_an_english_phone_is_like_itself() -> None:
    assert lips_like("UW") == tongue_like("UW") == "UW" and lips_like("SIL") == "SIL"
