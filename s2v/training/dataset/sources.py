"""The clips of a data folder: which file is which clip, and what is said in it.

A clip's id is its path below the data folder without its suffix ("main/6330311066473698535/00011"): its only name in
feature files, shards, reports and lists. One id is one file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s2v.engine.face.photo import PHOTO_SUFFIXES
from s2v.errors import DataError
from s2v.training.dataset.clip_index import is_features_folder, plain_name

_WRITTEN_TO_FEATURES = ("card.png",)  # pictures, where somebody has features and videos in one folder
_OF_TRAININGS = ("last.pt", "best.pt")
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
    knows which is meant: both are left out. Hidden files and folders are passed over, and so are folders that we wrote:
    features, whose card is a picture, shards, trainings.
    Returns: sources sorted by id; {path: reason}. Raises: DataError, there is nothing at all.
    """
    suffixes = {*VIDEO_SUFFIXES, *PHOTO_SUFFIXES}
    refused: dict[str, str] = {}
    below = _files_below(data, refused) if only is None else only
    by_id: dict[str, list[Source]] = {}
    for path in below:
        if path.suffix.lower() in suffixes:
            source = Source(clip_id_of(path, data), path)
            by_id.setdefault(source.clip_id, []).append(source)
    if not by_id:
        unread = "".join(f"; {path} {reason}" for path, reason in list(refused.items())[:1])
        raise DataError(
            f"no videos or photos below {data}: -d takes a folder of talking videos (mp4, mpg, mov, ...){unread}"
        )
    kept: list[Source] = []
    for clip_id in sorted(by_id):
        if plain_name(clip_id) != clip_id:
            reason = "has a tab, line break or byte that is no UTF-8 in its name: rename it"
            refused |= {str(source.path): reason for source in by_id[clip_id]}
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


def _files_below(folder: Path, unread: dict[str, str]) -> Iterator[Path]:
    """Also in folders that are links, each folder once. Folders that cannot be read are put down in `unread`."""
    visited: set[tuple[int, int]] = set()

    def put_down(error: OSError) -> None:
        unread[str(error.filename)] = f"cannot be read ({error.strerror}): give yourself access, or move it away"

    for here, folders, names in os.walk(folder, onerror=put_down, followlinks=True):
        try:
            status = Path(here).stat()
        except OSError as error:
            put_down(error)
            folders.clear()
            continue
        if (mark := (status.st_dev, status.st_ino)) in visited or (Path(here) != folder and _is_ours(Path(here))):
            folders.clear()
            continue
        visited.add(mark)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        ours = _WRITTEN_TO_FEATURES if is_features_folder(Path(here)) else ()
        yield from (Path(here) / name for name in sorted(names) if not name.startswith(".") and name not in ours)


def _is_ours(folder: Path) -> bool:
    """Whether shards or a training are in a folder. Features may lie beside the videos that they are of."""
    if any((folder / name).exists() for name in _OF_TRAININGS):
        return True
    with suppress(OSError, ValueError, RecursionError):
        stored = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return isinstance(stored, dict) and "fingerprint" in stored and "spec" in stored
    return False
