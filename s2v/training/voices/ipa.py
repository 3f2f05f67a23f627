# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""Phonemes of the International Phonetic Alphabet, as synthesizers write them, as the phones of `phones.py`.

English is written in ARPAbet as CMUdict has it. A sound that English lacks keeps its own letter where the mouth does
something else for it than for any sound of English: "y" of French "rue" is no UW and no IY. Sounds that differ only
where nobody sees it (dental and retroflex stops, aspiration, length, nasal vowels) share a phone.
Places of articulation: The International Phonetic Association, "Handbook of the IPA" (1999).
"""

from __future__ import annotations

import unicodedata

# Longest first within the search below. Vowels before r of British voices are two phones here: the glide matters.
_SYMBOLS: dict[str, tuple[str, ...]] = {
    # consonants
    "p": ("P",), "b": ("B",), "t": ("T",), "d": ("D",), "k": ("K",), "ɡ": ("G",), "g": ("G",), "f": ("F",),
    "v": ("V",), "θ": ("TH",), "ð": ("DH",), "s": ("S",), "z": ("Z",), "ʃ": ("SH",), "ʒ": ("ZH",), "h": ("HH",),
    "m": ("M",), "n": ("N",), "ŋ": ("NG",), "l": ("L",), "ɫ": ("L",), "r": ("R",), "ɹ": ("R",), "w": ("W",),
    "ʍ": ("W",), "j": ("Y",), "tʃ": ("CH",), "dʒ": ("JH",), "ʧ": ("CH",), "ʤ": ("JH",), "ɾ": ("D",), "T": ("D",),
    "ʔ": ("T",), "x": ("K",), "n̩": ("AH", "N"), "l̩": ("AH", "L"), "m̩": ("AH", "M"),
    # vowels
    "i": ("IY",), "ɪ": ("IH",), "ᵻ": ("IH",), "ɨ": ("IH",), "e": ("EH",), "ɛ": ("EH",), "æ": ("AE",), "a": ("AE",),
    "aː": ("AA",), "ɑ": ("AA",), "ɒ": ("AA",), "ɔ": ("AO",), "o": ("AO",), "ʊ": ("UH",), "u": ("UW",), "ʉ": ("UW",),
    "ʌ": ("AH",), "ə": ("AH",), "ɐ": ("AH",), "ᵊ": ("AH",), "ɚ": ("ER",), "ɜ": ("ER",), "ɜɹ": ("ER",), "əɹ": ("ER",),
    # diphthongs; one capital letter each in the alphabet of misaki and hibari
    "eɪ": ("EY",), "aɪ": ("AY",), "ɔɪ": ("OY",), "oʊ": ("OW",), "əʊ": ("OW",), "aʊ": ("AW",), "ʌʉ": ("AW",),
    "A": ("EY",), "I": ("AY",), "Y": ("OY",), "O": ("OW",), "Q": ("OW",), "W": ("AW",),
    "iə": ("IH", "AH"), "eə": ("EH", "AH"), "ʊə": ("UH", "AH"),
}  # fmt: skip
# What is otherwise where no English is spoken. Decomposed: a tilde is a sign of its own.
_OTHER_LANGUAGES: dict[str, tuple[str, ...]] = {
    # vowels: pure ones do not glide as in English
    "e": ("e",), "o": ("o",), "a": ("a",), "aː": ("AA",), "y": ("y",), "ʏ": ("y",), "ø": ("ø",), "œ": ("œ",),
    "ɯ": ("ɯ",), "ɤ": ("AH",), "ɵ": ("ø",), "ɛ\u0303": ("AE",), "ɔ\u0303": ("o",), "ɐ\u0303ʊ\u0303": ("AW",),
    "ə-": ("œ",),  # as eSpeak writes French "le"
    "æ": ("AH",),  # as eSpeak writes the end of Portuguese "casa"
    # consonants
    "β": ("β",), "ɸ": ("ɸ",), "x": ("x",), "χ": ("x",), "ɣ": ("ɣ",), "ʁ": ("ɣ",), "ʀ": ("ɣ",), "r": ("r",),
    "ɾ": ("D",), "ɽ": ("D",), "ʈ": ("T",), "ɖ": ("D",), "ɳ": ("N",), "ʂ": ("SH",), "ʐ": ("ZH",), "ʋ": ("V",),
    "ɲ": ("ɲ",), "ɴ": ("NG",), "ʎ": ("Y",), "ɥ": ("ɥ",), "ɰ": ("ɣ",), "ɦ": ("HH",), "ç": ("ç",), "ɕ": ("ç",),
    "ʝ": ("ʝ",), "ʑ": ("ʝ",), "c": ("T", "ç"), "ɟ": ("D", "ʝ"), "ɫ": ("L",), "ʔ": (),
    "ts": ("T", "S"), "dz": ("D", "Z"), "ʦ": ("T", "S"), "ʣ": ("D", "Z"), "tɕ": ("T", "ç"), "dʑ": ("D", "ʝ"),
    "ʨ": ("T", "ç"), "ʥ": ("D", "ʝ"),
}  # fmt: skip
_SAME_SOUND = str.maketrans({":": "ː", "ˈ": "", "ˌ": "", "^": "", "\u200d": "", "\u0361": ""})  # stress and ties


def arpabet(ipa: str) -> list[str]:
    """The phones of a stretch of English in order, without stress; signs that are no phone are skipped."""
    return _phones(ipa, _ENGLISH)


def phones_of(ipa: str) -> list[str]:
    """The same for a stretch of any other language, with phones that English lacks."""
    return _phones(ipa, _ANY)


def _phones(ipa: str, symbols: dict[str, tuple[str, ...]]) -> list[str]:
    ipa = unicodedata.normalize("NFD", ipa.translate(_SAME_SOUND))
    longest = max(map(len, symbols))
    phones: list[str] = []
    at = 0
    while at < len(ipa):
        for length in range(longest, 0, -1):
            found = symbols.get(ipa[at : at + length])
            if found is not None and at + length <= len(ipa):
                phones += found
                break
        at += length
    return phones


def _decomposed(symbols: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {unicodedata.normalize("NFD", sign): names for sign, names in symbols.items()}


_ENGLISH = _decomposed(_SYMBOLS)
_ANY = _ENGLISH | _decomposed(_OTHER_LANGUAGES)
