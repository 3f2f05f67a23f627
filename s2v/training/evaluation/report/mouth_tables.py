"""The tables about mouths: classes of phones, film beside ours, and the faces that say the bundled sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from s2v.training.evaluation.measures.phone_classes import PHONE_CLASSES, ClassTable, grouped
from s2v.training.evaluation.measures.variety import VARIED, shape_variety
from s2v.training.evaluation.results import FACE_FIGURES, ClipResult, plain
from s2v.training.evaluation.unseen_faces import FaceResult

Rows = list[list[str]]
WHOSE = ("film", "asked", "drawn")
_VARIETY = "variety of UW, SH, EH"


def tables_of_phones(clips: Sequence[ClipResult]) -> dict[str, ClassTable]:
    """Film, asked and drawn, as far as known -> every phone that is spoken in the clips."""
    known = {whose: [clip.classes[whose] for clip in clips if whose in clip.classes] for whose in WHOSE}
    names = {phone for tables in known.values() for table in tables for phone in table}
    by_name = {phone: frozenset({phone}) for phone in sorted(names)}
    return {whose: grouped(tables, by_name) for whose, tables in known.items() if tables}


def class_rows(clips: Sequence[ClipResult]) -> Rows:
    """A row for each class, lengths in hundredths of a face unit; [] where no phones are known."""
    tables = tables_of_phones(clips)
    if not tables:
        return []
    head = ["", "spoken"]
    for title in ("opening", "closed", "width"):
        head += [f"{title}, {whose}" for whose in tables]
    rows = [head]
    shapes = {whose: grouped([table]) for whose, table in tables.items()}
    for name in PHONE_CLASSES:
        means = [shapes[whose][name].means for whose in shapes]
        spoken = len(next(iter(shapes.values()))[name])
        if spoken:
            opening, closed, width = zip(*means, strict=True)
            cells = [f"{100 * value:.1f}" for value in opening] + [f"{value:.2f}" for value in closed]
            rows.append([name, str(spoken), *cells, *(f"{100 * value:.1f}" for value in width)])
    varied = [variety_of(table) for table in tables.values()]
    if not np.isnan(varied).all():
        rows.append([_VARIETY, "", *("-" if np.isnan(value) else f"{value:.2f}" for value in varied)])
        rows[-1] += [""] * (len(head) - len(rows[-1]))
    return rows


def classes_as_dict(clips: Sequence[ClipResult]) -> dict[str, Any]:
    """The same for JSON, lengths in face units; {} where no phones are known."""
    found: dict[str, Any] = {}
    for whose, table in tables_of_phones(clips).items():
        classes = {
            name: dict(zip(("opening", "closed", "width"), shapes.means, strict=True)) | {"spoken": len(shapes)}
            for name, shapes in grouped([table]).items()
            if len(shapes)
        }
        found[whose] = plain({"classes": classes, "variety": variety_of(table)})
    return found


def variety_of(table: ClassTable) -> float:
    """How different the shapes of UW, SH and EH are. Args: table: of phones."""
    return shape_variety(grouped([table], {name: frozenset({name}) for name in VARIED}))


def face_rows(faces: Sequence[FaceResult]) -> Rows:
    """A row for each figure: the median over the faces that have it, the lowest and the highest, and whose they are."""
    rows = [["", "median", "lowest", "", "highest", "", "faces"]]
    for figure in FACE_FIGURES:
        found = sorted((face.mouth[figure.key], face.name) for face in faces if figure.key in face.mouth)
        if found:
            (low, lowest), (high, highest) = found[0], found[-1]
            middle = float(np.median([value for value, _ in found]))
            numbers = [f"{value:.{figure.decimals}f}" for value in (middle, low, high)]
            rows.append([figure.title, numbers[0], numbers[1], lowest, numbers[2], highest, str(len(found))])
    return rows if len(rows) > 1 else []
