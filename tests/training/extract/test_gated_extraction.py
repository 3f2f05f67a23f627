"""Poison among good clips: skipped with a reason, mended where it can be, and not looked at again by the next run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.media import shift_samples

from s2v.errors import DataError
from s2v.media.video_file import read_video
from s2v.training.extract.extract_features import ExtractReport, extract_features
from s2v.training.extract.feature_file import load_features
from s2v.training.quality.clip_records import REPORT_NAME, read_records

CLIP = Path(__file__).parents[2] / "data" / "grid_s1_pgid5s.mp4"
LATE_S = 0.2


def film(path: Path, frames: list[NDArray[np.uint8]], pcm: NDArray[np.int16], rotation: int = 0) -> None:
    """As cameras write it. Args: rotation: degrees counter-clockwise that a player must turn it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "18", "preset": "ultrafast"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        if rotation:
            video.set_display_rotation(rotation, False, False)
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for bgr in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr), format="bgr24")))
        container.mux(video.encode(None))
        for start in range(0, len(pcm), 1024):
            block = av.AudioFrame.from_ndarray(pcm[None, start : start + 1024], format="s16", layout="mono")
            block.sample_rate, block.pts = 16_000, start
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ExtractReport]:
    """A data folder of one talker's clip, good and poisoned, its features, and what was reported."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("features")
    video = read_video(CLIP)
    frames, pcm = list(video.frames()), video.pcm
    late = np.concatenate([np.zeros(round(LATE_S * 16_000), np.int16), pcm])[: len(pcm)]
    (data / "a").mkdir()
    shutil.copy(CLIP, data / "a" / "good.mp4")
    shutil.copy(CLIP, data / "a" / "the_same.mp4")
    film(data / "late.mp4", frames, late)
    film(data / "silent.mp4", frames, 0 * pcm)
    # A phone held upright stores its pictures on their side. Frames in the order of another clip: no copy of the good.
    sideways = [np.rot90(frame) for frame in frames[15:70]]
    film(data / "sideways.mp4", sideways, pcm[15 * 640 : 70 * 640], rotation=-90)
    (data / "broken.mp4").write_bytes(bytes(64) + CLIP.read_bytes()[64:])
    return data, out, extract_features(data, out, progress=False)


def reasons(report: ExtractReport) -> dict[str, str]:
    return {Path(path).stem: reason for path, reason in report.failed.items()}


def test_poison_is_skipped_with_its_reason(extracted: tuple[Path, Path, ExtractReport]) -> None:
    _, out, report = extracted
    why = reasons(report)
    assert why.keys() == {"broken", "silent", "the_same", "late", "sideways"}
    assert why["the_same"] == "it is a/good once more: the same file"
    assert why["silent"] == "nobody speaks: the sound is silent"
    assert why["late"] == why["sideways"] == "it is a/good once more: the same sound and the same lips"
    assert [path.name for path in out.rglob("*.npz")] == ["good.npz"]
    lines = [json.loads(line) for line in (out / REPORT_NAME).read_text().splitlines()]
    assert {line["id"]: (line["skipped"] or {}).get("gate") for line in lines} == {
        "a/good": None,
        "a/the_same": "duplicate",
        "broken": "unreadable",
        "late": "duplicate",
        "sideways": "duplicate",
        "silent": "no-speech",
    }
    assert report.card is not None
    assert report.card.skipped == {"duplicate": 3, "unreadable": 1, "no-speech": 1}


def test_a_known_failure_is_not_decoded_again(extracted: tuple[Path, Path, ExtractReport]) -> None:
    data, out, first = extracted
    broken = data / "broken.mp4"
    status, damaged = broken.stat(), broken.read_bytes()
    shutil.copyfile(CLIP, broken)  # what can be read, and another reason would be given
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had changed
    again = extract_features(data, out, progress=False)
    assert (again.done, again.kept_from_before, again.failed_before) == (0, 1, 5)
    assert reasons(again) == reasons(first)
    with pytest.raises(DataError, match="none of 1 clips"):
        extract_features(data, out, progress=False, only=[broken], retry=True)
    record = read_records(out / REPORT_NAME)["broken"]
    assert record.refusal is not None and record.refusal.gate == "duplicate"
    broken.write_bytes(damaged)


def test_pictures_are_seen_upright(extracted: tuple[Path, Path, ExtractReport]) -> None:
    records = read_records(extracted[1] / REPORT_NAME)
    upright, sideways = (records[name].figures for name in ("a/good", "sideways"))
    for name in ("picture_width_px", "picture_height_px"):
        assert sideways[name] == upright[name]
    assert sideways["eye_distance_px"] == pytest.approx(upright["eye_distance_px"], rel=0.02)


def test_when_an_original_is_gone_its_copy_is_taken_with_its_sound_set_right(
    extracted: tuple[Path, Path, ExtractReport],
) -> None:
    data, out, _ = extracted
    good = load_features(out / "a/good.npz", out)
    for folder in (data, out):
        shutil.rmtree(folder / "a")
    report = extract_features(data, out, progress=False)
    assert report.done == 1
    assert reasons(report)["sideways"] == "it is late once more: the same sound and the same lips"
    late = load_features(out / "late.npz", out)
    n = min(len(late.pcm), len(good.pcm))
    assert shift_samples(late.pcm[:n].astype(np.float32), good.pcm[:n].astype(np.float32)) == pytest.approx(0, abs=480)
    assert len(late.landmarks) == pytest.approx(75 - LATE_S * 25, abs=1)
    record = read_records(out / REPORT_NAME)["late"]
    assert record.figures["offset_ms"] == pytest.approx(1000 * LATE_S, abs=30)
    assert record.notes == (f"sound shifted: it came {record.figures['offset_ms']:.0f} ms after the lips",)
