# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""Which phone is spoken when: forced alignment, and phones as what the mouth does to make them.

The lips do not care whose voice it is. So motion learned from one talker's phones can label any
other voice whose phones are known (see `bridge`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.files import write_whole
from s2v.training.voices.words import pronunciation, spoken_words
from s2v.training.workers import worker_pool

STEP_S = 0.01  # phones and their features are laid on a 100 Hz grid
SILENCE = "SIL"
_STEP_SAMPLES = 160  # at 16 kHz
# Of the level of speech. With the right text 0.01-0.04 was measured (LJSpeech) and 0.07-0.20 (GRID), with that of
# another recording 0.5-1.1: words that are not in the text are taken for noises in its pauses.
LOUDEST_PAUSE = 0.4

# Columns: jaw height, backness, rounding, lips closed, lip to teeth, tongue to teeth, ridge, palate, velum,
# stop, fricative, nasal, liquid or glide, voiced, vowel. Vowels: Ladefoged, "A Course in Phonetics", chapter 4;
# jaw height runs from 0 (close) to 1 (open).
_VOWELS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "AA": ((1.0, 0.8, 0.1), (1.0, 0.8, 0.1)), "AE": ((0.9, 0.2, 0.0), (0.9, 0.2, 0.0)),
    "AH": ((0.6, 0.5, 0.0), (0.6, 0.5, 0.0)), "AO": ((0.8, 0.9, 0.6), (0.8, 0.9, 0.6)),
    "AW": ((1.0, 0.6, 0.0), (0.3, 0.9, 0.9)), "AY": ((1.0, 0.6, 0.0), (0.2, 0.1, 0.0)),
    "EH": ((0.7, 0.2, 0.0), (0.7, 0.2, 0.0)), "ER": ((0.5, 0.5, 0.4), (0.5, 0.5, 0.4)),
    "EY": ((0.6, 0.1, 0.0), (0.2, 0.0, 0.0)), "IH": ((0.3, 0.2, 0.0), (0.3, 0.2, 0.0)),
    "IY": ((0.1, 0.0, 0.0), (0.1, 0.0, 0.0)), "OW": ((0.6, 0.9, 0.7), (0.2, 1.0, 1.0)),
    "OY": ((0.7, 0.9, 0.8), (0.2, 0.1, 0.0)), "UH": ((0.3, 0.8, 0.6), (0.3, 0.8, 0.6)),
    "UW": ((0.1, 0.8, 1.0), (0.1, 0.8, 1.0)),
    # Not in English: front rounded vowels, a back one without rounding, and pure vowels.
    "y": ((0.1, 0.1, 1.0), (0.1, 0.1, 1.0)), "ø": ((0.4, 0.2, 0.9), (0.4, 0.2, 0.9)),
    "œ": ((0.6, 0.3, 0.7), (0.6, 0.3, 0.7)), "ɯ": ((0.2, 0.8, 0.2), (0.2, 0.8, 0.2)),
    "e": ((0.5, 0.1, 0.0), (0.5, 0.1, 0.0)), "o": ((0.5, 0.9, 0.8), (0.5, 0.9, 0.8)),
    "a": ((1.0, 0.5, 0.0), (1.0, 0.5, 0.0)),
}  # fmt: skip
_CONSONANTS: dict[str, str] = {
    "P": "lips stop", "B": "lips stop voiced", "M": "lips nasal voiced",
    "F": "teeth fricative", "V": "teeth fricative voiced",
    "TH": "tongue fricative", "DH": "tongue fricative voiced",
    "T": "ridge stop", "D": "ridge stop voiced", "N": "ridge nasal voiced", "S": "ridge fricative",
    "Z": "ridge fricative voiced", "L": "ridge glide voiced",
    "SH": "palate fricative round", "ZH": "palate fricative voiced round", "CH": "palate stop fricative round",
    "JH": "palate stop fricative voiced round", "Y": "palate glide voiced", "R": "palate glide voiced round",
    "K": "velum stop", "G": "velum stop voiced", "NG": "velum nasal voiced",
    "W": "velum glide voiced round", "HH": "fricative",
    # Not in English.
    "β": "near fricative voiced", "ɸ": "near fricative", "r": "ridge glide voiced", "ɲ": "palate nasal voiced",
    "ç": "palate fricative", "ʝ": "palate fricative voiced", "x": "velum fricative", "ɣ": "velum fricative voiced",
    "ɥ": "palate glide voiced round",
}  # fmt: skip
_COLUMN = {"lips": 3, "teeth": 4, "tongue": 5, "ridge": 6, "palate": 7, "velum": 8,
           "stop": 9, "fricative": 10, "nasal": 11, "glide": 12, "voiced": 13}  # fmt: skip
_NEARLY_CLOSED = 0.6  # lips that hiss or hum against each other without meeting ("near" above)
N_FEATURES = 18  # 15 of articulation, silence, and how far into and how long the phone is
_KNOWN = {**_VOWELS, **_CONSONANTS}
# Phones that English lacks: the English ones with the same lips (a width and an opening) and the same tongue.
_LIKE = {
    "y": ("UW", "IY"), "ø": ("UH", "EH"), "œ": ("ER", "EH"), "ɯ": ("IH", "UW"), "e": ("EH", "EH"), "o": ("AO", "AO"),
    "a": ("AA", "AA"), "β": ("V", "B"), "ɸ": ("V", "P"), "r": ("L", "D"), "ɲ": ("N", "Y"), "ç": ("Y", "Y"),
    "ʝ": ("Y", "Y"), "x": ("K", "K"), "ɣ": ("G", "G"), "ɥ": ("W", "Y"),
}  # fmt: skip
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class Phone:
    """One phone (ARPAbet without stress, or a letter of the IPA for what English lacks) and when it is spoken."""

    name: str
    start_s: float
    end_s: float


def lips_like(name: str) -> str:
    """The English phone whose width and opening are nearest; itself if English has it. For tables of English phones."""
    return _LIKE.get(name, (name, name))[0]


def tongue_like(name: str) -> str:
    """The English phone whose tongue does the same, and whose lower lip is as far from the teeth; or itself."""
    return _LIKE.get(name, (name, name))[1]


def align(pcm: NDArray[np.int16], text: str, pronounce: Callable[[str], Sequence[str]] = pronunciation) -> list[Phone]:
    """Force a transcript onto 16 kHz mono speech with pocketsphinx and its English model.

    Args:
        pronounce: phones of a word that its dictionary lacks, or () if unknown.
    Raises: DataError, a word that nobody knows how to say, or speech that does not fit the text.
    """
    words = spoken_words(text)
    if not words:
        raise DataError("the transcript says nothing")
    try:
        try:
            phones = _aligned(pcm, words, pronounce, "narrow")
        except RuntimeError:  # the true path was dropped on the way: look at more of them, which takes longer
            phones = _aligned(pcm, words, pronounce, "wide")
    except RuntimeError as error:
        raise DataError(f"the speech does not fit the transcript ({error})") from None
    loudness = pause_loudness(pcm, phones)
    if loudness > LOUDEST_PAUSE:
        raise DataError(f"the speech does not fit the transcript (pauses are {loudness:.2f} as loud as words)")
    return phones


def pause_loudness(pcm: NDArray[np.int16], phones: list[Phone]) -> float:
    """Mean level of the pauses over that of the phones; infinite without a phone, 0 without a pause."""
    steps = pcm[: len(pcm) // _STEP_SAMPLES * _STEP_SAMPLES].reshape(-1, _STEP_SAMPLES)
    level = np.sqrt((steps.astype(np.float64) ** 2).mean(1))
    spoken = np.zeros(len(level), bool)
    for phone in phones:
        if phone.name in _KNOWN:
            spoken[round(phone.start_s / STEP_S) : round(phone.end_s / STEP_S)] = True
    if not level[spoken].any():
        return np.inf
    return float(level[~spoken].mean() / level[spoken].mean()) if not spoken.all() else 0.0


def _aligned(
    pcm: NDArray[np.int16], words: list[str], pronounce: Callable[[str], Sequence[str]], beam: str
) -> list[Phone]:
    """Raises: RuntimeError, no path; DataError, a word without a pronunciation."""
    # Without bestpath: that search goes through a lattice whose word times need not leave room for the phones.
    decoder = _decoder(beam)
    known = [_known(decoder, word, pronounce) for word in words]
    decoder.set_align_text(" ".join(known))
    _decode(decoder, pcm.tobytes())
    if decoder.hyp() is None:
        raise RuntimeError("no path to the last word")
    decoder.set_alignment()  # the words are known now; once more for the phones within them
    _decode(decoder, pcm.tobytes())  # pocketsphinx 5.1 crashes if asked for a hypothesis after this pass
    return [
        Phone(phone.name, phone.start * STEP_S, (phone.start + phone.duration) * STEP_S)
        for word in decoder.get_alignment() or ()
        for phone in word
    ]


def _decoder(beam: str) -> Any:
    """A new one for each recording: it adapts to what it hears, and the same sound must give the same phones."""
    from pocketsphinx import Decoder

    widths = {"wide": {"beam": 1e-120, "wbeam": 1e-100, "pbeam": 1e-120}}.get(beam, {})
    return Decoder(loglevel="FATAL", lm=None, bestpath=False, **widths)


def _known(decoder: Any, word: str, pronounce: Callable[[str], Sequence[str]]) -> str:
    """The word as the dictionary has it, where need be after it was told how the word is spoken."""
    for spelling in (word, word.strip("'")):
        if spelling and decoder.lookup_word(spelling) is not None:
            return spelling
    phones = pronounce(word)
    if not phones:
        raise DataError(f"not in the dictionary: {word} (apt install espeak-ng, which can read it)")
    decoder.add_word(word, " ".join(phones), True)
    return word


def align_all(sounds: dict[str, NDArray[np.int16]], texts: dict[str, str], workers: int = 2) -> dict[str, list[Phone]]:
    """Align every recording that has a text; those that do not fit are left out and logged."""
    names = [name for name in sounds if name in texts]
    with worker_pool(workers) as pool:
        found = dict(zip(names, pool.map(_try_align, [(sounds[n], texts[n]) for n in names], chunksize=8), strict=True))
    aligned = {name: phones for name, phones in found.items() if isinstance(phones, list)}
    _log.info("aligned %d of %d recordings", len(aligned), len(names))
    return aligned


def _try_align(job: tuple[NDArray[np.int16], str]) -> list[Phone] | str:
    try:
        return align(*job)
    except DataError as error:
        return str(error)


def _decode(decoder: Any, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def write_labels(path: Path, phones: Iterable[Phone]) -> None:
    """Phones as a label track: start and end in seconds and the name, a line each, as Audacity reads and writes it."""
    write_whole(path, "".join(f"{phone.start_s:.4f}\t{phone.end_s:.4f}\t{phone.name}\n" for phone in phones))


def read_labels(path: Path) -> list[Phone]:
    """What `write_labels` wrote, or any track of labels with the phones here. Raises: DataError, it is none."""
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        phones = [Phone(name, float(start_s), float(end_s)) for start_s, end_s, name in rows]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no label track, a line each of start, end and phone ({error})") from None
    strange = next((phone for phone in phones if phone.name not in _KNOWN and phone.name != SILENCE), None)
    if strange is not None:
        raise DataError(
            f"{path}: {strange.name!r} is no phone of ARPAbet without stress, of the others in phones.py, nor {SILENCE}"
        )
    return phones


def phone_features(phones: list[Phone], n_steps: int) -> NDArray[np.float32]:
    """Phones on the 100 Hz grid as articulation, (n_steps, N_FEATURES); unknown names are silence."""
    features = np.zeros((n_steps, N_FEATURES), np.float32)
    features[:, 15] = 1
    for phone in phones:
        start, end = round(phone.start_s / STEP_S), min(n_steps, round(phone.end_s / STEP_S))
        if phone.name not in _KNOWN or end <= start:
            continue
        into = (np.arange(end - start) + 0.5) / (end - start)
        features[start:end, 15] = 0
        features[start:end, 16] = into
        features[start:end, 17] = min(1.0, (end - start) * STEP_S / 0.3)
        if phone.name in _VOWELS:
            begin, finish = np.array(_VOWELS[phone.name], np.float32)
            features[start:end, :3] = begin + into[:, None] * (finish - begin)
            features[start:end, 13:15] = 1
        else:
            for trait in _CONSONANTS[phone.name].split():
                if trait == "round":
                    features[start:end, 2] = 0.7
                elif trait == "near":
                    features[start:end, _COLUMN["lips"]] = _NEARLY_CLOSED
                else:
                    features[start:end, _COLUMN[trait]] = 1
    return features
