"""Batches without end, each a function of shards, settings, seed and its number alone.

So a training that goes on from batch 700 sees what an unbroken one sees from there, with one worker or with eight, and
the processes of a distributed training see parts of the batches that one process would see.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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
from s2v.interrupts import ignore_ending, signals_wait
from s2v.spec import LipSyncSpec
from s2v.training.train import batches as data
from s2v.training.train.picture_batches import Pictures, picture_batch

_MOTION, _PICTURES = 0, 1  # of the seed: a number draws rows of speech and pictures independently
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
    reference: Tensor  # the same of another moment of the same clip


def motion_batches(
    shards: Path, spec: LipSyncSpec, rows: int, seed: int, first_step: int, share: Share, workers: int
) -> Iterator[data.MotionBatch]:
    """Rows of speech without end, beginning with batch number `first_step`.

    Args:
        rows: in a batch of all processes together. workers: processes that make them; 0: this one.
    Raises: DataError, not shards, no clip to learn from, rows that cannot be shared; a worker was killed.
    """
    source = _MotionSource(shards, spec, seed, share.of(rows, "rows"))
    return (data.MotionBatch(*map(torch.from_numpy, arrays)) for arrays in _in_order(source, first_step, workers))


def picture_batches(
    shards: Path, spec: LipSyncSpec, batch: int, seed: int, first_step: int, share: Share, workers: int
) -> Iterator[PictureBatch]:
    """Pictures without end, beginning with batch number `first_step`.

    Args:
        batch: pictures of all processes together. workers: as in `motion_batches`.
    Raises: DataError, not shards, no picture that belongs to a sound, pictures that cannot be shared; a worker was
        killed.
    """
    source = _PictureSource(shards, spec, seed, batch, share.of(batch, "pictures"))
    return (PictureBatch(*map(torch.from_numpy, arrays)) for arrays in _in_order(source, first_step, workers))


class _Source(Protocol):
    def __getitem__(self, step: int) -> Arrays: ...


@dataclass
class _MotionSource(Dataset[Arrays]):
    """Reads the shards when the first batch is asked for: in the worker, to which only this small object goes."""

    shards: Path
    spec: LipSyncSpec
    seed: int
    part: range

    @cached_property
    def _voices(self) -> list[list[data.Clip]]:
        clips, labelled = (data.load_split(self.shards, split, pictures=False)[0] for split in ("train", "voice"))
        if not clips:
            raise DataError(f"no train shards in {self.shards}: run s2v prepare-data first")
        return data.by_voice(clips, labelled)

    def __getitem__(self, step: int) -> Arrays:
        rows = [
            data.motion_batch(self._voices, 1, self.spec, np.random.default_rng([self.seed, _MOTION, step, row]))
            for row in self.part
        ]
        return tuple(torch.cat(parts).numpy() for parts in zip(*rows, strict=True))


@dataclass
class _PictureSource(Dataset[Arrays]):
    """As `_MotionSource`."""

    shards: Path
    spec: LipSyncSpec
    seed: int
    batch: int
    part: range

    @cached_property
    def _loaded(self) -> tuple[Pictures, dict[str, NDArray[np.float32]], list[int]]:
        """Pictures, windows of each clip, and which pictures have a sound."""
        clips, pictures = data.load_split(self.shards, "train")
        if not len(pictures):
            raise DataError(f"the shards in {self.shards} hold no pictures: prepare them with pictures_per_clip > 0")
        windows = {clip.name: data.windows_of(clip, self.spec) for clip in clips}
        spoken = [i for i, (name, frame) in enumerate(pictures.where) if frame < len(windows.get(name, ()))]
        if not spoken:
            raise DataError(f"no picture in {self.shards} belongs to a sound there: prepare the shards again")
        return pictures, windows, spoken

    def __getitem__(self, step: int) -> Arrays:
        pictures, windows, spoken = self._loaded
        chosen = np.random.default_rng([self.seed, _PICTURES, step]).choice(spoken, self.batch)
        drawn = [
            picture_batch(pictures, chosen[[i]], np.random.default_rng([self.seed, _PICTURES, step, i]))
            for i in self.part
        ]
        mfcc = np.stack([windows[name][frame] for name, frame in (pictures.where[chosen[i]] for i in self.part)])
        return mfcc, *(torch.cat([one[key] for one in drawn]).numpy() for key in ("target", "reference"))


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
    with signals_wait():
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
