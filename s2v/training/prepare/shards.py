"""Training shards on disk: how one is written, and how a folder of them is replaced at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.files import held, remove_leftovers, written_whole
from s2v.spec import TRACT_VARIABLES

CLIPS_PER_SHARD = 64
SPLITS = ("train", "held", "val", "voice")


@dataclass
class Shard:
    """Clips being gathered; lists become arrays when it is written."""

    pcm: list[NDArray[np.int16]] = field(default_factory=list)
    motion: list[NDArray[np.float32]] = field(default_factory=list)
    aperture: list[NDArray[np.float32]] = field(default_factory=list)
    tract: list[NDArray[np.float32]] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        arrays: dict[str, Any] = {
            "clips": np.array(self.clips),
            "pcm": np.concatenate([*self.pcm, np.zeros(0, np.int16)]),
            "pcm_ends": np.cumsum([len(p) for p in self.pcm], dtype=np.int64),
            "motion": np.concatenate(list(self.motion) or [np.zeros((0, 0), np.float32)]),
            "aperture": np.concatenate([*self.aperture, np.zeros(0, np.float32)]),
            "tract": np.concatenate([*self.tract, np.zeros((0, len(TRACT_VARIABLES)), np.float32)]),
            "motion_ends": np.cumsum([len(m) for m in self.motion], dtype=np.int64),
        }
        for key in self.pictures[0] if self.pictures else ():
            arrays[f"picture_{key}"] = np.stack([picture[key] for picture in self.pictures])
        with written_whole(path) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)


class ShardSet:
    """The shards of one run, numbered by split, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, Shard] = {}
        self._written: dict[str, int] = {}

    def open(self, split: str) -> Shard:
        """The shard of a split that is being gathered."""
        return self._open.setdefault(split, Shard())

    def write(self, split: str) -> None:
        """Write the open shard of a split, if there is anything in it; the next one begins."""
        shard = self._open.pop(split)
        if shard.clips or shard.pictures:
            number = self._written.get(split, 0)
            shard.save(self.folder / f"{split}-{number:04d}.npz")
            self._written[split] = number + 1

    def write_all(self) -> None:
        for split in list(self._open):
            self.write(split)


@contextmanager
def replaced_shards(out: Path) -> Iterator[ShardSet]:
    """New shards for `out`, gathered in a folder inside it; they replace the old ones when the block ends well.

    A block that fails leaves `out` as it was. `meta.json`, which the block writes into the set's folder, goes first
    and comes last: training refuses a folder without it, so a swap cut short is never taken for a whole one.
    Raises: DataError, another run is writing there.
    """
    staging = out / ".new"
    out.mkdir(parents=True, exist_ok=True)
    with held(out) as alone:
        if not alone:
            raise DataError(f"another run is writing shards into {out}: wait for its end, or give another folder")
        yield from _replaced(out, staging)


def _replaced(out: Path, staging: Path) -> Iterator[ShardSet]:
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    staging.mkdir()
    remove_leftovers(out)
    try:
        yield ShardSet(staging)
        (out / "meta.json").unlink(missing_ok=True)
        # Left over from another run they would mix its talkers into this one's splits.
        for split in SPLITS:
            for old in out.glob(f"{split}-*.npz"):
                old.unlink()
        for new in sorted(staging.glob("*.npz")):
            new.replace(out / new.name)
        (staging / "meta.json").replace(out / "meta.json")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
