"""Which file is which clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.dataset.sources import clip_id_of, feature_path, find_sources


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def ids(data: Path) -> list[str]:
    return [source.clip_id for source in find_sources(data)[0]]


def test_a_clip_is_named_by_its_whole_path(tmp_path: Path) -> None:
    files(
        tmp_path, "main/A/00001.mp4", "main/B/00001.mp4", "pretrain/A/00001.MP4", "c.take2.mov", "notes.txt", "A/x.jpg"
    )
    assert ids(tmp_path) == ["A/x", "c.take2", "main/A/00001", "main/B/00001", "pretrain/A/00001"]
    places = {feature_path(clip_id, Path("out")) for clip_id in ids(tmp_path)}
    assert len(places) == 5 and Path("out/c.take2.npz") in places
    for source in find_sources(tmp_path)[0]:
        assert clip_id_of(feature_path(source.clip_id, Path("out")), Path("out")) == source.clip_id


def test_two_videos_of_one_id_are_both_refused_and_named(tmp_path: Path) -> None:
    files(tmp_path, "A/00001.mp4", "A/00001.mpg", "A/00001.jpg", "A/00002.mp4")
    sources, refused = find_sources(tmp_path)
    assert [source.clip_id for source in sources] == ["A/00002"]
    assert {Path(path).name for path in refused} == {"00001.mp4", "00001.mpg", "00001.jpg"}
    assert "00001.mpg beside it" in refused[str(tmp_path / "A/00001.mp4")]
    assert "00001.mp4 beside it" in refused[str(tmp_path / "A/00001.mpg")]


def test_a_picture_beside_a_video_is_its_thumbnail(tmp_path: Path) -> None:
    files(tmp_path, "A/1.mp4", "A/1.jpg", "A/2.jpg")
    sources, refused = find_sources(tmp_path)
    assert [(source.clip_id, source.is_photo) for source in sources] == [("A/1", False), ("A/2", True)]
    assert refused.keys() == {str(tmp_path / "A/1.jpg")}


def test_folders_that_are_links_are_read_once_and_hidden_files_not_at_all(tmp_path: Path) -> None:
    files(tmp_path / "disk", "A/1.mp4", "A/._1.mp4")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/main").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/A/round").symlink_to(tmp_path / "disk")
    assert ids(tmp_path / "data") == ["main/A/1"]


def test_a_name_that_fits_in_no_list_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a\tb.mp4", "c.mp4")
    sources, refused = find_sources(tmp_path)
    assert [source.clip_id for source in sources] == ["c"]
    assert "rename it" in refused[str(tmp_path / "a\tb.mp4")]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a.txt")
    with pytest.raises(DataError, match="no videos or photos below"):
        find_sources(tmp_path)
