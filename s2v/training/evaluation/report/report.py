"""An evaluation as text, as JSON, and as a folder to look through."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from s2v.errors import OutputError
from s2v.files import write_whole
from s2v.machine import processor_name, usable_cores
from s2v.training.evaluation.clip_phones import HOW_TO_GET_A_TABLE
from s2v.training.evaluation.measures.probes import Probe
from s2v.training.evaluation.report.head_tables import (
    head_face_other_rows,
    head_face_rows,
    head_other_rows,
    head_rows,
)
from s2v.training.evaluation.report.mouth_tables import class_rows, classes_as_dict, face_rows
from s2v.training.evaluation.results import MOTION_FIGURES, PICTURE_FIGURES, Figure, by_set, medians, plain
from s2v.training.evaluation.run import Evaluation
from s2v.training.evaluation.unseen_faces import FaceResult
from s2v.version import __version__

_MAX_FACES = 12  # in the table; report.json has all
_LIBRARIES = ("numpy", "mediapipe", "opencv-contrib-python", "onnxruntime", "openvino", "torch")


def as_dict(found: Evaluation) -> dict[str, Any]:
    """Everything but pictures and curves, ready for JSON."""
    sets = by_set(found.clips)
    return {
        "model": {"name": found.model, "sha256": found.model_sha256, "spec": json.loads(found.spec.to_json())},
        "backend": found.backend,
        "machine": machine(),
        "sets": {
            name: {"clips": len(clips), "seconds": sum(clip.seconds for clip in clips), **plain(medians(clips))}
            for name, clips in sets.items()
        },
        "all": {"clips": len(found.clips), **plain(medians(found.clips))},
        "clips": {clip.name: {"seconds": clip.seconds, **plain(clip.figures)} for clip in found.clips},
        "faces": {
            face.name: plain(
                {"sharpness": face.sharpness, "spread": face.spread, "follows": face.follows, "jitter": face.jitter}
                | face.mouth
                | {f"head_{key}": value for key, value in face.head.items()}
            )
            for face in found.faces
            if not face.refused
        },
        "no_speech": plain(found.idle),
        "phones": classes_as_dict(found.clips),
        "refused": found.refused,
        "not_aligned": found.not_aligned,
        "probes": [
            {"name": p.name, "found": plain(p.found), "where": p.where, "wanted": p.wanted, "passed": p.passed}
            for p in found.probes
        ],
    }


def machine() -> dict[str, Any]:
    """Processor, cores, system and the versions of what computed the figures."""
    versions = {"s2v": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def as_text(found: Evaluation) -> str:
    """Tables for a terminal: medians over clips, faces, sounds that are not speech, probes."""
    parts = [f"{found.model}, network {found.spec.network}, backend {found.backend}"]
    for title, rows in tables(found):
        parts.append(f"\n{title}\n{aligned(rows)}")
    if not class_rows(found.clips):
        parts.append(f"\n{HOW_TO_GET_A_TABLE}")
    parts.append("\n" + "\n".join(probe.line() for probe in found.probes))
    return "\n".join(parts)


def as_markdown(found: Evaluation) -> str:
    """The same for a reader, with the plots and sheets that lie beside it."""
    parts = [
        "# Evaluation",
        f"Model {found.model} (sha256 {found.model_sha256[:16]}), network {found.spec.network}, look-ahead "
        f"{1000 * found.spec.look_ahead_s:.0f} ms, backend {found.backend}.",
    ]
    for title, rows in tables(found):
        head, *body = [f"| {' | '.join(row)} |" for row in rows]
        parts.append("\n".join([f"## {title}", "", head, "|" + "---|" * len(rows[0]), *body]))
    if not class_rows(found.clips):
        parts.append(HOW_TO_GET_A_TABLE)
    probes = "\n".join(f"- {_probe_line(probe)}" for probe in found.probes)
    parts.append(f"## Probes\n\n{probes}")
    pictures = "\n".join(f"![{name}]({name})" for name in picture_names(found))
    return "\n\n".join([*parts, pictures]) + "\n"


def picture_names(found: Evaluation) -> list[str]:
    """The files that `write_report` draws, but for those that have nothing to show."""
    names = ["offsets.png"]
    for set_name, clips in by_set(found.clips).items():
        names.append(f"{file_name(set_name)}-opening.png")
        if any(clip.tiles for clip in clips):
            names += [f"{file_name(set_name)}-faces.jpg", f"{file_name(set_name)}-mouths.jpg"]
        if any(clip.heads for clip in clips):
            names += [f"{file_name(set_name)}-head.png", f"{file_name(set_name)}-heads.jpg"]
    return [*names, "faces.jpg"] if any(face.tiles for face in found.faces) else names


def file_name(set_name: str) -> str:
    """A set's name as part of a file name."""
    return "".join(letter if letter.isalnum() else "_" for letter in set_name)


def write_report(found: Evaluation, folder: Path) -> None:
    """report.json, report.md, plots and contact sheets. Raises: OutputError."""
    from s2v.training.evaluation.report.contact_sheets import face_sheet, film_over_drawn, write_picture
    from s2v.training.evaluation.report.head_pictures import head_plot, head_sheet, longest_talk
    from s2v.training.evaluation.report.plots import offset_plot, opening_plot

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("report.json", json.dumps(as_dict(found), indent=1) + "\n"),
            ("report.md", as_markdown(found)),
        ):
            write_whole(folder / name, text)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    offset_plot(found.clips, folder / "offsets.png")
    for set_name, clips in by_set(found.clips).items():
        opening_plot(clips, folder / f"{file_name(set_name)}-opening.png")
        if sheets := film_over_drawn(clips):
            for kind, picture in zip(("faces", "mouths"), sheets, strict=True):
                write_picture(folder / f"{file_name(set_name)}-{kind}.jpg", picture)
        if talk := longest_talk(clips):
            head_plot(talk, folder / f"{file_name(set_name)}-head.png")
            if (heads := head_sheet(talk)) is not None:
                write_picture(folder / f"{file_name(set_name)}-heads.jpg", heads)
    if (faces := face_sheet(found.faces)) is not None:
        write_picture(folder / "faces.jpg", faces)


def tables(found: Evaluation) -> list[tuple[str, list[list[str]]]]:
    """Title and rows, the first of which is the head; only figures that somebody has."""
    sets = {f"{name} ({len(clips)})": medians(clips) for name, clips in by_set(found.clips).items()}
    if len(sets) > 1:
        sets[f"all ({len(found.clips)})"] = medians(found.clips)
    given: list[tuple[str, list[list[str]]]] = []
    for title, figures in (
        ("Motion and loudness against film, median over clips", MOTION_FIGURES),
        ("Drawn against film, median over clips", PICTURE_FIGURES),
    ):
        rows = [_figure_row(figure, list(sets.values())) for figure in figures]
        rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
        if rows:
            given.append((title, [["", *sets], *rows]))
    given += _head_tables(found)
    if classes := class_rows(found.clips):
        given.append(("Classes of phones, hundredths of the eye distance, width off the clip's median", classes))
    if usable := [face for face in found.faces if not face.refused]:
        given.append(("Unseen faces", _face_rows(usable)))
        if mouths := face_rows(usable):
            given.append(("Mouths of unseen faces", mouths))
    columns = list(dict.fromkeys(key for figures in found.idle.values() for key in figures))
    names = {
        "opening": "opening asked for",
        "speed": "lip speed asked for",
        "drawn_opening": "opening drawn",
        "drawn_speed": "lip speed drawn",
    }
    rows = [[sound, *(_number(figures[key], 3) for key in columns)] for sound, figures in found.idle.items()]
    given.append(("Without speech, eye distances (a second)", [["", *(names[key] for key in columns)], *rows]))
    for title, reasons in (("Left out", found.refused), ("Phones not known", found.not_aligned)):
        if reasons:
            given.append((title, [["", "reason"], *([name, reason] for name, reason in reasons.items())]))
    return given


def _head_tables(found: Evaluation) -> list[tuple[str, list[list[str]]]]:
    """Of heads that move: each set beside its film, the photos beside people who talk freely."""
    by_name = by_set(found.clips)
    given = [
        (f"Head of {name} ({len(clips)}) against film, median over clips", head_rows(clips))
        for name, clips in by_name.items()
    ]
    given.append(("Head with the voice, holds, blinks and picture, median over clips", head_other_rows(by_name)))
    given.append(("Heads of unseen faces beside free talkers'", head_face_rows(found.faces)))
    given.append(("Heads of unseen faces: voice, holds, blinks and picture", head_face_other_rows(found.faces)))
    return [(title, rows) for title, rows in given if rows]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns of their own width, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _face_rows(faces: Sequence[FaceResult]) -> list[list[str]]:
    """The median of several and some of them, those first that follow worst."""
    head = ["", "sharpness of the mouth", "spread of the opening", "follows the motion", "largest change elsewhere"]
    values = {f.name: (f.sharpness, f.spread, f.follows, f.jitter) for f in sorted(faces, key=lambda f: f.follows)}
    shown = dict(list(values.items())[:_MAX_FACES])
    if len(values) > 1:
        middle = np.median(np.array(list(values.values())), axis=0).tolist()
        shown = {f"median of {len(values)}": tuple(middle), **shown}
    rows = [[name, _number(a), _number(b, 3), _number(c), _number(d, 0)] for name, (a, b, c, d) in shown.items()]
    return [head, *rows]


def _figure_row(figure: Figure, columns: Sequence[dict[str, float]]) -> list[str]:
    values = [found.get(figure.key, float("nan")) for found in columns]
    return [figure.title, *(_number(value, figure.decimals) for value in values)]


def _number(value: float, decimals: int = 2) -> str:
    return "-" if value != value else f"{value:.{decimals}f}"  # NaN is not equal to itself


def _probe_line(probe: Probe) -> str:
    return f"**{probe.line()}**" if not probe.passed else probe.line()
