"""What became of every clip, in the features folder: one JSON line for each, kept or skipped, with the reason.

A later run reads it: a clip that was skipped is not decoded again, unless its file or the thresholds have changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from s2v.files import write_whole
from s2v.training.quality.copies import Prints
from s2v.training.quality.findings import GATES, Refusal
from s2v.training.quality.thresholds import Thresholds

REPORT_NAME = "report.jsonl"


@dataclass(frozen=True)
class ClipRecord:
    """One line of the report."""

    id: str  # path below the data folder, without its ending
    file: str  # name of the file
    size_bytes: int  # of the file when it was looked at
    modified_ns: int
    limits: str  # of the thresholds that it was held against, see `fingerprint`
    refusal: Refusal | None = None  # None: it is kept
    talker: str = ""
    figures: dict[str, float] = field(default_factory=dict)  # what was measured of it
    notes: tuple[str, ...] = ()  # what was mended
    prints: Prints | None = None  # None: nothing to compare
    copy_of: str = ""  # the clip that it is once more

    def still_holds(self, file: Path, limits: Thresholds) -> bool:
        """Whether looking at the file again would find the same."""
        return _size_and_time(file) == (self.size_bytes, self.modified_ns) and self.limits == fingerprint(limits)


def record_of(clip_id: str, file: Path, talker: str, limits: Thresholds | None) -> ClipRecord:
    """Of a clip that is about to be looked at; one that cannot even be asked for its size has size 0."""
    size_bytes, modified_ns = _size_and_time(file)
    mark = "" if limits is None else fingerprint(limits)
    return ClipRecord(clip_id, file.name, size_bytes, modified_ns, mark, talker=talker)


def _size_and_time(file: Path) -> tuple[int, int]:
    """Bytes, and ns of the last change; zeros of a file that cannot be asked, such as a link to nowhere."""
    with suppress(OSError):
        status = file.stat()
        return status.st_size, status.st_mtime_ns
    return 0, 0


def fingerprint(limits: Thresholds) -> str:
    """Changes with any of the thresholds."""
    return hashlib.sha256(repr(limits).encode()).hexdigest()[:12]


def write_records(path: Path, records: Iterable[ClipRecord]) -> None:
    """All of them, in the order of their ids, whole or not at all."""
    write_whole(path, "".join(f"{as_line(record)}\n" for record in sorted(records, key=lambda one: one.id)))


def as_line(record: ClipRecord) -> str:
    """One JSON object without a line break."""
    return json.dumps(_as_dict(record), ensure_ascii=False)


def from_line(line: str) -> ClipRecord | None:
    """None if it is no record of ours."""
    try:
        return _from_dict(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def read_records(path: Path) -> dict[str, ClipRecord]:
    """By id; {} where there is no report. A line that is none is left out: its clip is looked at again."""
    records: dict[str, ClipRecord] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    for line in lines:
        if (record := from_line(line)) is not None:
            records[record.id] = record
    return records


def _as_dict(record: ClipRecord) -> dict[str, Any]:
    stored = asdict(record)
    refusal, prints = stored.pop("refusal"), stored.pop("prints")
    stored["skipped"] = None if refusal is None else record.refusal._asdict()  # type: ignore[union-attr]
    if prints is not None and record.prints is not None:
        sound, lips = record.prints.sound.astype("<u4").tobytes(), record.prints.lips.tobytes()
        stored |= {"sound_print": base64.b64encode(sound).decode(), "lips_print": base64.b64encode(lips).decode()}
    return stored


def _from_dict(stored: dict[str, Any]) -> ClipRecord:
    """Raises: ValueError, TypeError, KeyError, it is no record of ours."""
    skipped = stored["skipped"]
    refusal = None if skipped is None else Refusal(**skipped)
    if refusal is not None and (refusal.gate not in GATES or not isinstance(refusal.reason, str)):
        raise ValueError(refusal.gate)
    prints = None
    if "sound_print" in stored:
        sound, lips = (base64.b64decode(stored[name], validate=True) for name in ("sound_print", "lips_print"))
        prints = Prints(np.frombuffer(sound, "<u4").astype(np.uint32), np.frombuffer(lips, np.uint8))
    texts = {name: str(stored[name]) for name in ("id", "file", "limits", "talker", "copy_of")}
    figures = {str(name): float(value) for name, value in stored["figures"].items()}
    notes = tuple(str(note) for note in stored["notes"])
    return ClipRecord(
        **texts,
        size_bytes=int(stored["size_bytes"]),
        modified_ns=int(stored["modified_ns"]),
        refusal=refusal,
        figures=figures,
        notes=notes,
        prints=prints,
    )
