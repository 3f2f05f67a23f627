"""The index of a folder of features."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.dataset.clip_index import INDEX_NAME, IndexedClip, indexed_clip, read_index, write_index
from s2v.training.dataset.talkers import talker_by_folder


def test_lines_are_added_and_replaced_and_read_back(tmp_path: Path) -> None:
    assert read_index(tmp_path) == {}
    write_index(tmp_path, tmp_path / "data", {"A/1": IndexedClip("A", "train"), "é x/2": IndexedClip("Dr D")})
    write_index(tmp_path, tmp_path / "data", {"A/1": IndexedClip("ann", "val"), "B/1": IndexedClip("bob")})
    assert read_index(tmp_path) == {
        "A/1": IndexedClip("ann", "val"),
        "B/1": IndexedClip("bob"),
        "é x/2": IndexedClip("Dr D"),
    }


def test_features_of_another_data_folder_are_not_mixed_in(tmp_path: Path) -> None:
    write_index(tmp_path, tmp_path / "main", {"A/1": IndexedClip("A")})
    with pytest.raises(DataError, match=r"holds features of .*main, and these are of .*pretrain: give another folder"):
        write_index(tmp_path, tmp_path / "pretrain", {"A/1": IndexedClip("A")})
    assert read_index(tmp_path) == {"A/1": IndexedClip("A")}


@pytest.mark.parametrize("name", ["two\nlines", "a\ttab", "no utf-8 \udcff"])
def test_an_odd_name_of_the_data_folder_does_no_harm(tmp_path: Path, name: str) -> None:
    data, other = tmp_path / name, tmp_path / f"{name} 2"
    clips = {"1": IndexedClip(talker_by_folder("1", name))}
    for _ in range(2):  # the second time it is read before it is written
        write_index(tmp_path, data, clips)
    assert read_index(tmp_path) == clips
    with pytest.raises(DataError, match="holds features of"):
        write_index(tmp_path, other, clips)


def test_clips_at_the_root_of_a_disk_have_a_talker() -> None:
    assert talker_by_folder("1", Path("/").name) == "talker"


@pytest.mark.parametrize(
    "text", ["", "rubbish\n", "clip\ttalker\tlist\nA/1\tann\n", "clip\ttalker\tlist\nA/1\t\tval\n"]
)
def test_a_damaged_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX_NAME).write_text(text)
    with pytest.raises(DataError, match=r"clips\.tsv"):
        read_index(tmp_path)


def test_what_somebody_edits_counts(tmp_path: Path) -> None:
    write_index(tmp_path, tmp_path, {"A/1": IndexedClip("A")})
    path = tmp_path / INDEX_NAME
    path.write_text(path.read_text().replace("A/1\tA", "A/1\tanother"))
    assert read_index(tmp_path)["A/1"].talker == "another"


def test_features_of_several_data_folders_below_one_are_known_by_the_nearest_index(tmp_path: Path) -> None:
    write_index(tmp_path / "a", tmp_path, {"x/1": IndexedClip("ann"), "2": IndexedClip("bob", "val")})
    write_index(tmp_path, tmp_path, {"a/x/1": IndexedClip("nobody"), "c": IndexedClip("cid")})
    found = {clip: indexed_clip(clip, tmp_path) for clip in ("a/x/1", "a/2", "c", "a/3")}
    assert found == {
        **{"a/x/1": IndexedClip("ann"), "a/2": IndexedClip("bob", "val")},
        **{"c": IndexedClip("cid"), "a/3": None},
    }
