# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""Phonemes of the International Phonetic Alphabet, as synthesizers write them, in ARPAbet as CMUdict has it."""

from __future__ import annotations

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
_LONGEST = max(map(len, _SYMBOLS))
_SAME_SOUND = str.maketrans({":": "ː", "ˈ": "", "ˌ": "", "\u200d": "", "\u0361": ""})  # stress and ties say nothing


def arpabet(ipa: str) -> list[str]:
    """The phones of a stretch of IPA in order, without stress; signs that are no phone are skipped."""
    ipa = ipa.translate(_SAME_SOUND)
    phones: list[str] = []
    at = 0
    while at < len(ipa):
        for length in range(_LONGEST, 0, -1):
            found = _SYMBOLS.get(ipa[at : at + length])
            if found and at + length <= len(ipa):
                phones += found
                break
        at += length
    return phones
