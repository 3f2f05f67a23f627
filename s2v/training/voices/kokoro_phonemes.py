# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""Text as Kokoro's phonemes, each with the phones of ours that it stands for.

eSpeak NG reads the text; Kokoro was trained on the same letters but for some: one letter for a diphthong or an
affricate, and its own spelling of American and British vowels.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from dataclasses import dataclass

from s2v.errors import DataError
from s2v.training.voices.ipa import arpabet, phones_of

# The first letter of a voice's name -> how eSpeak NG calls the language.
LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br"}
_STRESS = "ˈˌ"
_TILDE = "\u0303"
# What a voice pauses at; signs of other scripts mean the same.
_PAUSES = str.maketrans({"।": ".", "。": ".", "、": ",", "？": "?", "！": "!", "–": "—"})
_PIECES = re.compile(r"([.,;:!?…—]+)\s*")
# A letter and what belongs to it: marks above and below, length, aspiration, and what is tied to it.
_SOUND = re.compile(r"[^\W\d_][\u0300-\u036fːʰʲᵝ-]*(?:\^[^\W\d_][\u0300-\u036fːʰʲᵝ-]*)*|[ˈˌ ]")
_LETTERS = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y", "t^ʃ": "ʧ", "d^ʒ": "ʤ", "t^s": "ʦ",
    "d^z": "ʣ", "t^ɕ": "ʨ", "d^ʑ": "ʥ",
}  # fmt: skip
_ENGLISH_LETTERS = {
    "ə^l": "ᵊl", "n̩": "ᵊn", "l̩": "ᵊl", "m̩": "ᵊm", "ʔ": "t", "e": "A", "r": "ɹ", "x": "k", "ɐ": "ə", "o": "ɔ", "ɬ": "l",
}  # fmt: skip
_AMERICAN_LETTERS = {"ɚ": "əɹ", "ɜː": "ɜɹ", "ɾ": "T", "i^ə": "iə", "e^ə": "ɛ", "ɔː": "ɔ"}
_BRITISH_LETTERS = {"e^ə": "ɛː", "i^ə": "ɪə", "ʊ^ə": "ʊə", "ɾ": "t"}


@dataclass(frozen=True)
class Sound:
    """A stretch of Kokoro's alphabet, and the phones that are spoken in it: none in stress, spaces and pauses."""

    letters: str
    phones: tuple[str, ...] = ()

    @property
    def is_pause(self) -> bool:
        return bool(_PIECES.fullmatch(self.letters))


def read_aloud(text: str, language: str) -> list[Sound]:
    """The sounds of a text, in order, as eSpeak NG's voice of this language reads it. Raises: DataError."""
    sounds: list[Sound] = []
    for number, piece in enumerate(_PIECES.split(text.translate(_PAUSES))):
        if number % 2:
            sounds.append(Sound(piece[0]))
            continue
        read = sounds_of(_ipa(piece, language), language) if piece.strip() else []
        if read:
            sounds += [Sound(" "), *read] if sounds else read
    return sounds


def sounds_of(ipa: str, language: str) -> list[Sound]:
    """The sounds of what eSpeak NG wrote with ^ for a tie."""
    ipa = unicodedata.normalize("NFD", ipa).replace("c\u0327", "ç")  # marks apart, but for the one letter with a tail
    if language == "ja":  # the syllable n before a consonant of the lips is one itself, which eSpeak does not know
        ipa = re.sub(f"u{_TILDE}(?= ?[{_STRESS}]?[pbm])", "m", ipa).replace(f"u{_TILDE}", "ɴ")
    sounds = []
    for sound in _SOUND.findall(ipa):
        if sound in _STRESS or sound == " ":
            sounds.append(Sound(sound))
        else:
            sounds.append(Sound(_letters(sound, language), _phones(sound, language)))
    return sounds


def _phones(sound: str, language: str) -> tuple[str, ...]:
    if language.startswith("en"):
        return tuple(arpabet(sound))
    own = {"pt-br": {"y": ("IY",)}}.get(language, {})  # eSpeak's y of Portuguese is the i at the end of "noite"
    return own.get(sound) or tuple(phones_of(sound))


def _letters(sound: str, language: str) -> str:
    plain = sound.rstrip("-")
    if language.startswith("en"):
        own = _AMERICAN_LETTERS if language == "en-us" else _BRITISH_LETTERS
        for table in (own, _ENGLISH_LETTERS, _LETTERS):
            if plain in table:
                return table[plain]
        # a vowel before r is tied to it
        parts = [_ENGLISH_LETTERS.get(part, part) for part in (own.get(part, part) for part in plain.split("^"))]
        letters = "".join(parts)
        return letters.replace("ː", "") if language == "en-us" else letters
    if language == "ja":
        plain = {"w": "β", "ɯ^ᵝ": "ɯ"}.get(plain, plain)
        return _LETTERS.get(plain, _untied(plain))
    core = re.match(r"[^\W\d_]\^[^\W\d_]", plain)
    if core and core[0] in _LETTERS:
        return _LETTERS[core[0]] + plain[len(core[0]) :]
    return _untied(plain)


def _untied(sound: str) -> str:
    return sound.replace("^", "")


def _ipa(text: str, language: str) -> str:
    command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-v", language, "--", text.strip()]
    try:
        ipa = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"eSpeak NG did not read {text!r} ({error}): apt install espeak-ng") from None
    ipa = re.sub(r"\([\w-]+\)", "", ipa)  # (en): where it changes to another language
    return " ".join(ipa.split())
