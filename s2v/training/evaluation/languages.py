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
from s2v.engine.face.geometry import MOUTH_CORNERS
from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import DataError, OutputError
from s2v.files import write_whole
from s2v.media.video_file import read_sound
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.metrics import LIPS
from s2v.training.evaluation.motion_level import Speak, backend_speak, gap_weights
from s2v.training.evaluation.probes import Probe, at_least
from s2v.training.voices.phones import SILENCE, Phone, read_labels

SHUT = frozenset(("P", "B", "M"))
LIP_TO_TEETH = frozenset(("F", "V"))
ROUNDED = frozenset(("UW", "UH", "OW", "AO", "W", "o", "y", "ø", "œ", "ɥ"))
OPEN = frozenset(("AA", "AE", "AY", "AW", "a"))
CLOSED_OPENING = 0.02  # face units, 2 mm: lips nearer than this look closed
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
    return LanguageFigures(
        folder.name,
        sum(one.seconds for one in spoken),
        _mean(spoken, SHUT, "closed"),
        _mean(spoken, LIP_TO_TEETH, "opening"),
        _mean(spoken, ROUNDED, "width"),
        _mean(spoken, OPEN, "opening"),
        _mean_of([value for one in spoken for value in one.squared_speed]) ** 0.5,
        _mean_of([value for one in spoken for value in one.speaking_closed]),
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
    """One recording: of each phone the means over its own frames, and what the lips do while it speaks."""

    names: tuple[str, ...]
    opening: NDArray[np.float64]  # (n_phones,)
    closed: NDArray[np.float64]  # (n_phones,)
    width: NDArray[np.float64]  # (n_phones,)
    squared_speed: NDArray[np.float64]
    speaking_closed: NDArray[np.float64]
    seconds: float


def _listen(motion: NDArray[np.float32], phones: Sequence[Phone], spec: LipSyncSpec) -> _Spoken:
    basis = MotionBasis.load(spec.motion_basis)
    opening = motion @ gap_weights(spec)
    left, right = basis.displacement(np.array(MOUTH_CORNERS))[: spec.n_motion, :, 0].T
    width = motion @ (right - left)
    width = width - np.median(width)
    closed = (opening < CLOSED_OPENING).astype(np.float64)
    step = np.tensordot(np.diff(motion, axis=0), basis.displacement(np.array(LIPS))[: spec.n_motion, :, :2], axes=1)
    middles_s = np.array([spec.frame_centre(frame) for frame in range(len(motion))]) / spec.sample_rate_hz
    spoken = [(phone, _frames(phone, middles_s)) for phone in phones if phone.name != SILENCE and len(middles_s)]
    speaking = np.zeros(len(motion), bool)
    for _, frames in spoken:
        speaking[frames] = True

    def of_phones(curve: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([curve[frames].mean() for _, frames in spoken])

    return _Spoken(
        tuple(phone.name for phone, _ in spoken),
        of_phones(opening),
        of_phones(closed),
        of_phones(width),
        ((step * spec.fps) ** 2).sum(-1).mean(-1)[speaking[1:] & speaking[:-1]],
        closed[speaking],
        sum(phone.end_s - phone.start_s for phone, _ in spoken),
    )


def _frames(phone: Phone, middles_s: NDArray[np.float64]) -> NDArray[np.intp]:
    """Frames whose middle lies within a phone; of a short one that has none, the nearest."""
    within = np.flatnonzero((middles_s >= phone.start_s) & (middles_s < phone.end_s))
    nearest = int(np.abs(middles_s - (phone.start_s + phone.end_s) / 2).argmin())
    return within if len(within) else np.array([nearest], np.intp)


def _mean(spoken: Sequence[_Spoken], names: frozenset[str], part: str) -> float:
    of_phones = (pair for one in spoken for pair in zip(one.names, getattr(one, part), strict=True))
    return _mean_of([value for name, value in of_phones if name in names])


def _mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _plain(value: float) -> float | None:
    return value if value == value else None
