"""What is said in the clips, by transcripts beside them or a table of words, and in the bundled sentences."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from s2v.bundled import PHONES_LABELS
from s2v.errors import DataError
from s2v.extras import how_to_install
from s2v.training.voices.phones import Phone, read_labels
from s2v.training.voices.words import TRANSCRIPTS, read_transcripts, read_words

HOW_TO_GET_A_TABLE = (
    f"No table of phone classes: lay a {TRANSCRIPTS} (a line name|text for each clip) into the folder of clips, "
    "or give --words FILE (tab separated: clip, start_s, end_s, word)"
)


def refuse_without_aligner() -> None:
    """Raises: DataError, pocketsphinx is not installed: told before an hour of extraction."""
    if find_spec("pocketsphinx") is None:
        raise DataError(
            f"telling which phone is spoken when needs pocketsphinx: {how_to_install('pocketsphinx')}, "
            f"or leave out --words and take the {TRANSCRIPTS} away"
        )


def text_of(clip: Path, folder: Path, words: Path | None = None) -> str:
    """What is said in a clip (or its feature file), '' if nobody says: by a table of words, else by transcripts.

    Args: folder: the one that was given, whose transcripts hold for the clips of all its sub-folders.
    Raises: DataError, the table is none.
    """
    if words is not None and clip.stem in (texts := _words(words)):
        return texts[clip.stem]
    for place in (clip.parent, folder):
        if clip.stem in (texts := _transcripts(place)):
            return texts[clip.stem]
    return ""


@lru_cache(maxsize=1)
def bundled_phones() -> tuple[Phone, ...]:
    """When which phone is spoken in the bundled sentences of `non_speech.phones_voice`."""
    return tuple(read_labels(PHONES_LABELS))


@lru_cache(maxsize=1)
def _words(path: Path) -> dict[str, str]:
    return read_words(path)


@lru_cache(maxsize=256)
def _transcripts(folder: Path) -> dict[str, str]:
    try:
        return read_transcripts(folder)
    except DataError:  # there need not be one
        return {}
