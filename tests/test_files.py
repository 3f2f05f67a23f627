from __future__ import annotations

from pathlib import Path

import pytest

from s2v.files import write_whole, written_whole


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
