"""LRS2 as it is laid out on disk.

    mvlrs_v1/main/<video>/<number>.mp4 and .txt       mvlrs_v1/pretrain/<video>/<number>.mp4 and .txt
    train.txt  val.txt  test.txt  pretrain.txt        (in mvlrs_v1 or beside it)

A list has a clip a line, `<video>/<number>`, and in test.txt a mark after it. A transcript begins with `Text:`.
LRS3 has `trainval` and `test` in the place of `main`, and no lists. <video> is a recording, in which several people may
talk, and one talker is in many of them.
Source: Afouras, Chung, Senior, Vinyals, Zisserman, "Deep audio-visual speech recognition", PAMI (2018), section 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LISTS = ("pretrain", "train", "val", "test")  # the names of the files, and of what is in them
_PARTITIONS = ("main", "pretrain", "trainval", "train", "val", "test")  # folders that are no talkers
_OF_LRS = ("main", "pretrain", "trainval")  # such that only LRS has
_TEXT = re.compile(r"^Text:[ \t]*(.*)$", re.MULTILINE)
_MARK = re.compile(r"\{[^}]*\}")  # {NS} is a noise
_MOST_BYTES = 1 << 20  # of a transcript


def partition_of(clip_id: str) -> str:
    """`main` of `main/A/00001`; "" of an id that has no partition before folder and name."""
    first, *rest = clip_id.split("/")
    return first if first in _PARTITIONS and len(rest) > 1 else ""


def without_partition(clip_id: str) -> str:
    """`A/00001` of `main/A/00001`, as lists say it; other ids as they are."""
    partition = partition_of(clip_id)
    return clip_id.removeprefix(f"{partition}/") if partition else clip_id


def is_lrs(data: Path, clip_ids: Sequence[str]) -> bool:
    """Whether a data folder is LRS, or one partition of it: its folders are recordings and not talkers."""
    if any(partition_of(clip_id) in _OF_LRS for clip_id in clip_ids):
        return True
    return data.resolve().name in _OF_LRS and all(re.fullmatch(r"[^/]+/\d{5}(_\d+)?", one) for one in clip_ids)


def listed_splits(data: Path, clip_ids: Sequence[str]) -> dict[str, str]:
    """Which of LISTS each clip is in, by the list files in `data` or beside it; clips that are in none are left out.

    A clip that several lists name is in the last of them: what test.txt or val.txt names is never trained on.
    Where no list names a clip, a folder `train`, `val` or `test` above it does.
    """
    own = data.resolve()
    lists = {name: _list_of((own, own.parent), name) for name in LISTS}
    found: dict[str, str] = {}
    for clip_id in clip_ids:
        # An id without a partition is of the folder that was given, should that be one.
        partition, bare = partition_of(clip_id) or own.name, without_partition(clip_id)
        for name, listed in lists.items():
            of_that_part = (partition == "pretrain") == (name == "pretrain")
            if (bare != clip_id and clip_id in listed) or (of_that_part and bare in listed):
                found[clip_id] = name
        if clip_id not in found and partition_of(clip_id) in LISTS:
            found[clip_id] = partition_of(clip_id)
    return found


def transcript_of(clip: Path) -> str:
    """What is said in a clip, from the text file beside it; "" where there is none.

    A file of LRS says it after `Text:`; any other is the text itself.
    """
    try:
        with clip.with_suffix(".txt").open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
    marked = _TEXT.search(text)
    return " ".join(_MARK.sub(" ", marked[1] if marked else text).split())


def _list_of(folders: Sequence[Path], name: str) -> frozenset[str]:
    """The clips that a list names, without suffix, from the first folder that has it."""
    for folder in folders:
        path = folder / f"{name}.txt"
        if path.is_file():
            with path.open(encoding="utf-8-sig", errors="replace") as lines:
                words = (line.split(maxsplit=1)[0] for line in lines if line.strip())
                return frozenset(re.sub(r"\.(mp4|txt)$", "", word.removeprefix("./")) for word in words)
    return frozenset()
