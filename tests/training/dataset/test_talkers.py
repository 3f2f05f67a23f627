"""Who talks in a clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.dataset.talkers import read_talkers, talkers_by_folder, talkers_by_list


def test_a_talker_is_the_first_folder_and_of_lrs_the_recording() -> None:
    talkers = talkers_by_folder(["s1/a", "s1/day2/a", "a", "main/A/1", "main/B/1", "pretrain/A/1"], "me")
    assert list(talkers.values()) == ["s1", "s1", "me", "A", "B", "A"]


def test_a_list_names_clips_and_folders_and_the_nearest_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "who.txt"
    path.write_text(
        "# who\nA/00001.mp4\tann\nA   bob\n\nmain/B/  Dr_C\nmy clips\tDr D\nC/x.jpg\teve\n", encoding="utf-8"
    )
    ids = ["main/A/00001", "main/A/00002", "main/B/00001", "my clips/x", "C/x"]
    assert list(talkers_by_list(ids, read_talkers(path)).values()) == ["ann", "bob", "Dr_C", "Dr D", "eve"]


def test_a_clip_that_the_list_leaves_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "who.txt"
    path.write_text("A ann\n")
    with pytest.raises(DataError, match=r"no line about 1 of 2 clips \(B/1\)"):
        talkers_by_list(["A/1", "B/1"], read_talkers(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [("A\n", "line 1: 'A'"), ("A ann\nA bob\n", "line 2: A is ann and bob"), ("# nobody\n", "names no talker")],
)
def test_a_list_that_says_nothing_or_two_things_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "who.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        read_talkers(path)
    with pytest.raises(DataError, match="cannot read the list of talkers"):
        read_talkers(tmp_path / "no.txt")
