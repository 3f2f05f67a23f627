"""Which file is which clip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.dataset.clip_index import IndexedClip, write_index
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


@pytest.mark.parametrize("sign", ["\n", "\r", "\u2028", "\x85", "\udcff"])
def test_no_name_breaks_a_line_of_ours(tmp_path: Path, sign: str) -> None:
    files(tmp_path, f"talker{sign}/a.mp4", "c.mp4")
    sources, refused = find_sources(tmp_path)
    assert [source.clip_id for source in sources] == ["c"]
    assert len(refused) == 1 and "rename it" in next(iter(refused.values()))


def test_what_we_wrote_is_no_data(tmp_path: Path) -> None:
    """Features, shards and a training in the data folder: the card of features is a picture, but nobody's photo."""
    files(tmp_path, "A/1.mp4", "features/card.png", "shards/sheet.jpg", "run/last.pt", "run/sheet.png", "card.png")
    write_index(tmp_path / "features", tmp_path, {"A/1": IndexedClip("A")})
    (tmp_path / "shards/meta.json").write_text('{"spec": {}, "fingerprint": "a"}')
    files(tmp_path, "people/card.png", "people/meta.json")  # somebody else's
    assert ids(tmp_path) == ["A/1", "card", "people/card"]
    write_index(tmp_path, tmp_path, {"A/1": IndexedClip("A")})  # features beside the videos
    assert ids(tmp_path) == ["A/1", "people/card"]
    files(tmp_path, "features/2.mp4")  # and below the folder too
    assert ids(tmp_path) == ["A/1", "features/2", "people/card"]


def test_hidden_folders_are_passed_over_as_hidden_files_are(tmp_path: Path) -> None:
    files(tmp_path, ".trash/a.mp4", "A/.thumbnails/b.jpg", "A/1.mp4")
    assert ids(tmp_path) == ["A/1"]


def test_a_folder_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    files(tmp_path, "A/1.mp4", "locked/deep/2.mp4")
    (tmp_path / "locked").chmod(0)
    if os.access(tmp_path / "locked", os.R_OK):
        pytest.skip("nothing is locked for this user")
    sources, refused = find_sources(tmp_path)
    (tmp_path / "locked").chmod(0o700)
    assert [source.clip_id for source in sources] == ["A/1"]
    assert refused.keys() == {str(tmp_path / "locked")}
    assert "cannot be read (Permission denied)" in refused[str(tmp_path / "locked")]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a.txt")
    with pytest.raises(DataError, match="no videos or photos below"):
        find_sources(tmp_path)
