from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2v.engine.face.enrolment import face_from_landmarks, face_grid, sample
from s2v.engine.face.geometry import N_MESH, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture, neutral_face
from s2v.errors import DataError
from s2v.files import held
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.prepare_data import add_clip, choose_frames, prepare_data
from s2v.training.prepare.shards import Shard

SPEC = LipSyncSpec()


def read(shards: Path, split: str) -> dict[str, np.ndarray]:
    (path,) = shards.glob(f"{split}-*.npz")
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def test_a_validation_speaker_never_reaches_training(shards: Path) -> None:
    spoken = {split: [str(name) for name in read(shards, split)["clips"]] for split in ("train", "held", "val")}
    assert spoken["val"] == ["other/sbwe5n"]
    assert {name.split("/")[0] for name in spoken["train"] + spoken["held"]} == {"s1"}
    assert not set(spoken["train"]) & set(spoken["held"])
    assert json.loads((shards / "meta.json").read_text())["clips"] == {"train": 1, "held": 1, "val": 1}


def test_another_run_leaves_nothing_of_the_last(features: Path, tmp_path: Path) -> None:
    prepare_data(features, tmp_path, SPEC, pictures_per_clip=0, progress=False)
    (tmp_path / "train-0007.npz").write_bytes(b"from a larger data set")
    prepare_data(features, tmp_path, SPEC, validation=("s1",), pictures_per_clip=0, progress=False)
    trained = [name for path in tmp_path.glob("train-*.npz") for name in np.load(path)["clips"]]
    assert not [name for name in trained if str(name).startswith("s1/")]
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz", ".json"}


def short_clip(features: Path, place: Path, n_frames: int = 20) -> None:
    """The first frames of a real clip, as a feature file of its own."""
    with np.load(features / "s1/pgid5s.npz", allow_pickle=False) as stored:
        whole = dict(stored)
    place.parent.mkdir(parents=True, exist_ok=True)
    ends = whole["jpeg_ends"][:n_frames]
    cut = {name: whole[name][:n_frames] for name in ("landmarks", "times_s", "jpeg_ends", "corners")}
    np.savez(place, **(whole | cut | {"jpeg": whole["jpeg"][: ends[-1]]}))


def test_one_clip_of_twenty_is_held_back_and_a_shard_holds_64(features: Path, tmp_path: Path) -> None:
    short_clip(features, tmp_path / "features/s1/000.npz")
    for number in range(1, 101):
        shutil.copy(tmp_path / "features/s1/000.npz", tmp_path / f"features/s1/{number:03}.npz")
    out = tmp_path / "shards"
    clips = prepare_data(tmp_path / "features", out, SPEC, pictures_per_clip=0, progress=False)
    assert clips == {"train": 96, "held": 5}  # the 2nd, 22nd, 42nd, 62nd and 82nd
    lengths = {path.name: len(np.load(path)["clips"]) for path in out.glob("*.npz")}
    assert lengths == {"train-0000.npz": 64, "train-0001.npz": 32, "held-0000.npz": 5}


def damaged_copy(features: Path, own: Path, names: list[str]) -> Path:
    """A copy of feature files, those named with their middle overwritten."""
    shutil.copytree(features, own)
    for name in names:
        content = bytearray((own / name).read_bytes())
        content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
        (own / name).write_bytes(content)
    return own


def test_damaged_features_are_reported_and_skipped(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = damaged_copy(features, tmp_path / "features", ["s1/again.npz"])
    (own / "s1/cut.npz").write_bytes((own / "s1/pgid5s.npz").read_bytes()[:9000])
    with caplog.at_level(logging.WARNING, "s2v"):
        clips = prepare_data(own, tmp_path / "out", SPEC, ("other",), pictures_per_clip=1, progress=False)
    assert sum(clips.values()) == 2
    assert all(f"skipped {name}: " in caplog.text for name in ("again", "cut"))


def test_a_run_that_fails_leaves_the_shards_of_the_last(features: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    prepare_data(features, out, SPEC, pictures_per_clip=0, progress=False)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    nothing_whole = damaged_copy(features, tmp_path / "damaged", ["s1/again.npz", "s1/pgid5s.npz", "other/sbwe5n.npz"])
    with pytest.raises(DataError, match=r"none of 5 files below .* talking clip"):
        prepare_data(nothing_whole, out, SPEC, pictures_per_clip=0, progress=False)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_clip_with_a_damaged_frame_adds_nothing(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    clip.jpeg[:] = 0
    shard = Shard()
    with pytest.raises(DataError, match="is damaged"):
        add_clip(shard, clip, SPEC, 2, np.random.default_rng(0))
    assert shard == Shard()


def test_every_frame_has_its_motion(shards: Path, features: Path) -> None:
    stored = read(shards, "val")
    clip = load_features(features / "other/sbwe5n.npz", features)
    canonical = np.stack([head_pose(p).to_canonical(p)[:N_MESH] for p in clip.landmarks.astype(np.float64)])
    neutral = neutral_face(canonical)
    wanted = MotionBasis.load(SPEC.motion_basis).coefficients(canonical, neutral)
    np.testing.assert_allclose(stored["motion"], wanted, atol=1e-4)
    np.testing.assert_allclose(stored["aperture"], aperture(canonical) - aperture(neutral), atol=1e-5)
    assert stored["tract"].shape == (len(canonical), 5) and np.isnan(stored["tract"]).all()
    np.testing.assert_array_equal(stored["pcm"], clip.pcm)
    assert (stored["motion_ends"].tolist(), stored["pcm_ends"].tolist()) == ([len(canonical)], [len(clip.pcm)])


def test_meta_tells_what_the_shards_hold(shards: Path) -> None:
    meta = json.loads((shards / "meta.json").read_text())
    assert meta["clips"].keys() <= {"train", "held", "val"} and meta["clips"]["train"] == 1
    assert meta["spec"] == {
        **{"sample_rate_hz": 16_000, "fps": 25, "motion_basis": "grid-s1", "n_motion": 10},
        **{"face_px": 112, "face_left": -0.95, "face_top": -0.4, "face_size": 1.9},
    }


def test_pictures_have_the_size_of_the_spec(shards: Path) -> None:
    stored = read(shards, "val")
    assert stored["picture_target"].shape == stored["picture_reference"].shape == (4, SPEC.face_px, SPEC.face_px, 3)
    assert stored["picture_target"].dtype == stored["picture_reference"].dtype == np.uint8
    assert {key for key in stored if key.startswith("picture_")} == {
        "picture_where",
        "picture_target",
        "picture_reference",
    }


def test_photos_are_passed_over(features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = tmp_path / "features"
    short_clip(features, own / "s1/000.npz")
    shutil.copytree(features / "people", own / "people")
    with caplog.at_level(logging.WARNING, "s2v"):
        assert prepare_data(own, tmp_path / "shards", SPEC, progress=False) == {"train": 1}
    assert "skipped" not in caplog.text
    assert {path.name for path in (tmp_path / "shards").iterdir()} == {"meta.json", "train-0000.npz"}


def test_pictures_know_their_clip_and_frame(shards: Path) -> None:
    stored = read(shards, "val")
    assert (stored["picture_where"][:, 0] == 0).all()
    frames = stored["picture_where"][:, 1]
    assert len(set(frames.tolist())) == 4
    # All four see the same reference, and none is next to it.
    assert (stored["picture_reference"] == stored["picture_reference"][:1]).all()
    likeness = np.abs(stored["picture_target"].astype(int) - stored["picture_reference"]).mean((1, 2, 3))
    assert likeness.min() > 0.5


# --- which frames become pictures ----------------------------------------------------------------------


OPENING = 0.2 * np.sin(np.linspace(0, 20, 120)) ** 2  # face units: speech closes the lips now and then


def chosen(n_targets: int, times: int) -> list[tuple[int, list[int]]]:
    rng = np.random.default_rng(3)
    return [choose_frames(OPENING, n_targets, rng) for _ in range(times)]


def test_every_frame_ten_or_more_from_the_reference_can_be_a_target_and_no_other() -> None:
    for reference, targets in chosen(1000, times=50):
        assert sorted(targets) == [frame for frame in range(len(OPENING)) if abs(frame - reference) >= 10]


def test_no_target_is_taken_twice() -> None:
    assert all(len(set(targets)) == 5 for _, targets in chosen(5, times=50))


def test_three_references_of_four_have_a_closed_mouth() -> None:
    references = [reference for reference, _ in chosen(1, times=2000)]
    rank = np.array([(OPENING[reference] > OPENING).mean() for reference in references])
    assert (rank < 0.15).mean() == pytest.approx(0.75 + 0.25 * 0.15, abs=0.03)
    rest = {reference for reference, below in zip(references, rank, strict=True) if below >= 0.15}
    assert len(rest) > 0.9 * 0.85 * len(OPENING)  # any frame
    assert set(np.flatnonzero(np.quantile(OPENING, 0.14) > OPENING)) <= set(references)


def test_a_target_is_as_likely_as_its_mouth_is_open() -> None:
    taken = OPENING[[target for _, targets in chosen(1, times=4000) for target in targets]]
    weight = np.clip(OPENING, 0.01, 0.15)
    bounds = [0, 0.01, 0.05, 0.15, 1]
    shares, wanted = (
        np.histogram(openings, bounds, weights=weights)[0]
        for openings, weights in ((taken, np.full(len(taken), 1 / len(taken))), (OPENING, weight / weight.sum()))
    )
    np.testing.assert_allclose(shares, wanted, atol=0.03)


def test_the_pictures_of_a_clip_show_the_frames_chosen(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    gap = aperture(np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in clip.landmarks]))
    reference, targets = choose_frames(gap, 2, np.random.default_rng(8))
    shard = Shard()
    add_clip(shard, clip, SPEC, 2, np.random.default_rng(8))
    assert [picture["where"].tolist() for picture in shard.pictures] == [[0, target] for target in targets]
    for picture, frame in zip(shard.pictures, targets, strict=True):
        np.testing.assert_array_equal(picture["reference"], crop_of(clip, reference))
        np.testing.assert_array_equal(picture["target"], crop_of(clip, frame))


def crop_of(clip: ClipFeatures, frame: int) -> np.ndarray:
    face = face_from_landmarks(clip.frame(frame), clip.landmarks[frame].astype(np.float64), SPEC)
    return sample(face.photo, face_grid(face.plane, SPEC), (SPEC.face_px, SPEC.face_px))


def test_twenty_frames_are_enough_and_nineteen_are_not(features: Path, tmp_path: Path) -> None:
    for n_frames in (19, 20):
        short_clip(features, tmp_path / f"s1/{n_frames}.npz", n_frames)
    shard, rng = Shard(), np.random.default_rng(0)
    add_clip(shard, load_features(tmp_path / "s1/20.npz", tmp_path), SPEC, 1, rng)
    assert (shard.clips, len(shard.pictures)) == (["s1/20"], 1)
    with pytest.raises(DataError, match="19 frames; at least 20"):
        add_clip(shard, load_features(tmp_path / "s1/19.npz", tmp_path), SPEC, 1, rng)


def test_a_clip_too_short_is_reported_and_skipped(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "features"
    shutil.copytree(features / "s1", own / "s1")
    short_clip(features, own / "s1/short.npz", n_frames=12)
    with caplog.at_level(logging.WARNING, "s2v"):
        clips = prepare_data(own, tmp_path / "shards", SPEC, pictures_per_clip=1, seed=2, progress=False)
    assert sum(clips.values()) == 2
    assert "skipped short: 12 frames; at least 20 are needed" in caplog.text


def test_nothing_to_prepare_is_refused(features: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no feature files below"):
        prepare_data(tmp_path / "nothing", tmp_path / "out", SPEC)
    with pytest.raises(DataError, match="no talker is left to train on"):
        prepare_data(features, tmp_path / "out", SPEC, validation=("s1", "other"), pictures_per_clip=0, progress=False)


def test_what_a_killed_run_left_is_removed_and_two_runs_at_once_are_refused(features: Path, tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    for left in (tmp_path / ".new" / "train-0000.npz", tmp_path / ".s2v-0123456789ab.part"):
        left.write_bytes(b"half")
    with held(tmp_path), pytest.raises(DataError, match="another run is writing shards"):
        prepare_data(features, tmp_path, SPEC, pictures_per_clip=0, progress=False)
    prepare_data(features, tmp_path, SPEC, pictures_per_clip=0, progress=False)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}


@pytest.mark.parametrize(("scale", "says"), [(1e-4, "px wide"), (1e9, "px wide"), (0.0, "px wide")])
def test_landmarks_that_are_no_face_are_refused(features: Path, scale: float, says: str) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    shard = Shard()
    with pytest.raises(DataError, match=says):
        add_clip(shard, replace(clip, landmarks=clip.landmarks * np.float32(scale)), SPEC, 2, np.random.default_rng(0))
    assert shard == Shard(), "nothing of it is added"


def test_a_frame_without_a_byte_is_damaged(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    with pytest.raises(DataError, match="frame 1 of s1/pgid5s is damaged"):
        replace(clip, jpeg_ends=np.array([5000, 5000])).frame(1)
