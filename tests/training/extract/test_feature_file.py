"""What a feature file keeps, and files of older releases."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2v.errors import DataError
from s2v.training.dataset.clip_index import IndexedClip, write_index
from s2v.training.extract.face_cuts import cut_to_faces
from s2v.training.extract.feature_file import load_features, save_features, talkers_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clip of somebody in main/A, with what is said."""
    dice = np.random.default_rng(0)
    frames = [dice.integers(0, 255, (90, 120, 3), dtype=np.uint8) for _ in range(3)]
    landmarks = dice.uniform(20, 70, (3, 478, 3)).astype(np.float32)
    place = tmp_path / "main/A/00001.npz"
    save_features(place, cut_to_faces(frames, landmarks), landmarks, np.ones(1920, np.int16), "ann", "HELLO YOU")
    np.save(tmp_path / "landmarks.npy", landmarks)
    return tmp_path


def test_id_talker_and_words_come_back(folder: Path) -> None:
    clip = load_features(folder / "main/A/00001.npz", folder)
    assert (clip.clip_id, clip.name, clip.talker, clip.transcript) == ("main/A/00001", "00001", "ann", "HELLO YOU")
    assert clip.landmarks.dtype == np.float32


def test_landmarks_are_kept_to_a_hundredth_of_a_pixel(folder: Path) -> None:
    clip, before = load_features(folder / "main/A/00001.npz", folder), np.load(folder / "landmarks.npy")
    shift = (before - clip.landmarks)[..., :2]
    assert np.abs(shift - np.rint(shift.mean((0, 1)))).max() < 0.01
    with np.load(folder / "main/A/00001.npz") as stored:
        assert stored["landmarks"].dtype == np.int16


def test_a_name_in_the_index_counts_more_than_one_in_the_file(folder: Path) -> None:
    shutil.copy(folder / "main/A/00001.npz", folder / "main/A/00002.npz")
    assert talkers_of(folder) == {"main/A/00001": "ann", "main/A/00002": "ann"}
    write_index(folder, folder, {"main/A/00001": IndexedClip("bob")})
    assert load_features(folder / "main/A/00001.npz", folder).talker == "bob"
    assert talkers_of(folder) == {"main/A/00001": "bob", "main/A/00002": "ann"}


def test_a_file_of_an_older_release_is_read_and_its_talker_is_its_folder(folder: Path) -> None:
    with np.load(folder / "main/A/00001.npz", allow_pickle=False) as stored:
        new = dict(stored)
    old = {name: new[name] for name in ("jpeg", "jpeg_ends", "pcm", "times_s")}
    old |= {"landmarks": np.load(folder / "landmarks.npy"), "person": np.array("x")}
    (folder / "s1").mkdir()
    np.savez(folder / "s1/a.npz", **old)
    clip = load_features(folder / "s1/a.npz", folder)
    assert (clip.clip_id, clip.talker, clip.transcript) == ("s1/a", "s1", "")
    np.testing.assert_array_equal(clip.landmarks, old["landmarks"])
    assert clip.frame(2).ndim == 3
    assert talkers_of(folder)["s1/a"] == "s1"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"corners": np.zeros((2, 2), np.int32)}, "2 corners for 3 frames"),
        ({"canvas_px": np.array([-1, 5], np.int32)}, "its frames are -1 x 5 px"),
        ({"canvas_px": np.array([90_000, 5], np.int32)}, "its frames are 90000 x 5 px"),
        ({"landmark_step_px": np.array(3e38, np.float32)}, "landmarks has values that are no numbers"),
    ],
)
def test_parts_that_do_not_fit_are_damage(folder: Path, changed: dict[str, np.ndarray], says: str) -> None:
    path = folder / "main/A/00001.npz"
    with np.load(path, allow_pickle=False) as stored:
        whole = dict(stored)
    np.savez(path, **(whole | changed))
    with np.errstate(all="ignore"), pytest.raises(DataError, match=rf"00001\.npz is not a feature file \({says}"):
        load_features(path, folder)


def test_a_picture_that_lies_off_its_frames_is_damage(folder: Path) -> None:
    clip = load_features(folder / "main/A/00001.npz", folder)
    with pytest.raises(DataError, match="frame 1 of main/A/00001 is damaged"):
        replace(clip, canvas_px=(clip.canvas_px[0] - 1, clip.canvas_px[1])).frame(1)
