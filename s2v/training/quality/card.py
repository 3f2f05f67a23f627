"""A card of a data set: who speaks in it and for how long, how large, how turned, how late, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from s2v.training.quality.clip_records import ClipRecord

_SHOWN_TALKERS = 8  # in the text; the JSON has all
_FEW_MINUTES = 10  # of which tenths would all be 0.1


@dataclass(frozen=True)
class Talker:
    """What there is of one person."""

    clips: int
    minutes: float


@dataclass(frozen=True)
class Quantiles:
    """Of a figure over the clips."""

    least: float
    lower: float  # a tenth of the clips are below
    median: float
    upper: float  # a tenth are above
    most: float


@dataclass(frozen=True)
class DataCard:
    """A folder of features, described."""

    clips: int  # that talk
    photos: int
    minutes: float
    minutes_of_speech: float
    talkers: dict[str, Talker]  # the one with the most first
    skipped: dict[str, int]  # gate -> clips
    mended: dict[str, int]  # what -> clips
    measured_offsets: int  # clips whose offset could be measured
    spreads: dict[str, Quantiles]  # figure -> over the clips and photos that have it

    def as_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return asdict(self)


# figure of a record -> title, decimals
FIGURES: dict[str, tuple[str, int]] = {
    "length_s": ("length of a clip, s", 1),
    "picture_height_px": ("height of the picture, px", 0),
    "eye_distance_px": ("between the eyes' outer corners, px", 0),
    "yaw_degrees": ("head to the side, degrees", 0),
    "pitch_degrees": ("head down, degrees", 0),
    "turn_degrees": ("away from the camera, degrees", 0),
    "offset_ms": ("sound came after the lips, ms", 0),
    "sync_correlation": ("heard against seen lips, r", 2),
}


def card_of(records: Iterable[ClipRecord]) -> DataCard:
    """Of the clips that were kept, and the counts of the others."""
    every = sorted(records, key=lambda one: one.id)
    kept = [one for one in every if one.refusal is None]
    talking = [one for one in kept if one.figures.get("length_s", 0) > 0]
    talkers: dict[str, list[ClipRecord]] = {}
    for one in talking:
        talkers.setdefault(one.talker, []).append(one)
    found = {name: Talker(len(some), _minutes(some, "length_s")) for name, some in talkers.items()}
    values = {name: [one.figures[name] for one in kept if one.figures.get(name) is not None] for name in FIGURES}
    values["length_s"] = [one.figures["length_s"] for one in talking]
    return DataCard(
        clips=len(talking),
        photos=len(kept) - len(talking),
        minutes=_minutes(talking, "length_s"),
        minutes_of_speech=_minutes(talking, "speech_s"),
        talkers=dict(sorted(found.items(), key=lambda item: -item[1].minutes)),
        skipped=dict(Counter(one.refusal.gate for one in every if one.refusal is not None).most_common()),
        mended=dict(Counter(note.partition(":")[0] for one in kept for note in one.notes).most_common()),
        measured_offsets=len(values["offset_ms"]),
        spreads={name: _spread(some) for name, some in values.items() if some},
    )


def card_text(card: DataCard) -> str:
    """A screenful."""
    lines = (
        [f"{_count(card.photos, 'photo')}"]
        if card.photos and not card.clips
        else [
            f"{_count(card.clips, 'clip')}, {card.minutes:.1f} minutes, {card.minutes_of_speech:.1f} of them speech, "
            f"{_count(len(card.talkers), 'talker')}" + (f", {_count(card.photos, 'photo')}" if card.photos else "")
        ]
    )
    shown = list(card.talkers.items())[:_SHOWN_TALKERS]
    if len(card.talkers) > 1:
        more = f", and {len(card.talkers) - len(shown)} more" if len(card.talkers) > len(shown) else ""
        decimals = 1 if card.minutes >= _FEW_MINUTES else 2
        lines.append("minutes: " + ", ".join(f"{name} {one.minutes:.{decimals}f}" for name, one in shown) + more)
    for name, spread in card.spreads.items():
        title, decimals = FIGURES[name]
        low, middle, high = (f"{value:.{decimals}f}" for value in (spread.lower, spread.median, spread.upper))
        lines.append(f"{title + ':':<40} {middle:>6}   (a tenth below {low}, a tenth above {high})")
    if card.clips:
        lines.append(f"{'offset measured in:':<40} {card.measured_offsets} of {card.clips} clips")
    for title, counts in (("mended", card.mended), ("skipped", card.skipped)):
        if counts:
            lines.append(f"{title}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    return "\n".join(lines)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _minutes(records: Sequence[ClipRecord], figure: str) -> float:
    return round(sum(one.figures.get(figure, 0.0) for one in records) / 60, 3)


def _spread(values: Sequence[float]) -> Quantiles:
    return Quantiles(*(round(float(value), 4) for value in np.quantile(values, [0, 0.1, 0.5, 0.9, 1])))
