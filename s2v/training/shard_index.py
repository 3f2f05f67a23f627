"""Where each clip of a split lies in its shards: a batch reads its clips directly, whichever they are.

SPLIT.index (NumPy's .npz) has a row for each clip, 37 bytes in memory; which clip it is by name, only the shard says.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.training.arrays import Wanted, read_arrays

_COLUMNS = {
    **{"shard": "u4", "offset": "u8", "speech_bytes": "u4", "all_bytes": "u4", "n_samples": "u4", "n_frames": "u4"},
    **{"n_targets": "u4", "talker": "u4", "has_tract": "u1"},
}
_WANTED = {name: Wanted("iu", (None,)) for name in _COLUMNS} | {"talkers": Wanted("U", (None,))}
_MOST_BYTES = 1 << 30  # of a clip


@dataclass(frozen=True)
class Entry:
    """A clip in a shard."""

    shard: int  # its number
    offset: int  # of its first byte in the shard
    speech_bytes: int  # its sound, motion and names, without pictures
    all_bytes: int
    n_samples: int
    n_frames: int
    n_targets: int  # pictures that are to be drawn
    talker: str
    has_tract: bool


@dataclass(frozen=True)
class SplitIndex:
    """The clips of a split in the order of its shards: a column each, (n_clips,)."""

    shard: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    speech_bytes: NDArray[np.uint32]
    all_bytes: NDArray[np.uint32]
    n_samples: NDArray[np.uint32]
    n_frames: NDArray[np.uint32]
    n_targets: NDArray[np.uint32]
    talker: NDArray[np.uint32]  # which of `talkers`
    has_tract: NDArray[np.uint8]
    talkers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shard)

    def rows(self, chosen: NDArray[Any]) -> SplitIndex:
        """Some of its clips. Args: chosen: their rows, or a bool for each."""
        return SplitIndex(**{name: getattr(self, name)[chosen] for name in _COLUMNS}, talkers=self.talkers)


def index_of(entries: Sequence[Entry]) -> SplitIndex:
    """The index of clips in their order."""
    talkers = sorted({entry.talker for entry in entries})
    numbers = {talker: number for number, talker in enumerate(talkers)}
    columns = {
        name: np.array([getattr(entry, name) for entry in entries], kind)
        for name, kind in _COLUMNS.items()
        if name != "talker"
    }
    talker = np.array([numbers[entry.talker] for entry in entries], _COLUMNS["talker"])
    return SplitIndex(**columns, talker=talker, talkers=tuple(talkers))


def packed_index(index: SplitIndex) -> bytes:
    """An index as a file."""
    out = io.BytesIO()
    columns: dict[str, Any] = {one.name: getattr(index, one.name) for one in fields(index)}
    np.savez_compressed(out, **(columns | {"talkers": np.array(index.talkers, np.str_)}))
    return out.getvalue()


def read_index(data: bytes, n_shards: int) -> SplitIndex:
    """The index in a file. Raises: ValueError, naming what is wrong. Args: n_shards: of the split."""
    found = read_arrays(io.BytesIO(data), _WANTED)
    if len({len(found[name]) for name in _COLUMNS}) != 1:
        raise ValueError("its columns have different lengths")
    for name, kind in _COLUMNS.items():
        column = found[name]
        if len(column) and (column.min() < 0 or column.max() > np.iinfo(kind).max):
            raise ValueError(f"{name} is out of range")
        found[name] = column.astype(kind)
    talkers = tuple(str(talker) for talker in found.pop("talkers"))
    index = SplitIndex(**found, talkers=talkers)
    if (index.shard >= n_shards).any() or (index.talker >= len(talkers)).any():
        raise ValueError("it tells of shards or talkers that there are not")
    if (index.speech_bytes > index.all_bytes).any() or (index.all_bytes > _MOST_BYTES).any():
        raise ValueError("it tells of clips of an impossible size")
    return index
