"""The clips of a data folder: which file is which clip, and what is said in it.

A clip's id is its path below the data folder without its suffix ("main/6330311066473698535/00011"): its only name in
feature files, shards, reports and lists. One id is one file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2v.engine.face.photo import PHOTO_SUFFIXES
from s2v.errors import DataError

VIDEO_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".mov", ".mkv", ".webm", ".avi"}


@dataclass(frozen=True)
class Source:
    """One video or photo of a data folder."""

    clip_id: str
    path: Path

    @property
    def is_photo(self) -> bool:
        return self.path.suffix.lower() in PHOTO_SUFFIXES


def clip_id_of(path: Path, data: Path) -> str:
    """The id of a file below `data`, whichever suffix it has."""
    return path.relative_to(data).with_suffix("").as_posix()


def feature_path(clip_id: str, features: Path) -> Path:
    """Where the features of a clip are kept."""
    return features / f"{clip_id}.npz"


def find_sources(data: Path, only: Sequence[Path] | None = None) -> tuple[list[Source], dict[str, str]]:
    """The videos and photos below `data`, or `only` these of them, by id; and why files were left out.

    A photo beside a video of the same id is mostly its thumbnail, and left out. Of two videos, or two photos, nobody
    knows which is meant: both are left out.
    Returns: sources sorted by id; {path: reason}. Raises: DataError, there is nothing at all.
    """
    suffixes = {*VIDEO_SUFFIXES, *PHOTO_SUFFIXES}
    below = _files_below(data) if only is None else only
    by_id: dict[str, list[Source]] = {}
    for path in below:
        if path.suffix.lower() in suffixes:
            source = Source(clip_id_of(path, data), path)
            by_id.setdefault(source.clip_id, []).append(source)
    if not by_id:
        raise DataError(f"no videos or photos below {data}: -d takes a folder of talking videos (mp4, mpg, mov, ...)")
    kept: list[Source] = []
    refused: dict[str, str] = {}
    for clip_id in sorted(by_id):
        if any(ord(sign) < 32 or 0xD800 <= ord(sign) < 0xE000 for sign in clip_id):
            names = (
                (str(source.path), "has a tab, line break or byte that is no UTF-8 in its name: rename it")
                for source in by_id[clip_id]
            )
            refused.update(names)
            continue
        same = sorted(by_id[clip_id], key=lambda source: source.path)
        first_of = [source for source in same if not source.is_photo] or same
        if len(first_of) == 1:
            kept += first_of
        for source in same:
            others = [other.path.name for other in first_of if other is not source]
            if others:
                refused[str(source.path)] = (
                    f"{' and '.join(others)} beside it has the same name but for the ending, and a clip is one file: "
                    "rename one of them or move it away"
                )
    return kept, refused


def _files_below(folder: Path) -> Iterator[Path]:
    """Also in folders that are links, each folder once; hidden files, as some systems lay beside others, left out."""
    visited: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        status = Path(here).stat()
        if (mark := (status.st_dev, status.st_ino)) in visited:
            folders.clear()
            continue
        visited.add(mark)
        folders.sort()
        yield from (Path(here) / name for name in sorted(names) if not name.startswith("."))
