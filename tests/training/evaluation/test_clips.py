from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.clips import HeldClip, features_folder, find_clips, load_clip
from s2v.training.evaluation.picture_level import photo_frame
from s2v.training.extract.face_cuts import cut_to_faces
from s2v.training.extract.feature_file import load_features, save_features


def test_the_first_folder_names_the_set_and_photos_are_no_clips(features: Path, tmp_path: Path) -> None:
    found = find_clips([features], tmp_path, progress=False)
    assert sorted((file.set_name, file.path.stem) for file in found) == [
        ("other", "sbwe5n"), ("s1", "again"), ("s1", "pgid5s"),
    ]  # fmt: skip
    flat = find_clips([features / "s1"], tmp_path, progress=False)
    assert {file.set_name for file in flat} == {"s1"}


def test_fewer_clips_are_spread_over_each_set(features: Path, tmp_path: Path) -> None:
    found = find_clips([features], tmp_path, max_clips=1, progress=False)
    assert [file.set_name for file in found] == ["other", "s1"]


def test_videos_are_extracted_when_they_are_newer_than_their_features(features: Path, tmp_path: Path) -> None:
    videos, cache = tmp_path / "talkers", tmp_path / "cache"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"no video, so that an attempt to read it is seen")
    kept = features_folder(videos, cache) / "a.npz"
    kept.parent.mkdir(parents=True)
    shutil.copy(features / "other" / "sbwe5n.npz", kept)
    found = find_clips([videos], cache, progress=False)
    assert [(file.set_name, file.path) for file in found] == [("talkers", kept)]
    (videos / "b.mp4").write_bytes(b"no video either")
    good, bad = find_clips([videos], cache, progress=False)
    assert good == found[0] and "decoded" in bad.refused
    with pytest.raises(DataError, match="decoded"):
        load_clip(bad)
    os.utime(videos / "a.mp4", (time.time() + 60, time.time() + 60))
    with pytest.raises(DataError, match="can be used"):
        find_clips([videos], cache, progress=False)
    assert not kept.exists()


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_clips_is_named(make: bool, tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(DataError, match="nothing"):
        find_clips([folder], tmp_path / "cache", progress=False)


def held(features: Path) -> HeldClip:
    return HeldClip("other", load_features(features / "other" / "sbwe5n.npz", features))


def test_a_clip_knows_its_motion_and_its_opening_over_closed_lips(features: Path) -> None:
    clip = held(features)
    spoken = clip.spoken(LipSyncSpec())
    assert spoken.name == "other/sbwe5n"
    assert spoken.motion.shape == (clip.n_frames, LipSyncSpec().n_motion)
    assert np.quantile(clip.aperture, 0.05) == pytest.approx(0, abs=0.01)
    assert clip.aperture.max() > 0.08
    assert clip.pcm.max() <= 1


def test_its_photo_has_closed_lips_and_looks_at_the_camera(features: Path) -> None:
    clip = held(features)
    photo = photo_frame(clip)
    assert clip.aperture[photo] <= np.quantile(clip.aperture, 0.15)
    closed = np.flatnonzero(clip.aperture <= np.quantile(clip.aperture, 0.15))
    turned = {i: abs(clip.poses[i].yaw_degrees) + abs(clip.poses[i].pitch_degrees) for i in closed.tolist()}
    assert turned[photo] == min(turned.values())


def test_only_the_first_seconds_are_read(features: Path, tmp_path: Path) -> None:
    file = next(f for f in find_clips([features], tmp_path, progress=False) if f.set_name == "other")
    clip = load_clip(file, max_frames=25)
    assert clip.n_frames == 25 and len(clip.pcm) == 16_000
    with pytest.raises(DataError, match="10 frames"):
        load_clip(file, max_frames=10)


def test_frames_before_the_first_face_are_left_out_with_their_sound(features: Path, tmp_path: Path) -> None:
    whole = held(features).features
    landmarks = whole.landmarks.copy()
    landmarks[:6] = landmarks[6]  # as extraction fills a fade from black
    frames = [whole.frame(i) for i in range(len(landmarks))]
    save_features(tmp_path / "set" / "a.npz", cut_to_faces(frames, landmarks), landmarks, whole.pcm, "")
    clip = load_clip(find_clips([tmp_path], tmp_path / "cache", progress=False)[0])
    assert clip.n_frames == len(landmarks) - 6
    np.testing.assert_array_equal(clip.pcm, held(features).pcm[6 * 640 : len(landmarks) * 640])
    stored = load_features(tmp_path / "set" / "a.npz", tmp_path)
    np.testing.assert_array_equal(clip.frame(0), stored.frame(6))
