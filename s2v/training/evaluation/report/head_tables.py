"""The tables about heads: film beside ours, and faces that talk with their heads moving beside free talkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s2v.training.evaluation.measures.head.curves import QUANTITIES
from s2v.training.evaluation.measures.head.motion import AMOUNTS, COUPLED
from s2v.training.evaluation.measures.head.probes import FREE_HABITS, FREE_SD, FREE_SPEED, head_medians
from s2v.training.evaluation.results import ClipResult, medians
from s2v.training.evaluation.unseen_faces import FaceResult

Rows = list[list[str]]
_TITLES = {q.key: f"{q.title}{f', {q.unit}' if q.unit else ''}" for q in QUANTITIES}
_DECIMALS = {q.key: q.decimals for q in QUANTITIES}
_OTHERS = (  # key, title, decimals
    ("hold_share", "share of the time that the head holds", 2),
    ("hold_s", "a hold lasts, s", 2),
    ("step_amplitude", "way between two holds, eye distances", 3),
    ("step_s", "that takes, s", 2),
    ("blinks_a_minute", "blinks a minute", 0),
    ("closing_s", "lids close in, s", 3),
    ("shut_s", "stay shut, s", 3),
    ("opening_s", "open in, s", 3),
)
_PICTURE = (
    ("face_sharpness", "sharpness of the face over the photo's", 3),
    ("background_largest", "background off the photo, largest, of 255", 0),
    ("background_mean", "  mean", 3),
    ("background_step", "  from frame to frame, largest", 0),
    ("same_opening", "opening of the lips as with a still head, correlation", 3),
)


def head_rows(clips: Sequence[ClipResult]) -> Rows:
    """A set's median clip, film beside ours; [] if no head was drawn moving."""
    theirs, ours = _heads(clips)
    if not ours:
        return []
    rows = [["", *(cell for name in AMOUNTS for cell in (f"{name}, film", "ours", "times"))]]
    for key, title in _TITLES.items():
        row = [title]
        for name in AMOUNTS:
            row += _beside(theirs.get(f"{key}_{name}"), ours.get(f"{key}_{name}"), _DECIMALS[key])
        rows.append(row)
    return rows


def head_other_rows(sets: Mapping[str, Sequence[ClipResult]]) -> Rows:
    """Coupling, holds, blinks and what becomes of the picture, film and ours for each set; [] if there are none."""
    columns: dict[str, dict[str, float]] = {}
    for name, clips in sets.items():
        theirs, ours = _heads(clips)
        columns |= {f"{name}, film": theirs, "ours" if len(sets) == 1 else f"{name}, ours": ours}
    return _other_rows(columns)


def head_face_rows(faces: Sequence[FaceResult]) -> Rows:
    """The median of faces that talk with their heads moving, beside people who talk freely; [] if none does."""
    heads = [face.head for face in faces if face.head]
    if not heads:
        return []
    ours = head_medians(heads)
    rows = [["", "deviation, free talkers", "ours", "times", "speed, free talkers", "ours", "times"]]
    for key in FREE_SD:
        row = [_TITLES[key]]
        for name, free in (("sd", FREE_SD), ("speed", FREE_SPEED)):
            row += _beside(free[key], ours.get(f"{key}_{name}"), _DECIMALS[key])
        rows.append(row)
    return rows


def head_face_other_rows(faces: Sequence[FaceResult]) -> Rows:
    """Coupling, holds, blinks and picture of the same faces, the median one; [] if none moves its head."""
    heads = [face.head for face in faces if face.head]
    return _other_rows({"free talkers": FREE_HABITS, f"median of {len(heads)}": head_medians(heads)}) if heads else []


def _heads(clips: Sequence[ClipResult]) -> tuple[dict[str, float], dict[str, float]]:
    """Median figures of the filmed heads and of ours."""
    found = {key[5:]: value for key, value in medians(clips).items() if key.startswith("head_")}
    theirs = {key[:-5]: value for key, value in found.items() if key.endswith("_film")}
    return theirs, {key: value for key, value in found.items() if not key.endswith("_film")}


def _other_rows(columns: Mapping[str, Mapping[str, float]]) -> Rows:
    coupled = [
        row
        for key in COUPLED
        for row in (
            (f"{key}_follows", f"{_TITLES[key].split(',')[0]}: follows loudness, |r|", 2),
            (f"{key}_chance", "  by chance", 2),
        )
    ]
    rows = [["", *columns]]
    for key, title, decimals in (*coupled, *_OTHERS, *_PICTURE):
        cells = [_number(found.get(key), decimals) for found in columns.values()]
        if any(cell != "-" for cell in cells):
            rows.append([title, *cells])
    return rows if len(rows) > 1 else []


def _beside(theirs: float | None, ours: float | None, decimals: int) -> list[str]:
    times = ours / theirs if theirs and ours is not None else None
    return [_number(theirs, decimals), _number(ours, decimals), _number(times, 2)]


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None or value != value else f"{value:.{decimals}f}"  # NaN is not equal to itself
