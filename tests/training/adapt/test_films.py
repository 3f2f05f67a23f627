"""Which films a person is learned from, and which are refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.adapt.films import extract_films
from s2v.training.evaluation.clips import features_folder


def test_a_path_that_is_no_film_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "me.txt").write_text("no film")
    (tmp_path / "empty").mkdir()
    for path, said in {
        "none.mp4": r"there is no film .*none\.mp4",
        "me.txt": r"me\.txt is no film: --face-video takes \.avi",
        "empty": r"there is no film in .*empty",
    }.items():
        with pytest.raises(DataError, match=said):
            extract_films([tmp_path / path], tmp_path / "out", 1, progress=False)
    assert not (tmp_path / "out").exists()


def test_the_one_reason_why_a_film_is_refused_is_what_is_told(tmp_path: Path) -> None:
    (tmp_path / "me.mp4").write_bytes(b"not a film")
    for _ in range(2):  # found, and then known from the report
        with pytest.raises(DataError, match=r"me\.mp4 cannot be learned from: .*"):
            extract_films([tmp_path / "me.mp4"], tmp_path / "out", 1, progress=False)
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_what_was_extracted_is_not_extracted_again(features: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.mp4").write_bytes(b"not looked at")
    out = features_folder(films, tmp_path / "out")
    out.mkdir(parents=True)
    shutil.copy(features / "s1/pgid5s.npz", out / "a.npz")
    for given in (films, films / "a.mp4"):
        found = extract_films([given], tmp_path / "out", 1, progress=False)
        assert [film.clip_id for film in found.films] == ["a"] and not found.skipped
    both = extract_films([films, films / "a.mp4"], tmp_path / "out", 1, progress=False)
    assert len(both.films) == 1


def test_films_of_two_people_are_refused_by_name(features: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    out = features_folder(films, tmp_path / "out")
    out.mkdir(parents=True)
    for name, source in {"a": "s1/pgid5s", "b": "other/sbwe5n"}.items():
        (films / f"{name}.mp4").write_bytes(name.encode())
        shutil.copy(features / f"{source}.npz", out / f"{name}.npz")
    with pytest.raises(DataError, match=r"more than one person \(.*b\.mp4 is somebody else\)"):
        extract_films([films], tmp_path / "out", 1, progress=False)


def test_a_film_named_twice_is_one_and_one_filmed_again_is_looked_at_again(features: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "day").mkdir(parents=True)
    (films / "day/a.mp4").write_bytes(b"not looked at")
    out = features_folder(films, tmp_path / "out")
    (out / "day").mkdir(parents=True)
    shutil.copy(features / "s1/pgid5s.npz", out / "day/a.npz")
    assert len(extract_films([films, films / "day", films / "day/../day"], tmp_path / "out", 1, False).films) == 1
    later_s = (out / "day/a.npz").stat().st_mtime + 5
    os.utime(films / "day/a.mp4", (later_s, later_s))
    with pytest.raises(DataError, match=r"a\.mp4 cannot be learned from"):
        extract_films([films], tmp_path / "out", 1, progress=False)
