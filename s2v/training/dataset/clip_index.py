"""`clips.tsv` in a folder of features: the talker and the list of each clip, kept in one place that people can edit.

The first line names the data folder, the second one the columns. It is written before the first clip is extracted, so
that a clip of test.txt is known for one whatever ends the run. One folder of features is of one folder of data: in
another one, the same id is another clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from s2v.errors import DataError
from s2v.files import write_whole

INDEX_NAME = "clips.tsv"
_DATA, _HEAD = "# features of ", ("clip", "talker", "list")
_BREAKS = "\x7f\x85\u2028\u2029"  # that some readers take for the end of a line, and DEL


@dataclass(frozen=True)
class IndexedClip:
    """What is known of a clip besides its features."""

    talker: str
    listed: str = ""  # see `lrs2.LISTS`


def plain_name(name: str) -> str:
    """A name as it can stand in a line: tabs, line breaks and what is no UTF-8 become `_`."""
    return "".join("_" if ord(sign) < 32 or sign in _BREAKS or 0xD800 <= ord(sign) < 0xE000 else sign for sign in name)


def is_features_folder(folder: Path) -> bool:
    """Whether an index of ours lies in a folder."""
    try:
        with (folder / INDEX_NAME).open("rb") as file:
            head = file.read(len(_DATA.encode()))
    except OSError:
        return False
    return head == _DATA.encode() or ("\t".join(_HEAD).encode().startswith(head) and head != b"")


def read_index(features: Path) -> dict[str, IndexedClip]:
    """{clip id: its line}, empty where there is no index. Raises: DataError, damaged."""
    path = features / INDEX_NAME
    try:
        status = path.stat()
    except OSError:
        return {}
    return _read(path, status.st_mtime_ns, status.st_size)[1]


def indexed_clip(clip_id: str, features: Path) -> IndexedClip | None:
    """A clip's line in the nearest index: features of several data folders may lie below one. Raises: DataError."""
    return found[1] if (found := nearest_index(clip_id, features)) else None


def nearest_index(clip_id: str, features: Path) -> tuple[str, IndexedClip] | None:
    """The folder below `features` whose index is the nearest that has a clip, and its line. Raises: DataError."""
    *folders, name = clip_id.split("/")
    for depth in range(len(folders), -1, -1):
        below = read_index(features.joinpath(*folders[:depth]))
        if found := below.get("/".join([*folders[depth:], name])):
            return "/".join(folders[:depth]), found
    return None


def write_index(features: Path, data: Path, clips: Mapping[str, IndexedClip]) -> None:
    """Add these lines, or replace those of the same clips; the file appears whole.

    Raises: DataError, the features there are of another data folder.
    """
    path, own = features / INDEX_NAME, _in_a_line(data.resolve())
    every = dict(clips)
    if path.exists():
        status = path.stat()
        before, known = _read(path, status.st_mtime_ns, status.st_size)
        if before not in ("", own):
            raise DataError(
                f"{features} holds features of {before}, and these are of {own}: give another folder with -o, or, if "
                f"that one was only moved, take the first line out of {path}"
            )
        every = {**known, **clips}
    lines = [f"{_DATA}{own}", "\t".join(_HEAD)]
    lines += ["\t".join((clip_id, every[clip_id].talker, every[clip_id].listed)) for clip_id in sorted(every)]
    features.mkdir(parents=True, exist_ok=True)
    write_whole(features / INDEX_NAME, "\n".join(lines) + "\n")


def _in_a_line(path: Path) -> str:
    """Of odd names an unambiguous spelling."""
    text = str(path)
    return text if plain_name(text) == text else ascii(text)


@lru_cache(maxsize=64)  # asked for with every clip
def _read(path: Path, _changed_ns: int, _size: int) -> tuple[str, dict[str, IndexedClip]]:
    """The data folder, "" unknown, and the lines."""
    data = ""
    try:
        head, *lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if head.startswith(_DATA):
        data, head, lines = head.removeprefix(_DATA), lines[0] if lines else "", lines[1:]
    if tuple(head.split("\t")) != _HEAD:
        raise DataError(f"{path} does not begin with {' '.join(_HEAD)}, tabs between: run s2v extract-features again")
    clips: dict[str, IndexedClip] = {}
    for number, line in enumerate(lines, 3 if data else 2):
        parts = line.split("\t")
        if line and (len(parts) != len(_HEAD) or not parts[0] or not parts[1]):
            raise DataError(
                f"{path}, line {number}: {line[:80]!r}; a line is a clip, a talker and a list, tabs between"
            )
        if line:
            clips[parts[0]] = IndexedClip(parts[1], parts[2])
    return data, clips
