"""Shards that are there already: a split put in place of another, or what is known of its clips changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from s2v.errors import DataError
from s2v.files import held, remove_leftovers, write_whole
from s2v.training.prepare.shards import write_shard
from s2v.training.shard_file import ClipSample, sample_files
from s2v.training.shard_index import Entry, index_of, packed_index
from s2v.training.shard_store import META, open_shards, shard_name
from s2v.training.train.defaults import CLIPS_PER_SHARD


def replace_split(
    shards: Path, split: str, samples: Iterable[ClipSample], clips_per_shard: int = CLIPS_PER_SHARD
) -> None:
    """Write a split of a shard folder anew, in place of what it has of that name.

    If it is cut short, the folder has no such split.

    Args: samples: one after the other, so that they need not be in memory together.
    Raises: DataError, not shards of prepare-data, or another process writes there.
    """
    with _alone(shards):
        meta = open_shards(shards).meta
        _write_meta(shards, meta, split, None)
        for old in (*shards.glob(f"{split}-*.tar"), *shards.glob(f"{split}-*.npz")):
            old.unlink()
        entries: list[Entry] = []
        number, left = 0, iter(samples)
        for number, first in enumerate(left):
            part = chain([first], islice(left, clips_per_shard - 1))
            entries += write_shard(shards / shard_name(split, number), number, part)
        write_whole(shards / f"{split}.index", packed_index(index_of(entries)))
        _write_meta(shards, meta, split, (number + 1 if entries else 0, entries))


def change_split(shards: Path, split: str, change: Callable[[ClipSample], ClipSample]) -> None:
    """Rewrite the clips of a split; one shard is in memory at a time.

    Args: change: a sample to itself with other values. Its files must stay as long as they are, so that the index
        holds whenever this is cut short: that is checked before a shard is replaced.
    Raises: DataError, a shard is damaged, a sample has another length now, or another process writes there.
    """
    with _alone(shards):
        store = open_shards(shards)
        index = store.index(split)
        if index is None:
            return
        entries: list[Entry] = []

        def changed(row: int) -> ClipSample:
            before = store.sample(split, index, row, pictures=True)
            after = change(before)
            if _lengths(before) != _lengths(after):
                raise DataError(f"{before.clip} of {split} would not fit into its place: prepare again")
            return after

        for number, rows in groupby(range(len(index)), key=lambda row: int(index.shard[row])):
            entries += write_shard(shards / shard_name(split, number), number, map(changed, rows))
        write_whole(shards / f"{split}.index", packed_index(index_of(entries)))


@contextmanager
def _alone(shards: Path) -> Iterator[None]:
    """Around changes of a folder. Raises: DataError, there are no shards, or another process changes them now."""
    open_shards(shards)
    with held(shards) as alone:
        if not alone:
            raise DataError(f"another run is writing shards into {shards}: wait for its end")
        remove_leftovers(shards)
        yield


def _lengths(sample: ClipSample) -> list[dict[str, int]]:
    """Of its files; where their names have other letters, those are other files."""
    return [{name: len(data) for name, data in files.items()} for files in sample_files(sample)]


def _write_meta(shards: Path, meta: dict[str, Any], split: str, found: tuple[int, list[Entry]] | None) -> None:
    """Args: found: how many shards the split has, and its clips; None: there is no such split."""
    n_shards, entries = found or (0, [])
    totals = {
        "shards": n_shards,
        "clips": len(entries),
        "frames": sum(entry.n_frames for entry in entries),
        "pictures": sum(entry.n_targets for entry in entries),
        "talkers": len({entry.talker for entry in entries}),
    }
    counts = {name: {**{key: one for key, one in meta.get(name, {}).items() if key != split},
                     **({split: value} if found else {})} for name, value in totals.items()}  # fmt: skip
    write_whole(shards / META, json.dumps(meta | counts, indent=1))
