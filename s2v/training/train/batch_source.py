"""Batches without end, each a function of shards, settings, seed and its number alone.

So a training that goes on from batch 700 sees what an unbroken one sees from there, with one worker or with eight, and
the processes of a distributed training see parts of the batches that one process would see.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from s2v.errors import DataError
from s2v.interrupts import ignore_ending, signals_blocked
from s2v.spec import LipSyncSpec
from s2v.training.shard_store import open_shards
from s2v.training.train import batches as data
from s2v.training.train.picture_batches import Row, spoken_pictures
from s2v.training.workers import end_with_parent

_MOTION, _PICTURES, _ORDER = 0, 1, 2  # of the seed: a number draws rows, pictures and their order independently
_PICTURES_OF_A_CLIP = 4  # in a batch: reading a clip and its sound takes longer than drawing one of its pictures
_MOST_UNUSABLE = 50  # clips without a picture to be drawn, one after the other
_REQUESTS_AT_ONCE = 8  # of one worker to a server
Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Share:
    """Which part of each batch is this process's: the `rank`-th of `world` equal ones that follow each other."""

    rank: int = 0
    world: int = 1

    def of(self, whole: int, what: str) -> range:
        """The numbers of its samples among `whole`. Raises: DataError, they cannot be shared out equally."""
        if whole % self.world:
            raise DataError(f"{whole} {what} in a batch cannot be shared among {self.world} processes: take a multiple")
        part = whole // self.world
        return range(self.rank * part, (self.rank + 1) * part)


class PictureBatch(NamedTuple):
    """Pictures with their sound, as tensors."""

    windows: Tensor  # (b, 1, n_cepstra, n_columns)
    target: Tensor  # (b, 3, face_px, face_px) in [0, 1]
    reference: Tensor  # (b / per_face, 3, face_px, face_px) another moment of the same clip, for so many targets each


def motion_batches(
    shards: str | Path, spec: LipSyncSpec, rows: int, seed: int, first_step: int, share: Share, workers: int
) -> Iterator[data.MotionBatch]:
    """Rows of speech without end, beginning with batch number `first_step`.

    Args:
        rows: in a batch of all processes together. workers: processes that make them; 0: this one.
    Raises: DataError, not shards, no clip to learn from, rows that cannot be shared; a worker was killed.
    """
    source = _MotionSource(shards, spec, seed, share.of(rows, "rows"))
    return (data.MotionBatch(*map(torch.from_numpy, arrays)) for arrays in _in_order(source, first_step, workers))


def picture_batches(
    shards: str | Path,
    spec: LipSyncSpec,
    batch: int,
    seed: int,
    first_step: int,
    share: Share,
    workers: int,
    per_face: int = 1,
) -> Iterator[PictureBatch]:
    """Pictures without end, beginning with batch number `first_step`.

    Args:
        batch: pictures of all processes together. workers: as in `motion_batches`.
        per_face: so many targets that follow each other are of one clip, with one reference and in one light, so that
            a network can encode their face once.
    Raises: DataError, not shards, no picture that belongs to a sound, pictures that cannot be shared; a worker was
        killed.
    """
    part = share.of(batch, "pictures")
    if len(part) % per_face:
        raise DataError(
            f"{len(part)} pictures in a batch of one process are no multiple of {per_face}, that share a face"
        )
    source = _PictureSource(shards, spec, seed, batch, part, per_face)
    return (PictureBatch(*map(torch.from_numpy, arrays)) for arrays in _in_order(source, first_step, workers))


class _Source(Protocol):
    def __getitem__(self, step: int) -> Arrays: ...


@dataclass
class _MotionSource(Dataset[Arrays]):
    """Opens the shards when the first batch is asked for: in the worker, to which only this small object goes."""

    shards: str | Path
    spec: LipSyncSpec
    seed: int
    part: range

    @cached_property
    def _voices(self) -> data.Voices:
        clips, labelled = (data.stored_clips(self.shards, split) for split in ("train", "voice"))
        if not clips:
            raise DataError(f"no train shards in {self.shards}: run s2v prepare-data first")
        return data.by_voice(clips, labelled)

    @cached_property
    def _at_once(self) -> ThreadPoolExecutor | None:
        """For clips behind a URL, each of which takes its time to come."""
        return ThreadPoolExecutor(_REQUESTS_AT_ONCE) if open_shards(self.shards).remote else None

    def __getitem__(self, step: int) -> Arrays:
        voices = self._voices

        def row(number: int) -> Arrays:
            return data.motion_row(voices, self.spec, np.random.default_rng([self.seed, _MOTION, step, number]))

        rows = (map if self._at_once is None else self._at_once.map)(row, self.part)
        return tuple(np.stack(parts) for parts in zip(*rows, strict=True))


@dataclass
class _PictureSource(Dataset[Arrays]):
    """As `_MotionSource`. Every clip comes once before any comes again, with a few of its pictures at a time.

    People of whom there are photos only are clips of silence.
    """

    shards: str | Path
    spec: LipSyncSpec
    seed: int
    batch: int
    part: range
    per_face: int
    _shuffled: tuple[int, NDArray[np.int64]] = field(default=(-1, np.zeros(0, np.int64)), init=False)

    @cached_property
    def _parts(self) -> tuple[data.StoredClips, ...]:
        parts = tuple(data.stored_clips(self.shards, split).with_pictures() for split in ("train", "photo"))
        if not parts[0]:
            raise DataError(f"the shards in {self.shards} hold no pictures: prepare them with pictures_per_clip > 0")
        return parts

    @cached_property
    def _n_clips(self) -> int:
        return sum(map(len, self._parts))

    def _pictures(self, at: int, n: int, rng: np.random.Generator) -> list[Row]:
        """Some of one clip's; `at` counts through the parts."""
        talking, photos = self._parts
        clips, at = (talking, at) if at < len(talking) else (photos, at - len(talking))
        return spoken_pictures(clips, at, n, self.spec, rng, self.per_face)

    @cached_property
    def _at_once(self) -> ThreadPoolExecutor | None:
        return ThreadPoolExecutor(_REQUESTS_AT_ONCE) if open_shards(self.shards).remote else None

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """All clips by chance; kept for the epoch."""
        kept = self._shuffled  # read once: other threads may be at the next epoch
        if kept[0] != epoch:
            rng = np.random.default_rng([self.seed, _ORDER, epoch])
            kept = self._shuffled = epoch, rng.permutation(self._n_clips)
        return kept[1]

    def __getitem__(self, step: int) -> Arrays:
        first, end = self.part.start // self._of_a_clip, -(-self.part.stop // self._of_a_clip)
        groups = (map if self._at_once is None else self._at_once.map)(partial(self._group, step), range(first, end))
        rows = [row for group in groups for row in group]
        own = rows[self.part.start - first * self._of_a_clip :][: len(self.part)]
        windows, target, reference = zip(*own, strict=True)
        return np.stack(windows), np.stack(target), np.stack(reference[:: self.per_face])

    @property
    def _of_a_clip(self) -> int:
        """Pictures of a clip in a batch: whole faces."""
        return -(-_PICTURES_OF_A_CLIP // self.per_face) * self.per_face

    def _group(self, step: int, group: int) -> list[Row]:
        """Pictures of one clip: the `group`-th of a batch."""
        rng = np.random.default_rng([self.seed, _PICTURES, step, group])
        number = step * -(-self.batch // self._of_a_clip) + group
        for turn in range(_MOST_UNUSABLE):
            epoch, place = divmod(number, self._n_clips)
            at = (int(self._order(epoch)[place]) + turn) % self._n_clips
            if rows := self._pictures(at, self._of_a_clip, rng):
                return rows
        raise DataError(f"no picture in {self.shards} belongs to a sound there: prepare the shards again")


def _in_order(source: _Source, first_step: int, workers: int) -> Iterator[Arrays]:
    """Batches by number from `first_step` on.

    Raises: DataError, a worker was killed, or what `source` raises, also in a worker.
    """
    if not workers:
        yield from (source[step] for step in count(first_step))
        return
    # Spawned: a fork copies the locks of torch's threads, and keeps open what this process has locked.
    loader: DataLoader[Arrays] = DataLoader(
        _Guarded(source),
        batch_size=None,
        sampler=count(first_step),  # any iterable will do, and this one never ends
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_worker,
        multiprocessing_context=SpawnContext(),
    )
    with signals_blocked():
        batches = iter(loader)
    while True:
        try:
            found: Any = next(batches)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise DataError("a worker was killed, mostly for want of memory: take fewer with -w") from None
        if isinstance(found, DataError):
            raise found
        yield found


@dataclass
class _Guarded(Dataset[Any]):
    """Hands over what is wrong with the data as it is: the loader would wrap it in a traceback."""

    source: _Source

    def __getitem__(self, step: int) -> Any:
        try:
            return self.source[step]
        except DataError as error:
            return error


def _as_it_is(arrays: Any) -> Any:
    """NumPy arrays go through a pipe; tensors would need shared memory, of which a container has 64 MB."""
    return arrays


def _begin_worker(_: int) -> None:
    # Signals reach the workers too: they leave them to the training, which ends with SIGTERM those that are left.
    ignore_ending()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_parent()  # the loader's own watch does not end one whose batches nobody takes any more
