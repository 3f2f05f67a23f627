"""What the lips do in each class of phones: the shapes that a viewer reads, in film beside ours.

    table = class_table(shapes_asked(motion, spec), phones, spec.fps)

needs a motion and the phones spoken to it, no film: labels, synthetic voices and other languages can be asked too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.training.evaluation.measures.shapes import LipShapes

PHONE_CLASSES: dict[str, frozenset[str]] = {
    name: frozenset(name.split())
    for name in (
        "P B M",
        "F V",
        "W",
        "UW UH",
        "OW AO",
        "R",
        "S Z",
        "SH CH JH",
        "TH DH",
        "IY EY",
        "AA AE AY AW",
    )
}
CLOSED_OPENING = 0.02  # face units, 2 mm: lips nearer than this look closed


class TimedPhone(Protocol):
    """A phone (ARPAbet, no stress) and when it is spoken, as `s2v.training.voices.phones.Phone` is."""

    @property
    def name(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


@dataclass(frozen=True)
class ClassShapes:
    """One class over all times it is spoken, each a mean over its own frames; lengths in face units."""

    opening: NDArray[np.float64]  # (n_spoken,)
    closed: NDArray[np.float64]  # (n_spoken,) share of its frames with the lips closed
    width: NDArray[np.float64]  # (n_spoken,) off the median of the clip

    def __len__(self) -> int:
        return len(self.opening)

    @property
    def means(self) -> tuple[float, float, float]:
        """Opening, closed share and width off the median; NaN if it is never spoken."""
        if not len(self):
            return (float("nan"), float("nan"), float("nan"))
        return float(self.opening.mean()), float(self.closed.mean()), float(self.width.mean())


ClassTable = dict[str, ClassShapes]


def class_table(
    shapes: LipShapes,
    phones: Sequence[TimedPhone],
    fps: int,
    classes: Mapping[str, frozenset[str]] = PHONE_CLASSES,
) -> ClassTable:
    """Every class, also one that is never spoken. Args: phones: with times from the first frame's beginning."""
    width = shapes.width_off_median
    closed = shapes.opening < CLOSED_OPENING
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in classes}
    for phone in phones:
        name = next((name for name, members in classes.items() if phone.name in members), None)
        frames = phone_frames(phone, len(shapes), fps)
        if name is not None and len(frames):
            rows[name].append(
                (float(shapes.opening[frames].mean()), float(closed[frames].mean()), float(width[frames].mean()))
            )
    return {name: ClassShapes(*np.array(found, np.float64).reshape(-1, 3).T) for name, found in rows.items()}


def phone_frames(phone: TimedPhone, n_frames: int, fps: int) -> NDArray[np.intp]:
    """Frames whose middle lies within a phone; of a short one that has none, the frame that it is spoken in."""
    middles_s = (np.arange(n_frames) + 0.5) / fps
    within = np.flatnonzero((middles_s >= phone.start_s) & (middles_s < phone.end_s))
    if len(within):
        return within
    spoken_in = int((phone.start_s + phone.end_s) / 2 * fps)
    return np.array([spoken_in] if 0 <= spoken_in < n_frames else [], np.intp)


def phone_table(shapes: LipShapes, phones: Sequence[TimedPhone], fps: int) -> ClassTable:
    """A class for each phone that is spoken: to be `grouped` later, in one way or another."""
    return class_table(shapes, phones, fps, {phone.name: frozenset({phone.name}) for phone in phones})


def grouped(tables: Sequence[ClassTable], classes: Mapping[str, frozenset[str]] = PHONE_CLASSES) -> ClassTable:
    """The tables of phones of several clips as one table of classes, of every class also one never spoken."""

    def all_of(members: frozenset[str], part: str) -> NDArray[np.float64]:
        found = [getattr(table[name], part) for table in tables for name in sorted(members & table.keys())]
        return np.concatenate(found) if found else np.zeros(0)

    return {
        name: ClassShapes(all_of(members, "opening"), all_of(members, "closed"), all_of(members, "width"))
        for name, members in classes.items()
    }
