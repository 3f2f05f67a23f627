# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""What eSpeak NG reads becomes Kokoro's letters, each with the phones spoken in it."""

from __future__ import annotations

import shutil

import pytest

from s2v.errors import DataError
from s2v.training.voices.kokoro_phonemes import Sound, read_aloud, sounds_of


def written(sounds: list[Sound]) -> str:
    return "".join(sound.letters for sound in sounds)


def spoken(sounds: list[Sound]) -> str:
    return " ".join(name for sound in sounds for name in sound.phones)


@pytest.mark.parametrize(
    ("language", "ipa", "letters", "phones"),
    [
        ("en-us", "lˈɪɾə^l bˈɔ^ɪ", "lˈɪTᵊl bˈY", "L IH D AH L B OY"),
        ("en-us", "bˈʌʔn̩", "bˈʌtᵊn", "B AH T AH N"),
        ("en-us", "nˈɜːs wˈɔːɾɚ", "nˈɜɹs wˈɔTəɹ", "N ER S W AO D ER"),
        ("en-us", "hˈɔː^ɹs ðˈɛ^ɹ", "hˈɔɹs ðˈɛɹ", "HH AO R S DH EH R"),
        ("en-gb", "nˈɜːs ɡˈə^ʊt", "nˈɜːs ɡˈQt", "N ER S G OW T"),
        ("en-gb", "ðˈe^ə hˈi^əɹ", "ðˈɛː hˈɪəɹ", "DH EH AH HH IH AH R"),
        ("es", "mut^ʃˈisimo bˈeso", "muʧˈisimo bˈeso", "M UW CH IY S IY M o B e S o"),
        ("fr-fr", "lə- bˈɔ̃", "lə bˈɔ̃", "L œ B o"),
        ("it", "d^zˈukːeɾo", "ʣˈukːeɾo", "D Z UW K e D o"),
        ("pt-br", "nˈo^ɪt^ʃy", "nˈoɪʧy", "N o IH CH IY"),
        ("hi", "cʰˈoːʈaː", "cʰˈoːʈaː", "T ç o T AA"),
        ("ja", "ɕiũbɯ^ᵝɴ wˈä", "ɕimbɯɴ βˈa", "ç IY M B ɯ NG W a"),
        ("ja", "çˈito̞ t^sˈɯ^ᵝki", "çˈito̞ ʦˈɯki", "ç IY T o T S ɯ K IY"),
    ],
)
def test_letters_and_phones(language: str, ipa: str, letters: str, phones: str) -> None:
    sounds = sounds_of(ipa, language)
    marks = {ord(mark): None for mark in "\u0308\u031e"}  # no letters of Kokoro's: the engine drops them
    assert written(sounds).translate(marks) == letters.replace("ɔ̃", "ɔ\u0303").translate(marks)
    assert spoken(sounds) == phones


def test_stress_and_spaces_are_no_phones() -> None:
    sounds = sounds_of("bˈɪɡ mˌæp", "en-us")
    assert [sound.letters for sound in sounds if not sound.phones] == ["ˈ", " ", "ˌ"]


def test_punctuation_is_kept_where_the_text_has_it() -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("eSpeak NG is not installed")
    sounds = read_aloud("Up, Bob? Yes...", "en-us")
    assert [sound.letters for sound in sounds if sound.is_pause] == [",", "?", "."]
    assert spoken(sounds) == "AH P B AA B Y EH S"
    assert [sound.letters for sound in sounds][2:6] == ["p", ",", " ", "b"]
    assert read_aloud("हाँ।", "hi")[-1].letters == "."


def test_a_text_without_words_says_nothing() -> None:
    assert written(read_aloud(" . ", "en-us")) == "."


def test_a_language_that_espeak_lacks_is_an_error() -> None:
    with pytest.raises(DataError, match="eSpeak NG did not read 'Hi'"):
        read_aloud("Hi", "xx-none")
