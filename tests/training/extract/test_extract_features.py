from __future__ import annotations

import gc
import logging
import shutil
import tracemalloc
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from spoken import speech

from s2v.engine.face.face_search import detect_faces
from s2v.engine.face.geometry import head_pose
from s2v.engine.face.motion_basis import aperture
from s2v.engine.face.photo import Image
from s2v.errors import DataError
from s2v.media.video_file import MAX_SIDE_PX, read_video
from s2v.training.dataset.clip_index import IndexedClip, read_index
from s2v.training.extract.extract_features import extract_features
from s2v.training.extract.face_landmarks import detect_landmarks
from s2v.training.extract.feature_file import has_sound, load_features

DATA = Path(__file__).parents[2] / "data"
CLIP = DATA / "grid_s1_pgid5s.mp4"
OF_A_FOLDER = {"clips.tsv", "report.jsonl", "card.json", "card.png"}


def write_video(
    path: Path, frames: list[np.ndarray], fps: int, pcm: np.ndarray | None = None, sound_from_s: float = 0.0
) -> Path:
    """Losslessly stored frames and 16 kHz sound that begins `sound_from_s` after the picture."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=fps)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono") if pcm is not None else None
        for bgr in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(bgr, format="bgr24")))
        container.mux(video.encode(None))
        if pcm is not None and sound is not None:
            for start in range(0, len(pcm), 800):
                block = av.AudioFrame.from_ndarray(pcm[None, start : start + 800], format="s16", layout="mono")
                block.sample_rate, block.time_base = 16_000, Fraction(1, 16_000)
                block.pts = start + round(sound_from_s * 16_000)
                container.mux(sound.encode(block))
    return path


def grey(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, np.uint8)


# --- feature files -------------------------------------------------------------------------------------


def test_a_clip_becomes_landmarks_pixels_and_sound(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    assert (clip.clip_id, clip.talker, clip.name) == ("s1/pgid5s", "s1", "pgid5s")
    assert clip.landmarks.shape == (75, 478, 3)  # three seconds
    assert clip.pcm.dtype == np.int16
    assert len(clip.pcm) == pytest.approx(3 * 16_000, abs=1100)
    assert np.abs(clip.pcm).max() > 1000
    assert len(clip.jpeg_ends) == 75


def test_landmarks_are_in_pixels_of_the_stored_frames(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    for index in (0, 40):
        frame = clip.frame(index)
        (again,) = detect_faces(frame)  # the detector for stills
        assert (clip.landmarks[index, :, :2].max(0) < frame.shape[1::-1]).all()
        assert np.abs(again - clip.landmarks[index])[:, :2].mean() < 0.03 * head_pose(again).unit_px


def test_frames_of_a_clip_are_cut_to_the_face(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    shapes = {clip.frame(i).shape for i in (0, 30, 74)}
    assert len(shapes) == 1
    height, width = shapes.pop()[:2]
    face = np.ptp(clip.landmarks[0, :, :2], axis=0)
    assert 1.2 * face[0] < width < 288
    assert 1.2 * face[1] < height <= 288


def test_a_talker_opens_and_closes_the_mouth(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    gaps = aperture(np.stack([head_pose(p).to_canonical(p)[:468] for p in clip.landmarks.astype(np.float64)]))
    assert np.quantile(gaps, 0.1) < 0.01 < 0.05 < gaps.max()


def test_a_photo_is_a_clip_of_one_silent_frame(features: Path) -> None:
    photo = load_features(features / "people/01_smiling.npz", features)
    assert photo.landmarks.shape == (1, 478, 3)
    assert len(photo.pcm) == 0
    assert photo.talker == "people"
    assert photo.frame(0).ndim == 3


def test_nothing_half_written_is_left(features: Path) -> None:
    assert not [p for p in features.rglob("*") if p.is_file() and p.suffix != ".npz" and p.name not in OF_A_FOLDER]


def test_bad_clips_are_reported_and_skipped_and_what_is_done_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "s1").mkdir(parents=True)
    shutil.copy(DATA / "closed_lips.jpg", data / "s1/good.jpg")
    (data / "s1/broken.mp4").write_bytes(b"not a video")
    (data / "s1/cut.mp4").write_bytes(CLIP.read_bytes()[:30_000])
    (data / "s1/notes.txt").write_text("not a clip at all")
    write_video(data / "silent.mkv", [grey(0)] * 5, 25)
    voice = np.round(speech(2.0) * 32767).astype(np.int16)
    write_video(data / "nobody.mkv", [grey(128)] * 50, 25, voice)
    with caplog.at_level(logging.WARNING, "s2v"):
        first = extract_features(data, out, workers=2, progress=False)
    assert (first.done, first.kept_from_before) == (1, 0)
    reasons = {Path(clip).name: reason for clip, reason in first.failed.items()}
    assert reasons.keys() == {"broken.mp4", "cut.mp4", "silent.mkv", "nobody.mkv"}
    assert "cannot be decoded" in reasons["broken.mp4"]
    assert "sound track" in reasons["silent.mkv"]
    assert reasons["nobody.mkv"] == "no face in 50 of 50 frames"
    assert caplog.text.count("skipped") == 4
    again = extract_features(data, out, progress=False)
    assert (again.done, again.kept_from_before, again.failed_before) == (0, 1, 4)
    assert again.failed == first.failed
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == {*OF_A_FOLDER, "s1/good.npz"}


def test_clips_that_share_a_feature_file_are_told_and_the_video_wins(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "s1").mkdir(parents=True)
    shutil.copy(CLIP, data / "s1/a.mp4")
    shutil.copy(DATA / "closed_lips.jpg", data / "s1/a.jpg")
    shutil.copy(DATA / "closed_lips.jpg", data / "s1/b.jpg")
    report = extract_features(data, out, progress=False)
    assert report.done == 2
    assert report.failed.keys() == {str(data / "s1/a.jpg")}
    assert "a.mp4 beside it has the same name" in report.failed[str(data / "s1/a.jpg")]
    assert {p.name: has_sound(p) for p in out.rglob("*.npz")} == {"a.npz": True, "b.npz": False}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no videos or photos below"):
        extract_features(tmp_path, tmp_path / "out")


def test_a_folder_of_nothing_usable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not a photo")
    with pytest.raises(DataError, match="none of 1 clips"):
        extract_features(tmp_path, tmp_path / "out", progress=False)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 a zip cut short"])
def test_a_damaged_feature_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s1.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"s1\.npz is not a feature file .* extract-features again"):
        load_features(path, tmp_path)
    with pytest.raises(DataError, match=r"s1\.npz is not a feature file"):
        has_sound(path)


def test_a_feature_file_whose_parts_do_not_fit_is_damaged(features: Path, tmp_path: Path) -> None:
    whole = dict(np.load(features / "people/02_neutral.npz"))
    np.savez(tmp_path / "a.npz", **{**whole, "landmarks": whole["landmarks"][:, :100]})
    with pytest.raises(
        DataError, match=r"a\.npz is not a feature file \(landmarks is int16 \(1, 100, 3\), wanted any x 478"
    ):
        load_features(tmp_path / "a.npz", tmp_path)


def test_a_damaged_frame_is_named(features: Path) -> None:
    clip = load_features(features / "people/02_neutral.npz", features)
    clip.jpeg[:] = 0
    with pytest.raises(DataError, match="frame 0 of people/02_neutral is damaged"):
        clip.frame(0)


# --- reading a video -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_frames_come_at_25_per_second_whatever_the_video_has(tmp_path: Path, fps: int) -> None:
    numbered = [grey(0) for _ in range(fps)]  # one second; each frame has its number as a bright column
    for number, frame in enumerate(numbered):
        frame[:, number] = 255
    path = write_video(tmp_path / "a.mkv", numbered, fps, np.zeros(16_000, np.int16))
    video = read_video(path)
    frames, pcm = list(video.frames()), video.pcm
    assert len(frames) == pytest.approx(25, abs=1)
    assert len(pcm) == 16_000
    starts_s = np.array([frame.mean((0, 2)).argmax() for frame in frames]) / fps
    middles_s = (np.arange(len(frames)) + 0.5) / 25
    # The frame that is on the screen at that moment; files round times to a millisecond.
    assert (starts_s <= middles_s + 0.001).all()
    assert (starts_s > middles_s - 1 / fps - 0.001).all()


@pytest.mark.parametrize("sound_from_s", [0.0, 0.2])
def test_sound_that_starts_late_stays_late(tmp_path: Path, sound_from_s: float) -> None:
    # Half a second into the picture there is a flash and a click at once.
    flash, click = np.zeros(25, int), np.zeros(round((1 - sound_from_s) * 16_000), np.int16)
    flash[12:] = 200
    click[round((0.48 - sound_from_s) * 16_000) :] = 20_000
    path = write_video(tmp_path / "a.mkv", [grey(int(v)) for v in flash], 25, click, sound_from_s)
    video = read_video(path)
    pcm = video.pcm
    flash_s = next(i for i, frame in enumerate(video.frames()) if frame.mean() > 100) / 25
    click_s = np.flatnonzero(pcm > 10_000)[0] / 16_000
    assert click_s == pytest.approx(flash_s, abs=0.002)


def test_the_shorter_of_picture_and_sound_ends_the_clip(tmp_path: Path) -> None:
    levels = [grey(8 * i) for i in range(25)]
    short_sound = read_video(write_video(tmp_path / "a.mkv", levels, 25, np.zeros(6400, np.int16)))
    assert [round(frame.mean() / 8) for frame in short_sound.frames()] == list(range(10))
    short_picture = read_video(write_video(tmp_path / "b.mkv", levels, 25, np.zeros(32_000, np.int16)))
    assert [round(frame.mean() / 8) for frame in short_picture.frames()] == list(range(25))


def test_a_second_decode_gives_the_same_frames() -> None:
    video = read_video(CLIP)
    assert all(np.array_equal(*pair) for pair in zip(video.frames(), video.frames(), strict=True))


def test_a_long_video_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    video = read_video(write_video(tmp_path / "a.mkv", [frame] * 60, 25, np.zeros(48_000, np.int16)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in video.frames()) == 60
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * frame.nbytes


def test_decoded_frames_are_given_back_at_once(tmp_path: Path) -> None:
    video = read_video(write_video(tmp_path / "a.mkv", [grey(n) for n in range(60)], 25, np.zeros(48_000, np.int16)))
    gc.collect()
    gc.disable()  # what waits for it is a gigabyte of 4K
    try:
        assert sum(1 for _ in video.frames()) == 60
        assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) < 10
    finally:
        gc.enable()


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    tall = np.zeros((1500, 750, 3), np.uint8)
    video = read_video(write_video(tmp_path / "a.mkv", [tall] * 2, 25, np.zeros(3200, np.int16)))
    assert {frame.shape for frame in video.frames()} == {(MAX_SIDE_PX, MAX_SIDE_PX // 2, 3)}


def test_a_face_lost_for_a_moment_is_filled_in() -> None:
    some = list(islice(read_video(CLIP).frames(), 14))
    whole = detect_landmarks(some)
    some[6][:] = 128
    some[7][:] = 128
    filled = detect_landmarks(some)
    assert filled.shape == (14, 478, 3)
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[6], filled[5] * 2 / 3 + filled[8] / 3, atol=0.01)
    assert np.abs(filled - whole)[..., :2].mean() < 1.0


def test_a_face_lost_for_long_is_refused() -> None:
    frame = cv2.imread(str(DATA / "closed_lips.jpg"))
    with pytest.raises(DataError, match="no face in 6 of 10 frames"):
        detect_landmarks([frame] * 4 + [np.full_like(frame, 128)] * 6)


# --- which talkers ------------------------------------------------------------------------------------------------


def extracted_before(features: Path, data: Path, out: Path, clips: dict[str, str]) -> None:
    """Videos of which nothing is left to do, because their features are there."""
    for clip_id, like in clips.items():
        for path in (data / f"{clip_id}.mp4", out / f"{clip_id}.npz"):
            path.parent.mkdir(parents=True, exist_ok=True)
        (data / f"{clip_id}.mp4").write_bytes(b"")
        shutil.copy(features / f"{like}.npz", out / f"{clip_id}.npz")


LRS2 = {
    "main/111/00001": "s1/pgid5s",
    "main/111/00002": "other/sbwe5n",
    "main/222/00001": "s1/again",
    "pretrain/333/00001": "other/sbwe5n",
}


def test_lrs2_is_read_with_its_lists_and_talkers_are_told_by_their_faces(features: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "mvlrs_v1", tmp_path / "features"
    extracted_before(features, data, out, LRS2)
    (tmp_path / "train.txt").write_text("111/00001\n111/00002\n")
    (data / "test.txt").write_text("222/00001 MV\n")
    report = extract_features(data, out, progress=False)
    assert (report.done, report.kept_from_before, report.talkers, report.talkers_by) == (0, 4, 2, "faces")
    assert read_index(out) == {
        "main/111/00001": IndexedClip("111", "train"),
        "main/111/00002": IndexedClip("111.2", "train"),
        "main/222/00001": IndexedClip("111", "test"),
        "pretrain/333/00001": IndexedClip("111.2", "pretrain"),
    }
    assert load_features(out / "main/222/00001.npz", out).talker == "111"


def test_a_list_of_talkers_counts_also_for_what_was_extracted_before(features: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "features"
    extracted_before(features, data, out, {"a/1": "s1/pgid5s", "b/1": "s1/pgid5s"})
    assert extract_features(data, out, progress=False).talkers_by == "folder"
    (tmp_path / "who.txt").write_text("a ann\nb ann\n")
    report = extract_features(data, out, progress=False, talkers=tmp_path / "who.txt")
    assert (report.talkers, report.talkers_by) == (1, "list")
    assert load_features(out / "b/1.npz", out).talker == "ann"
    # Without another word it stays so, and can be taken back.
    assert extract_features(data, out, progress=False).talkers_by == "clips.tsv"
    assert load_features(out / "b/1.npz", out).talker == "ann"
    assert extract_features(data, out, progress=False, talkers="folder").talkers == 2


def test_clips_of_a_list_are_known_before_the_first_is_extracted(tmp_path: Path) -> None:
    (tmp_path / "data/A").mkdir(parents=True)
    (tmp_path / "data/A/1.mp4").write_bytes(b"not a video")
    (tmp_path / "data/val.txt").write_text("A/1\n")
    with pytest.raises(DataError, match="none of 1 clips"):
        extract_features(tmp_path / "data", tmp_path / "out", progress=False)
    assert read_index(tmp_path / "out") == {"A/1": IndexedClip("A", "val")}


# --- landmarks ------------------------------------------------------------------------------------------------------


def test_a_picture_that_comes_again_has_the_same_landmarks() -> None:
    first, second = islice(read_video(CLIP).frames(), 2)
    found = detect_landmarks([first, first.copy(), second, second])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert (found[1] != found[2]).any()


def test_a_face_that_is_elsewhere_after_a_cut_is_found_there() -> None:
    frames = list(islice(read_video(CLIP).frames(), 3))
    wide: list[Image] = [np.full((288, 760, 3), 128, np.uint8) for _ in range(6)]
    for index, picture in enumerate(wide):
        left = 0 if index < 3 else 460
        picture[:, left : left + 288] = frames[index % 3]
    found = detect_landmarks(wide)
    np.testing.assert_allclose((found[3:] - found[:3])[..., 0].mean(1), 460, atol=6)


def test_landmarks_do_not_depend_on_where_in_the_picture_the_face_is() -> None:
    frames = list(islice(read_video(CLIP).frames(), 20))
    openings, turn = [], cv2.getRotationMatrix2D((144, 144), 3.0, 1.05)
    turned = [
        np.asarray(cv2.warpAffine(one, turn, (288, 288), borderMode=cv2.BORDER_REPLICATE), np.uint8) for one in frames
    ]
    for moved in (frames, turned):
        canonical = np.stack([head_pose(p).to_canonical(p)[:468] for p in detect_landmarks(moved).astype(np.float64)])
        openings.append(aperture(canonical))
    # A detector on every frame by itself differs from itself by up to 0.008 (docs/LOG.md).
    assert np.std(openings[0] - openings[1]) < 0.005 < 0.03 < np.ptp(openings[0])
