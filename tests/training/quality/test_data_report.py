from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from spoken import speech

from s2v.training.quality.clip_records import REPORT_NAME, ClipRecord, fingerprint, read_records
from s2v.training.quality.copies import Prints, prints_of
from s2v.training.quality.data_report import CARD_JSON, CARD_PICTURE, DataReport
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()


def clip(folder: Path, name: str, refusal: Refusal | None = None, prints: Prints | None = None) -> ClipRecord:
    file = folder / f"{name}.mp4"
    if not file.exists():
        file.write_bytes(name.encode())
    status = file.stat()
    figures = {"length_s": 3.0}
    mark = fingerprint(LIMITS)
    return ClipRecord(
        name, file.name, status.st_size, status.st_mtime_ns, mark, refusal, "anna", figures, prints=prints
    )


def test_a_failure_is_known_to_the_next_run(tmp_path: Path) -> None:
    first = DataReport(tmp_path, LIMITS)
    refusal = Refusal("no-face", "no face in 3 of 3 frames", 1.0, 0.2)
    first.add(clip(tmp_path, "a", refusal))
    first.add(clip(tmp_path, "b"))
    first.finish()
    again = DataReport(tmp_path, LIMITS)
    assert again.known_failure("a", tmp_path / "a.mp4") == refusal
    assert again.known_failure("b", tmp_path / "b.mp4") is None
    assert again.known_failure("c", tmp_path / "a.mp4") is None
    (tmp_path / "a.mp4").write_bytes(b"another film")
    assert again.known_failure("a", tmp_path / "a.mp4") is None


def test_report_and_card_lie_in_the_folder_and_are_left_alone_when_nothing_is_new(tmp_path: Path) -> None:
    report = DataReport(tmp_path, LIMITS)
    report.add(clip(tmp_path, "a"))
    card = report.finish()
    assert json.loads((tmp_path / CARD_JSON).read_text()) == card.as_dict()
    assert card.minutes == 0.05
    assert (tmp_path / CARD_PICTURE).stat().st_size > 10_000
    written = {name: (tmp_path / name).stat().st_mtime_ns for name in (REPORT_NAME, CARD_JSON, CARD_PICTURE)}
    assert DataReport(tmp_path, LIMITS).finish() == card
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in written} == written
    assert not list(tmp_path.glob(".s2v-*"))


def test_the_report_is_written_in_between(tmp_path: Path) -> None:
    report = DataReport(tmp_path, LIMITS)
    for number in range(120):
        report.add(clip(tmp_path, f"{number:03}"))
    assert 100 <= len(read_records(tmp_path / REPORT_NAME)) <= 120


def test_clips_encoded_again_are_refused_and_the_first_stays(tmp_path: Path) -> None:
    pcm = np.round(speech(3.0, seed=1) * 32767).astype(np.int16)
    opening = np.random.default_rng(0).uniform(0, 0.2, 75)
    report = DataReport(tmp_path, LIMITS)
    for name in ("b", "a"):
        report.add(clip(tmp_path, name, prints=prints_of(pcm, opening)))
    (copy,) = report.refuse_copies()
    assert (copy.id, copy.copy_of) == ("b", "a")
    report.add(copy)
    assert report.finish().skipped == {"duplicate": 1}
    refusal = DataReport(tmp_path, LIMITS).known_failure("b", tmp_path / "b.mp4")
    assert refusal is not None
    assert refusal.reason == "it is a once more: the same sound and the same lips"
    gone = DataReport(tmp_path, LIMITS)
    gone.forget(lambda clip_id: clip_id == "a")
    assert gone.known_failure("b", tmp_path / "b.mp4") is None  # it is the only one now


def test_clips_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    report = DataReport(tmp_path, LIMITS)
    for name in "abc":
        report.add(clip(tmp_path, name))
    report.forget(lambda clip_id: clip_id == "b")
    report.finish()
    assert list(read_records(tmp_path / REPORT_NAME)) == ["a", "c"]
