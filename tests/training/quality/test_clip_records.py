from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from s2v.training.quality.clip_records import (
    REPORT_NAME,
    ClipRecord,
    as_line,
    fingerprint,
    from_line,
    read_records,
    record_of,
    write_records,
)
from s2v.training.quality.copies import Prints
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()
PRINTS = Prints(np.array([1, 2**32 - 1], np.uint32), np.array([0, 7, 255], np.uint8))
KEPT = ClipRecord(
    "s1/a", "s1/a.mp4", 1000, 5, fingerprint(LIMITS), None, "s1", {"length_s": 3.0}, ("shifted: by 200 ms",), PRINTS
)
SKIPPED = ClipRecord("s1/ü", "s1/ü.mov", 10, 6, fingerprint(LIMITS), Refusal("no-face", "no face", 1.0, 0.2))


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / REPORT_NAME
    write_records(path, [SKIPPED, KEPT])
    found = read_records(path)
    assert list(found) == ["s1/a", "s1/ü"]
    assert found["s1/ü"] == SKIPPED
    assert replace(found["s1/a"], prints=None) == replace(KEPT, prints=None)
    prints = found["s1/a"].prints
    assert prints is not None
    assert prints.sound.tolist() == PRINTS.sound.tolist()
    assert prints.lips.tolist() == PRINTS.lips.tolist()


def test_a_line_says_why_a_clip_was_skipped(tmp_path: Path) -> None:
    write_records(tmp_path / "r", [KEPT, SKIPPED])
    first, second = (json.loads(line) for line in (tmp_path / "r").read_text(encoding="utf-8").splitlines())
    assert first["skipped"] is None
    assert second["skipped"] == {"gate": "no-face", "reason": "no face", "figure": 1.0, "threshold": 0.2}


def test_what_is_no_line_of_ours_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write_records(path, [KEPT, SKIPPED])
    good = path.read_text(encoding="utf-8").splitlines()
    odd = json.loads(good[1])
    odd["skipped"]["gate"] = "weather"
    path.write_text("\n".join([good[0], "{", "3", "null", json.dumps(odd), good[1][:40]]), encoding="utf-8")
    assert list(read_records(path)) == ["s1/a"]
    assert read_records(tmp_path / "none") == {}


def test_a_finding_holds_until_the_file_or_the_thresholds_change(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"0123456789")
    status = clip.stat()
    record = replace(SKIPPED, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
    assert record.still_holds(clip, LIMITS)
    assert not record.still_holds(clip, replace(LIMITS, max_turn_degrees=50))
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert not record.still_holds(clip, LIMITS)
    clip.write_bytes(b"01234567890")
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not record.still_holds(clip, LIMITS)


def test_a_link_to_nowhere_stays_refused_and_odd_lines_are_left_out(tmp_path: Path) -> None:
    link = tmp_path / "x.mp4"
    link.symlink_to(tmp_path / "nowhere")
    assert record_of("x", link, "", LIMITS).still_holds(link, LIMITS)
    line = as_line(KEPT)
    assert from_line(line) is not None
    broken: tuple[dict[str, object], ...] = ({"figures": []}, {"size_bytes": float("inf")}, {"sound_print": 3})
    for odd in broken:
        assert from_line(json.dumps(json.loads(line) | odd)) is None
