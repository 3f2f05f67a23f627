"""Shards that are there already: a split put in place of another, or what is known of its clips changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from s2v.errors import DataError
from s2v.files import remove_leftovers, write_whole
from s2v.training.prepare.shards import write_shard
from s2v.training.shard_file import ClipSample
from s2v.training.shard_index import Entry, index_of, packed_index
from s2v.training.shard_store import META, open_shards, shard_name
from s2v.training.train.defaults import CLIPS_PER_SHARD


def replace_split(
    shards: Path, split: str, samples: Sequence[ClipSample], clips_per_shard: int = CLIPS_PER_SHARD
) -> None:
    """Write a split of a shard folder anew, in place of what it has of that name.

    If it is cut short, the folder has no such split. Raises: DataError, not shards of prepare-data.
    """
    meta = open_shards(shards).meta
    remove_leftovers(shards)
    _write_meta(shards, meta, split, None)
    for old in (*shards.glob(f"{split}-*.tar"), *shards.glob(f"{split}-*.npz")):
        old.unlink()
    entries: list[Entry] = []
    parts = [samples[start : start + clips_per_shard] for start in range(0, len(samples), clips_per_shard)]
    for number, part in enumerate(parts):
        entries += write_shard(shards / shard_name(split, number), number, part)
    write_whole(shards / f"{split}.index", packed_index(index_of(entries)))
    _write_meta(shards, meta, split, (len(parts), entries))


def change_split(shards: Path, split: str, change: Callable[[ClipSample], ClipSample]) -> None:
    """Rewrite the clips of a split; one shard is in memory at a time.

    Args: change: a sample to itself with other values. Its files must stay as long as they are, so that the index
        holds whenever this is cut short. Raises: DataError, a shard is damaged.
    """
    store = open_shards(shards)
    index = store.index(split)
    if index is None:
        return
    remove_leftovers(shards)
    entries: list[Entry] = []

    def changed(rows: list[int]) -> Iterator[ClipSample]:
        return (change(store.sample(split, index, row, pictures=True)) for row in rows)

    for number, rows in groupby(range(len(index)), key=lambda row: int(index.shard[row])):
        own = list(rows)
        written = write_shard(shards / shard_name(split, number), number, changed(own))
        if [entry.offset for entry in written] != index.offset[own].tolist():
            raise DataError(f"the clips of {split} do not fit into their places: prepare again")
        entries += written
    write_whole(shards / f"{split}.index", packed_index(index_of(entries)))


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
