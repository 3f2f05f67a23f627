from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("webdataset")

from s2v.engine.face.enrolment import face_from_landmarks, face_grid, sample
from s2v.errors import DataError
from s2v.files import held
from s2v.spec import LipSyncSpec
from s2v.training.dataset.clip_index import IndexedClip, write_index
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.canonical import canonical_clip
from s2v.training.prepare.clip_pictures import choose_frames, face_crop
from s2v.training.prepare.labels import clip_labels
from s2v.training.prepare.make_shard import PrepareSettings, ShardJob, clip_sample, make_shard
from s2v.training.prepare.neutral import TalkerNeutral, clip_rest, talker_neutral
from s2v.training.prepare.prepare_data import _jobs, prepare_data
from s2v.training.prepare.shards import ShardFolder, shard_folder
from s2v.training.prepare.talker_neutrals import find_neutrals, talker_jobs
from s2v.training.shard_file import ClipSample
from s2v.training.stored_clips import stored_clips

SPEC = LipSyncSpec()
WITHOUT_PICTURES = PrepareSettings(SPEC, pictures_per_clip=0)


def read(shards: Path, split: str) -> list[ClipSample]:
    clips = stored_clips(shards, split)
    return [clips.sample(at, pictures=True) for at in range(len(clips))]


def names(shards: Path, split: str) -> list[str]:
    return [sample.clip for sample in read(shards, split)]


def whole(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rest_of(clip: ClipFeatures) -> TalkerNeutral:
    return talker_neutral([clip_rest(canonical_clip(clip))])


def sample_of(clip: ClipFeatures, n_pictures: int, seed: int = 0) -> ClipSample:
    settings = PrepareSettings(SPEC, pictures_per_clip=n_pictures)
    return clip_sample(clip, "s1", "train", rest_of(clip), settings, np.random.default_rng(seed))[0]


def test_a_validation_talker_never_reaches_training(shards: Path) -> None:
    spoken = {split: names(shards, split) for split in ("train", "held", "val")}
    assert spoken["val"] == ["other/sbwe5n"]
    assert {name.split("/")[0] for name in spoken["train"] + spoken["held"]} == {"s1"}
    assert not set(spoken["train"]) & set(spoken["held"])
    assert json.loads((shards / "meta.json").read_text())["clips"] == {"train": 1, "held": 1, "val": 1, "photo": 1}


def test_another_run_leaves_nothing_of_the_last(features: Path, tmp_path: Path) -> None:
    prepare_data(features, tmp_path, WITHOUT_PICTURES, progress=False)
    (tmp_path / "train-000007.tar").write_bytes(b"from a larger data set")
    (tmp_path / "val-0001.npz").write_bytes(b"of an older version")
    prepare_data(features, tmp_path, replace(WITHOUT_PICTURES, validation=("s1",)), force=True, progress=False)
    assert not [name for name in names(tmp_path, "train") if name.startswith("s1/")]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("manifest.tsv", "meta.json", "train-000000.tar", "train.index", "val-000000.tar", "val.index")
    ]


def short_clip(features: Path, place: Path, n_frames: int = 20) -> None:
    """The first frames of a real clip, as a feature file of its own."""
    with np.load(features / "s1/pgid5s.npz", allow_pickle=False) as stored:
        whole = dict(stored)
    place.parent.mkdir(parents=True, exist_ok=True)
    ends = whole["jpeg_ends"][:n_frames]
    cut = {name: whole[name][:n_frames] for name in ("landmarks", "times_s", "jpeg_ends", "corners")}
    np.savez(place, **(whole | cut | {"jpeg": whole["jpeg"][: ends[-1]]}))


@pytest.fixture(scope="module")
def many(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 21 short clips."""
    folder = tmp_path_factory.mktemp("many")
    short_clip(features, folder / "s1/00.npz")
    for number in range(1, 21):
        shutil.copy(folder / "s1/00.npz", folder / f"s1/{number:02}.npz")
    return folder


FEW = replace(WITHOUT_PICTURES, clips_per_shard=6)


def test_one_clip_of_twenty_is_held_back_and_a_shard_holds_so_many(many: Path, tmp_path: Path) -> None:
    meta = prepare_data(many, tmp_path, FEW, progress=False)
    assert meta["clips"] == {"train": 20, "held": 1} and meta["frames"] == {"train": 400, "held": 20}
    assert meta["shards"] == {"train": 4, "held": 1}
    listed = [line.split("\t") for line in (tmp_path / "manifest.tsv").read_text().splitlines()]
    shards = [shard for _, shard, _, _ in listed[1:]]
    assert [shards.count(f"train-00000{n}.tar") for n in range(4)] == [6, 6, 6, 2]
    assert sorted(clip for clip, _, _, _ in listed[1:]) == [f"s1/{n:02}" for n in range(21)]


def test_a_run_that_was_killed_goes_on_where_it_was(many: Path, tmp_path: Path) -> None:
    unbroken, out = tmp_path / "unbroken", tmp_path / "out"
    prepare_data(many, unbroken, FEW, progress=False)
    wanted = whole(unbroken)
    with shard_folder(out, settings_of(unbroken)) as shards:  # as a run leaves it that is killed after two shards
        assert shards is not None
        for job in jobs_of(many, shards, FEW)[:2]:
            make_shard(job)
        (shards.folder / "train-000003.tar").write_bytes(b"without what says that it is finished")
    assert not (out / "meta.json").exists()
    made = {path.name: path.stat().st_mtime_ns for path in (out / ".new").glob("*.tar")}
    prepare_data(many, out, FEW, progress=False)
    assert whole(out) == wanted
    kept = [name for name, at in made.items() if (out / name).stat().st_mtime_ns == at]
    assert len(kept) == 2 and len(made) == 3


def settings_of(shards: Path) -> dict[str, object]:
    settings: dict[str, object] = json.loads((shards / "meta.json").read_text())["settings"]
    return settings


def jobs_of(features: Path, shards: ShardFolder, settings: PrepareSettings) -> list[ShardJob]:
    clips = [path.relative_to(features).with_suffix("").as_posix() for path in features.rglob("*.npz")]
    talkers = dict.fromkeys(clips, "s1")
    (job,) = talker_jobs({"s1": clips}, features, shards.folder, SPEC)
    return _jobs(dict.fromkeys(clips, "train"), talkers, find_neutrals(job), features, shards.folder, settings)


def test_workers_write_the_same_bytes(many: Path, tmp_path: Path) -> None:
    prepare_data(many, tmp_path / "one", FEW, progress=False)
    prepare_data(many, tmp_path / "two", FEW, workers=2, progress=False)
    assert whole(tmp_path / "one") == whole(tmp_path / "two")


def test_other_settings_are_not_mixed_in(many: Path, tmp_path: Path) -> None:
    prepare_data(many, tmp_path, FEW, progress=False)
    before = whole(tmp_path)
    other = replace(FEW, seed=7)
    with pytest.raises(DataError, match=r"has other settings \(seed was 0, not 7\): --force replaces it"):
        prepare_data(many, tmp_path, other, progress=False)
    with shard_folder(tmp_path / "cut", settings_of(tmp_path)):
        pass
    with pytest.raises(DataError, match=r"an unfinished run in .* has other settings \(seed was 0, not 7\)"):
        prepare_data(many, tmp_path / "cut", other, progress=False)
    assert whole(tmp_path / "cut/.new").keys() == {"settings.json"}
    shutil.rmtree(tmp_path / "cut")
    assert whole(tmp_path) == before
    prepare_data(many, tmp_path, other, force=True, progress=False)
    assert whole(tmp_path)["train-000000.tar"] != before["train-000000.tar"]


def test_what_is_done_already_is_not_done_again(many: Path, tmp_path: Path) -> None:
    first = prepare_data(many, tmp_path, FEW, progress=False)
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert prepare_data(many, tmp_path, FEW, progress=False) == first
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made


def test_shards_of_an_older_version_are_only_replaced_when_asked(many: Path, tmp_path: Path) -> None:
    (tmp_path / "train-0000.npz").write_bytes(b"old")
    for meta in (None, '{"clips": {"train": 1}, "spec": {}}'):
        if meta:
            (tmp_path / "meta.json").write_text(meta)
        with pytest.raises(DataError, match="of an older version: --force replaces them"):
            prepare_data(many, tmp_path, FEW, progress=False)
    prepare_data(many, tmp_path, FEW, force=True, progress=False)
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("moved", [0, 2, 7])
def test_a_move_that_was_cut_short_goes_on(many: Path, tmp_path: Path, moved: int) -> None:
    """Killed between finishing the shards and moving the last of them."""
    out, new = tmp_path / "out", tmp_path / "out/.new"
    prepare_data(many, tmp_path / "whole", FEW, progress=False)
    prepare_data(many, out, replace(FEW, seed=7), progress=False)
    shutil.copytree(tmp_path / "whole", new)
    (out / "meta.json").unlink()
    for path in sorted(new.glob("[!m]*"))[:moved]:
        path.replace(out / path.name)
    prepare_data(many, out, FEW, progress=False)
    assert whole(out) == whole(tmp_path / "whole")


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
    settings = PrepareSettings(SPEC, ("other",), pictures_per_clip=1)
    with caplog.at_level(logging.WARNING, "s2v"):
        meta = prepare_data(own, tmp_path / "out", settings, progress=False)
    assert sum(meta["clips"].values()) == 3 and meta["skipped"] == 2
    assert all(f"skipped s1/{name}: " in caplog.text for name in ("again", "cut"))


def test_a_run_that_fails_leaves_the_shards_of_the_last(features: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    prepare_data(features, out, WITHOUT_PICTURES, progress=False)
    before = whole(out)
    nothing_whole = damaged_copy(features, tmp_path / "damaged", ["s1/again.npz", "s1/pgid5s.npz", "other/sbwe5n.npz"])
    with pytest.raises(DataError, match=r"none of 5 files below .* talking clip"):
        prepare_data(nothing_whole, out, WITHOUT_PICTURES, force=True, progress=False)
    assert whole(out) == before


def test_a_clip_with_a_damaged_frame_is_skipped_whole(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    clip.jpeg[:] = 0
    with pytest.raises(DataError, match="is damaged"):
        sample_of(clip, 2)


def test_every_frame_has_its_motion(shards: Path, features: Path) -> None:
    (stored,) = read(shards, "val")
    clip = load_features(features / "other/sbwe5n.npz", features)
    labels = clip_labels(canonical_clip(clip), rest_of(clip), SPEC)
    np.testing.assert_array_equal(stored.motion, labels.motion)
    np.testing.assert_array_equal(stored.aperture, labels.aperture)
    assert stored.tract.shape == (len(clip.landmarks), 5) and np.isnan(stored.tract).all()
    np.testing.assert_array_equal(stored.pcm, clip.pcm)


def test_meta_tells_what_the_shards_hold(shards: Path) -> None:
    meta = json.loads((shards / "meta.json").read_text())
    assert meta["clips"].keys() == {"train", "held", "val", "photo"} and meta["clips"]["train"] == 1
    assert meta["spec"] == {
        **{"sample_rate_hz": 16_000, "fps": 25, "motion_basis": "grid-s1", "n_motion": 10},
        **{"face_px": 112, "face_left": -0.95, "face_top": -0.4, "face_size": 1.9},
    }


def test_photos_are_no_clips_to_learn_motion_from(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "features"
    short_clip(features, own / "s1/000.npz")
    shutil.copytree(features / "people", own / "people")
    with caplog.at_level(logging.WARNING, "s2v"):
        assert prepare_data(own, tmp_path / "shards", WITHOUT_PICTURES, progress=False)["clips"] == {"train": 1}
    assert "skipped" not in caplog.text
    assert names(tmp_path / "shards", "train") == ["s1/000"]


def test_every_target_has_a_reference_that_is_far_from_it(shards: Path) -> None:
    for split in ("train", "held", "val"):
        (stored,) = read(shards, split)
        assert len(stored.targets) == 4 and 1 <= len(stored.references) <= 4
        assert stored.pictures.keys() == {*stored.targets, *stored.references}
        assert all(stored.references_of(target) for target in stored.targets)


# --- which frames become pictures ----------------------------------------------------------------------


OPENING = 0.2 * np.sin(np.linspace(0, 20, 120)) ** 2  # face units: speech closes the lips now and then


def chosen(n_targets: int, times: int, n_references: int = 1) -> list[tuple[list[int], list[int]]]:
    rng = np.random.default_rng(3)
    return [choose_frames(OPENING, n_targets, n_references, rng) for _ in range(times)]


def test_every_frame_ten_or_more_from_a_reference_can_be_a_target_and_no_other() -> None:
    for n_references in (1, 3):
        for targets, references in chosen(1000, 50, n_references):
            far = [f for f in range(len(OPENING)) if any(abs(f - reference) >= 10 for reference in references)]
            assert sorted(targets) == far


def test_no_target_is_taken_twice() -> None:
    assert all(len(set(targets)) == 5 for targets, _ in chosen(5, times=50))


def test_a_clip_has_several_references() -> None:
    counts = [len(references) for _, references in chosen(1, 200, n_references=4)]
    assert max(counts) == 4 and np.mean(counts) > 3.5  # the same frame is rarely drawn twice


def test_three_references_of_four_have_a_closed_mouth() -> None:
    references = [reference for _, (reference,) in chosen(1, times=2000)]
    rank = np.array([(OPENING[reference] > OPENING).mean() for reference in references])
    assert (rank < 0.15).mean() == pytest.approx(0.75 + 0.25 * 0.15, abs=0.03)
    rest = {reference for reference, below in zip(references, rank, strict=True) if below >= 0.15}
    assert len(rest) > 0.9 * 0.85 * len(OPENING)  # any frame
    assert set(np.flatnonzero(np.quantile(OPENING, 0.14) > OPENING)) <= set(references)


def test_a_target_is_as_likely_as_its_mouth_is_open() -> None:
    taken = OPENING[[target for targets, _ in chosen(1, times=4000) for target in targets]]
    weight = np.clip(OPENING, 0.01, 0.15)
    bounds = [0, 0.01, 0.05, 0.15, 1]
    shares, wanted = (
        np.histogram(openings, bounds, weights=weights)[0]
        for openings, weights in ((taken, np.full(len(taken), 1 / len(taken))), (OPENING, weight / weight.sum()))
    )
    np.testing.assert_allclose(shares, wanted, atol=0.03)


def test_the_pictures_of_a_clip_show_the_frames_chosen(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    gap = clip_labels(canonical_clip(clip), rest_of(clip), SPEC).aperture
    targets, references = choose_frames(gap, 2, 4, np.random.default_rng(8))
    sample = sample_of(clip, 2, seed=8)
    assert (sample.targets, sample.references) == (tuple(targets), tuple(references))
    for frame in {*targets, *references}:
        shown = cv2.imdecode(np.frombuffer(sample.pictures[frame], np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        error = np.abs(shown.astype(int) - crop_of(clip, frame))
        assert error.mean() < 1.5 and error.max() < 30  # a JPEG
        others = [np.abs(shown.astype(int) - crop_of(clip, (frame + 20) % 75)).mean()]
        assert min(others) > error.mean()
    assert face_crop(clip, targets[0], SPEC) == sample.pictures[targets[0]]


def crop_of(clip: ClipFeatures, frame: int) -> np.ndarray:
    face = face_from_landmarks(clip.frame(frame), clip.landmarks[frame].astype(np.float64), SPEC)
    return sample(face.photo, face_grid(face.plane, SPEC), (SPEC.face_px, SPEC.face_px))


def test_frames_that_cannot_be_read_are_no_pictures() -> None:
    rng = np.random.default_rng(3)
    gap = np.where(np.arange(120) % 3 == 0, np.nan, OPENING)
    for _ in range(30):
        targets, references = choose_frames(gap, 40, 4, rng)
        assert len(targets) == 40 and np.isfinite(gap[[*targets, *references]]).all()
    assert choose_frames(np.where(np.arange(20) < 10, OPENING[:20], np.nan), 5, 4, rng) == ([], [])


def test_twenty_frames_are_enough_and_nineteen_are_not(features: Path, tmp_path: Path) -> None:
    for n_frames in (19, 20):
        short_clip(features, tmp_path / f"s1/{n_frames}.npz", n_frames)
    assert len(sample_of(load_features(tmp_path / "s1/20.npz", tmp_path), 1).targets) == 1
    with pytest.raises(DataError, match="19 frames; at least 20"):
        sample_of(load_features(tmp_path / "s1/19.npz", tmp_path), 1)


def test_a_clip_too_short_is_reported_and_skipped(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "features"
    shutil.copytree(features / "s1", own / "s1")
    short_clip(features, own / "s1/short.npz", n_frames=12)
    with caplog.at_level(logging.WARNING, "s2v"):
        meta = prepare_data(own, tmp_path / "shards", PrepareSettings(SPEC, pictures_per_clip=1), progress=False)
    assert sum(meta["clips"].values()) == 2
    assert "skipped s1/short: 12 frames; at least 20 are needed" in caplog.text


def test_nothing_to_prepare_is_refused(features: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no feature files below"):
        prepare_data(tmp_path / "nothing", tmp_path / "out", WITHOUT_PICTURES)
    everybody = replace(WITHOUT_PICTURES, validation=("s1", "other"))
    with pytest.raises(DataError, match="no talker is left to train on"):
        prepare_data(features, tmp_path / "out", everybody, progress=False)


def test_two_runs_at_once_are_refused_and_parts_of_files_are_removed(features: Path, tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    for left in (tmp_path / ".new/train-000000.tar", tmp_path / ".s2v-0123456789ab.part"):
        left.write_bytes(b"half")
    with held(tmp_path), pytest.raises(DataError, match="another run is writing shards"):
        prepare_data(features, tmp_path, WITHOUT_PICTURES, progress=False)
    prepare_data(features, tmp_path, WITHOUT_PICTURES, progress=False)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(("scale", "says"), [(1e-4, "px wide"), (1e9, "px wide"), (0.0, "px wide")])
def test_landmarks_that_are_no_face_are_refused(features: Path, scale: float, says: str) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    with pytest.raises(DataError, match=says):
        sample_of(replace(clip, landmarks=clip.landmarks * np.float32(scale)), 2)


def test_a_frame_without_a_byte_is_damaged(features: Path) -> None:
    clip = load_features(features / "s1/pgid5s.npz", features)
    with pytest.raises(DataError, match="frame 1 of s1/pgid5s is damaged"):
        replace(clip, jpeg_ends=np.array([5000, 5000])).frame(1)


def test_a_corpus_without_lists_is_trained_on_beside_one_that_has_them(features: Path, tmp_path: Path) -> None:
    for corpus, listed in (("lrs2", ["train", "", "test"]), ("own", ["", "", ""])):
        for number in range(len(listed)):
            short_clip(features, tmp_path / f"features/{corpus}/{number}/a.npz")
        lines = {f"{number}/a": IndexedClip(f"{corpus}-{number}", name) for number, name in enumerate(listed)}
        write_index(tmp_path / "features" / corpus, tmp_path / corpus, lines)
    meta = prepare_data(tmp_path / "features", tmp_path / "out", WITHOUT_PICTURES, progress=False)
    learned = names(tmp_path / "out", "train") + names(tmp_path / "out", "held")
    assert sorted(learned) == ["lrs2/0/a", "own/0/a", "own/1/a", "own/2/a"] and meta["clips"]["test"] == 1
