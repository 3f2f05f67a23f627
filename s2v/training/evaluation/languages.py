"""What a model's lips do in each language: asked of its motion, with phones whose times are known and no film.

s2v make-voices --languages -o languages && s2v evaluate --languages languages
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend
from s2v.errors import DataError, OutputError
from s2v.files import write_whole
from s2v.media.video_file import read_sound
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import root_mean_square_speed
from s2v.training.evaluation.measures.motion_level import Speak, backend_speak
from s2v.training.evaluation.measures.phone_classes import (
    CLOSED_OPENING,
    ClassTable,
    class_table,
    grouped,
    phone_frames,
)
from s2v.training.evaluation.measures.probes import Probe, at_least
from s2v.training.evaluation.measures.shapes import shapes_asked
from s2v.training.voices.phones import SILENCE, Phone, read_labels

# Of all languages: phones that English lacks have letters of their own.
CLASSES = {
    "shut": frozenset(("P", "B", "M")),
    "teeth": frozenset(("F", "V")),
    "rounded": frozenset(("UW", "UH", "OW", "AO", "W", "o", "y", "ø", "œ", "ɥ")),
    "open": frozenset(("AA", "AE", "AY", "AW", "a")),
}
MIN_SHUT = 0.6  # of P B M in every language; people have 0.70 in free speech


@dataclass(frozen=True)
class LanguageFigures:
    """One language; lengths in face units, NaN where no such phone is spoken."""

    language: str
    seconds: float  # of speech, without the pauses
    shut: float  # share of P B M in which the lips are closed
    teeth_opening: float  # in F V
    rounded_width: float  # in rounded vowels and glides, off the median of the recording
    open_opening: float  # in open vowels
    lip_speed: float  # while speaking, RMS of the mouth's landmarks, face units a second
    closed: float  # share of the time while speaking


@dataclass(frozen=True)
class Languages:
    """All of them, and whether every one of them is spoken well enough."""

    rows: list[LanguageFigures]
    probe: Probe


def evaluate_languages(folder: Path, backend: Backend, max_seconds: float | None = None) -> Languages:
    """Judge each sub-folder as one language: recordings, and beside each its phones as NAME.lab.

    Args: max_seconds: of each language.
    Raises: DataError, no such folder, or a model that paints pixels and has no motion.
    """
    spec = backend.spec
    if spec.network != "s2v":
        raise DataError(f"network {spec.network} has no motion to ask: --languages is for network s2v")
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    folders = [path for path in folders if any(path.glob("*.lab"))]
    if not folders:
        raise DataError(
            f"{folder} has no folders of recordings with .lab files: s2v make-voices --languages makes them"
        )
    speak = backend_speak(backend)
    rows = [judge_language(path, speak, spec, max_seconds) for path in folders]
    worst = min(rows, key=lambda row: row.shut if row.shut == row.shut else -1.0)
    return Languages(rows, at_least("every language: lips closed at P B M", worst.shut, MIN_SHUT, worst.language))


def judge_language(folder: Path, speak: Speak, spec: LipSyncSpec, max_seconds: float | None = None) -> LanguageFigures:
    """The figures of one folder, named after it. Raises: DataError, labels without a recording or that are none."""
    spoken: list[_Spoken] = []
    files = sorted(folder.iterdir())
    for path in (file for file in files if file.suffix == ".lab"):
        sound = next((beside for beside in files if beside.stem == path.stem and beside.suffix != ".lab"), None)
        if sound is None:
            raise DataError(f"{path} has no recording of the same name beside it")
        pcm = (read_sound(sound) / 32768).astype(np.float32)
        spoken.append(_listen(speak(pcm), read_labels(path), spec))
        if max_seconds is not None and sum(one.seconds for one in spoken) >= max_seconds:
            break
    table = grouped([one.table for one in spoken], {name: frozenset((name,)) for name in CLASSES})
    weights = [one.speaking for one in spoken]
    return LanguageFigures(
        folder.name,
        sum(one.seconds for one in spoken),
        table["shut"].means[1],
        table["teeth"].means[0],
        table["rounded"].means[2],
        table["open"].means[0],
        _mean([one.lip_speed**2 for one in spoken], weights) ** 0.5,
        _mean([one.closed for one in spoken], weights),
    )


def as_text(found: Languages) -> str:
    """A table for a terminal, lengths in hundredths of a face unit, and the probe."""
    head = ["language", "s", "P B M closed", "F V opening", "rounded width", "open vowels", "speed u/s", "closed"]
    rows = [
        [
            row.language, f"{row.seconds:.0f}", f"{row.shut:.2f}", f"{100 * row.teeth_opening:.1f}",
            f"{100 * row.rounded_width:+.1f}", f"{100 * row.open_opening:.1f}", f"{row.lip_speed:.2f}",
            f"{row.closed:.2f}",
        ]
        for row in found.rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *rows]]
    return "\n".join(lines) + f"\n\n{found.probe.line()}"


def as_dict(found: Languages) -> dict[str, object]:
    """The same for JSON, lengths in face units; null where no such phone is spoken."""
    names = [field.name for field in fields(LanguageFigures) if field.name != "language"]
    rows = {row.language: {name: _plain(getattr(row, name)) for name in names} for row in found.rows}
    return {"languages": rows, "probe": asdict(found.probe)}


def write_languages(found: Languages, folder: Path) -> None:
    """languages.json and languages.txt. Raises: OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "languages.json", json.dumps(as_dict(found), indent=1) + "\n")
        write_whole(folder / "languages.txt", as_text(found) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error}): choose another folder with -o") from None


@dataclass(frozen=True)
class _Spoken:
    """One recording."""

    table: ClassTable
    lip_speed: float  # in the frames in which something is said, as `closed`
    closed: float
    speaking: int  # how many they are
    seconds: float


def _listen(motion: NDArray[np.float32], phones: Sequence[Phone], spec: LipSyncSpec) -> _Spoken:
    shapes = shapes_asked(motion, spec)
    spoken = [phone for phone in phones if phone.name != SILENCE]
    speaking = np.zeros(len(shapes), bool)
    for phone in spoken:
        speaking[phone_frames(phone, len(shapes), spec.fps)] = True
    return _Spoken(
        class_table(shapes, spoken, spec.fps, CLASSES),
        root_mean_square_speed(shapes.lips, speaking, spec.fps),
        float((shapes.opening[speaking] < CLOSED_OPENING).mean()) if speaking.any() else float("nan"),
        int(speaking.sum()),
        sum(phone.end_s - phone.start_s for phone in spoken),
    )


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    """Of those that are known; NaN if none is."""
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value == value]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else float("nan")


def _plain(value: float) -> float | None:
    return value if value == value else None
