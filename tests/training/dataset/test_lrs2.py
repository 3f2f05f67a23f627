"""LRS2 as it is laid out: partitions, lists, transcripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v.training.dataset.lrs2 import is_lrs, listed_splits, transcript_of, without_partition

IDS = ["main/A/00001", "main/A/00002", "main/B/00001", "main/C/00001", "main/D/00009", "pretrain/A/00001"]
LISTS = {
    "train.txt": "A/00001\nA/00002\n",
    "val.txt": "B/00001\n",
    "test.txt": "C/00001 NF\n",
    "pretrain.txt": "A/00001\n",
}
LISTED = {
    "main/A/00001": "train",
    "main/A/00002": "train",
    "main/B/00001": "val",
    "main/C/00001": "test",
    "pretrain/A/00001": "pretrain",
}


def write_lists(folder: Path) -> None:
    for name, text in LISTS.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("beside", [False, True])
def test_lists_in_the_root_or_beside_it_name_the_clips_of_their_partition(tmp_path: Path, beside: bool) -> None:
    data = tmp_path / "mvlrs_v1"
    data.mkdir()
    write_lists(tmp_path if beside else data)
    assert listed_splits(data, IDS) == LISTED


@pytest.mark.parametrize("partition", ["main", "pretrain"])
def test_one_partition_alone_is_read_by_the_same_lists(tmp_path: Path, partition: str) -> None:
    data = tmp_path / partition
    data.mkdir()
    write_lists(tmp_path)
    ids = [one.removeprefix(f"{partition}/") for one in IDS if one.startswith(partition)]
    wanted = {one.removeprefix(f"{partition}/"): name for one, name in LISTED.items() if one.startswith(partition)}
    assert listed_splits(data, ids) == wanted


def test_what_test_or_val_name_too_is_theirs(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("A/1\nA/2\n")
    (tmp_path / "val.txt").write_text("A/2.mp4\n")
    assert listed_splits(tmp_path, ["A/1", "A/2"]) == {"A/1": "train", "A/2": "val"}


def test_without_lists_a_folder_of_that_name_says_it(tmp_path: Path) -> None:
    assert listed_splits(tmp_path, ["trainval/A/1", "test/A/1", "x/A/1"]) == {"test/A/1": "test"}
    assert listed_splits(tmp_path, ["train/1"]) == {}  # somebody who is called train


def test_a_partition_is_told_from_a_talker(tmp_path: Path) -> None:
    assert [without_partition(one) for one in ("main/A/1", "main/1", "ann/main/1")] == ["A/1", "main/1", "ann/main/1"]
    assert is_lrs(tmp_path, IDS)
    assert is_lrs(tmp_path / "main", ["A/00001", "B/00002"])
    assert not is_lrs(tmp_path, ["A/00001", "B/00002"])
    assert not is_lrs(tmp_path / "main", ["ann/hello"])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Text:  WHEN YOU'RE COOKING\nConf:  4\n", "WHEN YOU'RE COOKING"),
        ("Text: HE SAID {NS} NO\nConf: 3\n\nWORD START END ASDSCORE\nHE 0.1 0.2 8.1\n", "HE SAID NO"),
        ("Text:\nConf: 2\n", ""),
        ("\ufeffbin blue\n at f two now\n", "bin blue at f two now"),
        ("", ""),
    ],
)
def test_a_transcript_is_what_is_said_and_nothing_else(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "1.txt").write_text(written)
    assert transcript_of(tmp_path / "1.mp4") == said


def test_without_a_text_file_nothing_is_said(tmp_path: Path) -> None:
    assert transcript_of(tmp_path / "1.mp4") == ""
    (tmp_path / "2.txt").write_bytes(b"Text: caf\xe9\n")
    assert transcript_of(tmp_path / "2.mp4") == "caf\ufffd"
