"""Photos of people who say nothing, as clips of silence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("webdataset")

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures, load_features
from s2v.training.prepare.make_shard import PrepareSettings
from s2v.training.prepare.photos import photo_jobs, photo_sample
from s2v.training.prepare.prepare_data import prepare_data
from s2v.training.stored_clips import stored_clips

SETTINGS = PrepareSettings(LipSyncSpec(), validation=("other",), pictures_per_clip=3)


@pytest.fixture(scope="module")
def photos(features: Path) -> tuple[ClipFeatures, ClipFeatures]:
    """Of a smile that shows teeth, and of closed lips."""
    smiling, neutral = (
        load_features(features / f"people/{name}.npz", features) for name in ("01_smiling", "02_neutral")
    )
    return smiling, neutral


def test_closed_lips_are_to_be_drawn_in_silence_beside_another_photo(photos: tuple[ClipFeatures, ClipFeatures]) -> None:
    sample = photo_sample("ann", list(photos), SETTINGS)
    assert sample.talker == "ann" and sample.split == "photo" and len(sample.targets) == 3
    looks = {frame: sample.pictures[frame] for frame in sample.references}
    drawn = {looks[frame] for frame in sample.targets}
    assert len(drawn) == 1 and len(set(looks.values())) == 2
    for target in sample.targets:
        assert {looks[frame] for frame in sample.references_of(target)} == set(looks.values()) - drawn, "the smile"
    assert np.isnan(sample.motion).all() and np.isnan(sample.tract).all()
    assert abs(sample.pcm.astype(int)).max() < 32767 * 0.9 and len(sample.pcm) == 640 * len(sample.motion)


def test_one_photo_is_its_own_reference(photos: tuple[ClipFeatures, ClipFeatures]) -> None:
    sample = photo_sample("ann", [photos[1]], SETTINGS)
    assert len(sample.targets) == 3 and all(sample.references_of(target) for target in sample.targets)


def test_open_lips_alone_show_no_silence(photos: tuple[ClipFeatures, ClipFeatures]) -> None:
    with pytest.raises(DataError, match="its lips are open"):
        photo_sample("ann", [photos[0]], SETTINGS)


def test_a_folder_of_portraits_is_many_people_and_a_few_photos_are_one(tmp_path: Path) -> None:
    crowd = {f"crowd/{number}": "crowd" for number in range(9)}
    pair = {"b/1": "bob", "b/2": "bob"}
    jobs = photo_jobs(crowd | pair, tmp_path, tmp_path, replace(SETTINGS, clips_per_shard=4))
    assert [len(job) for job in jobs] == [4, 4, 2]
    people = {name: own for job in jobs for name, own in job.people.items()}
    assert people["bob"] == ("b/1", "b/2") and all(people[photo] == (photo,) for photo in crowd)


def test_photos_reach_networks_that_draw_pixels_unless_the_person_is_kept_back(features: Path, tmp_path: Path) -> None:
    meta = prepare_data(features, tmp_path / "a", SETTINGS, progress=False)
    assert meta["clips"] == {"train": 1, "held": 1, "val": 1, "photo": 1}
    (photo,) = stored_clips(tmp_path / "a", "photo").with_pictures()
    assert photo.talker == "people"
    kept_back = shutil.copytree(features, tmp_path / "features")
    index = kept_back / "clips.tsv"
    lines = index.read_text().replace("people/02_neutral\tpeople", "people/02_neutral\tother")
    index.write_text(lines)
    meta = prepare_data(kept_back, tmp_path / "b", SETTINGS, progress=False)
    assert "photo" not in meta["clips"], "the smile alone shows no silence"
    meta = prepare_data(features, tmp_path / "c", replace(SETTINGS, pictures_per_clip=0), progress=False)
    assert "photo" not in meta["clips"]


def test_who_is_kept_back_by_name_or_list_is_on_no_photo_either(features: Path, tmp_path: Path) -> None:
    by_name = replace(SETTINGS, validation=("other", "people"))  # of whom there are photos alone
    assert "photo" not in prepare_data(features, tmp_path / "a", by_name, progress=False)["clips"]
    listed = shutil.copytree(features, tmp_path / "features")
    index = listed / "clips.tsv"
    index.write_text(index.read_text().replace("people/02_neutral\tpeople\t", "people/02_neutral\tpeople\tval"))
    assert "photo" not in prepare_data(listed, tmp_path / "b", SETTINGS, progress=False)["clips"]


def test_a_damaged_photo_costs_no_other(features: Path, tmp_path: Path) -> None:
    own = shutil.copytree(features, tmp_path / "features")
    (own / "people/01_smiling.npz").write_bytes(b"PK")
    meta = prepare_data(own, tmp_path / "out", SETTINGS, progress=False)
    assert meta["clips"]["photo"] == 1 and meta["skipped"] == 1
