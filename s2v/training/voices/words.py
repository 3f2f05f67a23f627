"""What a transcript says, word by word, and how words outside the dictionary are spoken."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from functools import lru_cache

from s2v.training.voices.ipa import arpabet

# Only where the dictionary of the aligner has the abbreviation itself, or something else, under this spelling.
_ABBREVIATIONS = {
    "dr": "doctor", "st": "saint", "lt": "lieutenant", "col": "colonel", "capt": "captain", "gen": "general",
    "prof": "professor", "rev": "reverend", "hon": "honorable", "messrs": "messieurs", "vs": "versus",
}  # fmt: skip
_UNITS = {"$": "dollars", "£": "pounds", "€": "euros"}
_NUMBER = re.compile(r"([$£€]?)(\d[\d,]*)(?:\.(\d+))?(st|nd|rd|th|s)?\b")


def spoken_words(text: str) -> list[str]:
    """Lower-case words as they are said: numbers and some abbreviations written out, no punctuation, no accents."""
    text = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    text = text.replace("&", " and ").replace("%", " percent ")
    text = re.sub(r"\bno\.\s*(?=\d)", "number ", text)
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b", lambda time: f"{time[1]} {time[2].removeprefix('00')}", text)
    text = re.sub(r"\b([a-z]+)\.", lambda word: f"{_ABBREVIATIONS.get(word[1], word[1])} ", text)
    return re.findall(r"[a-z']+", _NUMBER.sub(_said, text).replace("-", " "))


def _said(number: re.Match[str]) -> str:
    from num2words import num2words

    unit, whole, fraction, ending = number.groups()
    value = int(whole.replace(",", ""))
    if fraction:
        said = f"{num2words(value)} point {' '.join(num2words(int(digit)) for digit in fraction)}"
    elif ending in ("st", "nd", "rd", "th"):
        said = num2words(value, to="ordinal")
    # Four digits in a row are mostly a year.
    elif re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", whole) and not unit:
        said = num2words(value, to="year")
    else:
        said = num2words(value)
    if ending == "s":
        said = f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"
    return f" {said} {_UNITS.get(unit, '')} "


@lru_cache(maxsize=4096)
def pronunciation(word: str) -> tuple[str, ...]:
    """Phones of an English word as eSpeak NG reads it, () if it is not installed or the word has none."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", "--", word]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(arpabet(told))
