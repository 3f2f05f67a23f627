from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from s2v.files import PartFile, held, remove_leftovers, write_whole, written_whole

DIES_WRITING = """
import os, pathlib, signal, sys
from s2v.files import written_whole
with written_whole(pathlib.Path(sys.argv[1])) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.npz"
    with written_whole(target) as beside:
        beside.write_text("half")
        assert not target.exists()
        beside.write_text("whole")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interruption_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.npz"
    target.write_text("before")
    with pytest.raises(KeyboardInterrupt), written_whole(target) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_utf_8_and_bytes_are_as_they_are(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_whole(target, "\u0259\n")
    assert target.read_bytes() == b"\xc9\x99\n"
    write_whole(target, b"\r\n\xff")
    assert target.read_bytes() == b"\r\n\xff"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path: Path) -> None:
    target = tmp_path / "a.npz"
    target.write_text("before")
    assert subprocess.run([sys.executable, "-c", DIES_WRITING, str(target)], check=False).returncode == -9
    (left,) = set(tmp_path.iterdir()) - {target}
    assert (left.read_text(), target.read_text()) == ("half", "before")
    write_whole(target, "after")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "after"


def test_what_somebody_is_writing_is_left_alone_and_so_is_what_only_looks_like_a_part(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".s2v-0123456789ab.part.bak", ".film.mp4.12.part", "s2v-0123456789ab.part")]
    for other in others:
        other.write_text("somebody's")
    with written_whole(tmp_path / "a.npz") as beside:
        beside.write_bytes(b"half")  # opened again, as most writers do: the lock stays
        assert remove_leftovers(tmp_path) == 0
        assert beside.read_bytes() == b"half"
    beside.write_text("nobody's")
    assert remove_leftovers(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.npz", *others])


def test_a_file_that_cannot_be_made_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        PartFile(tmp_path / "none" / "a.npz")
    assert refused.value.filename == str(tmp_path / "none" / "a.npz")


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path) as alone, held(tmp_path) as second:
        assert (alone, second) == (True, False)
    with held(tmp_path) as again:
        assert again
