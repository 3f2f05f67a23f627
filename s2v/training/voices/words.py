"""What a transcript says, word by word, and how words outside the dictionary are spoken."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from functools import lru_cache
from pathlib import Path

from s2v.errors import DataError
from s2v.training.voices.ipa import arpabet

# Only where the dictionary of the aligner has the abbreviation itself, or something else, under this spelling.
_ABBREVIATIONS = {
    "dr": "doctor", "st": "saint", "lt": "lieutenant", "col": "colonel", "capt": "captain", "gen": "general",
    "prof": "professor", "rev": "reverend", "hon": "honorable", "messrs": "messieurs", "vs": "versus",
}  # fmt: skip
_UNITS = {"$": "dollars", "£": "pounds", "€": "euros"}
TRANSCRIPTS = "transcripts.txt"  # in a folder of recordings or clips
_LONGEST_NUMBER = 15  # digits
_NUMBER = re.compile(r"([$£€]?)(\d[\d,]*)(?:\.(\d+))?(st|nd|rd|th|s)?\b")


def spoken_words(text: str) -> list[str]:
    """Lower-case words as they are said: numbers and some abbreviations written out, no punctuation, no accents."""
    text = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    text = text.replace("&", " and ").replace("%", " percent ")
    text = re.sub(r"\bno\.\s*(?=\d)", "number ", text)
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b", lambda time: f"{time[1]} {time[2].removeprefix('00')}", text)
    text = re.sub(r"\b([a-z]+)\.", lambda word: f"{_ABBREVIATIONS.get(word[1], word[1])} ", text)
    return re.findall(r"[a-z']+", _NUMBER.sub(_spelled, text).replace("-", " "))


def _spelled(number: re.Match[str]) -> str:
    from num2words import num2words

    unit, whole, fraction, ending = number.groups()
    digits = whole.replace(",", "")
    if len(digits) > _LONGEST_NUMBER:  # no quantity; and there is no word for some
        return f" {' '.join(num2words(int(digit)) for digit in digits + (fraction or ''))} "
    value = int(digits)
    if fraction:
        spelled = f"{num2words(value)} point {' '.join(num2words(int(digit)) for digit in fraction)}"
    elif ending in ("st", "nd", "rd", "th"):
        spelled = num2words(value, to="ordinal")
    # Four digits in a row are mostly a year.
    elif re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", whole) and not unit:
        spelled = num2words(value, to="year")
    else:
        spelled = num2words(value)
    if ending == "s":
        spelled = f"{spelled[:-1]}ies" if spelled.endswith("y") else f"{spelled}s"
    return f" {spelled} {_UNITS.get(unit, '')} "


def read_words(path: Path) -> dict[str, str]:
    """Clip name -> its words in order, from a table of word times as GRID has them.

    Raises: DataError, not such a file, or a line whose times are no stretch of time.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} as a table of words ({error})") from None
    sentences: dict[str, list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != 4 or not _is_stretch(cells[1], cells[2]):
            raise DataError(
                f"{path}, line {number} is {line!r:.60}: wanted clip, start_s, end_s and word, with tabs between them"
            )
        clip, word = cells[0], cells[3]
        if word not in ("sil", "sp"):
            # GRID's speakers are British: its letter z is "zed".
            sentences.setdefault(clip, []).append("zed" if word == "z" else word)
    if not sentences:
        raise DataError(f"{path} holds no words: the first line names the columns, then comes a word a line")
    return {clip: " ".join(words) for clip, words in sentences.items()}


def _is_stretch(start_s: str, end_s: str) -> bool:
    try:
        return 0 <= float(start_s) <= float(end_s) < float("inf")
    except ValueError:
        return False


def read_transcripts(folder: Path) -> dict[str, str]:
    """Name of a recording -> its text, from the folder's transcripts.txt.

    Raises: DataError, it has none, or a name that no file in that folder can have.
    """
    try:
        lines = (folder / TRANSCRIPTS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{folder} has no {TRANSCRIPTS}: one line 'name|text' for each recording") from None
    texts = {name: text for name, _, text in (line.partition("|") for line in lines) if name}
    if odd := next((name for name in texts if not _is_file_name(name)), None):
        raise DataError(f"{folder / TRANSCRIPTS} names a recording {odd!r:.60}: wanted the name of a file beside it")
    return texts


def _is_file_name(name: str) -> bool:
    """Whether it leads nowhere else, and is no longer than systems allow, with an ending."""
    return "/" not in name and "\\" not in name and name.isprintable() and len(name.encode(errors="replace")) < 240


@lru_cache(maxsize=4096)
def pronunciation(word: str) -> tuple[str, ...]:
    """Phones of an English word as eSpeak NG reads it, () if it is not installed or the word has none."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", "--", word]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(arpabet(output))
