from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.train.batch_source import Share, motion_batches, picture_batches
from s2v.training.train.batches import ROW_FRAMES

SPEC, PAPER = LipSyncSpec.of("s2v"), LipSyncSpec.of("speech2vid")
ALONE = Share()


def first(batches: Iterator[tuple[Tensor, ...]], n: int = 1) -> list[tuple[Tensor, ...]]:
    return list(islice(batches, n))


def same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0)) for a, b in zip(one, other, strict=True))


def joined(*parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def test_a_batch_is_told_by_its_number_and_its_seed(shards: Path) -> None:
    for batches, spec in ((motion_batches, SPEC), (picture_batches, PAPER)):
        from_0 = first(batches(shards, spec, 2, 7, 0, ALONE, 0), 4)
        from_2 = first(batches(shards, spec, 2, 7, 2, ALONE, 0), 2)
        assert same(from_0[2], from_2[0]) and same(from_0[3], from_2[1])
        assert not same(from_0[0], from_0[1])
        assert not same(from_0[0], first(batches(shards, spec, 2, 8, 0, ALONE, 0))[0])


def test_the_shares_of_two_processes_are_the_batch_of_one(shards: Path) -> None:
    for batches, spec in ((motion_batches, SPEC), (picture_batches, PAPER)):
        (whole,) = first(batches(shards, spec, 4, 0, 5, ALONE, 0))
        parts = [first(batches(shards, spec, 4, 0, 5, Share(rank, 2), 0))[0] for rank in (0, 1)]
        assert len(parts[0][0]) == 2
        assert same(joined(*parts), whole)


def test_workers_change_no_batch(shards: Path) -> None:
    alone = first(motion_batches(shards, SPEC, 1, 0, 3, ALONE, 0), 3)
    for one, other in zip(alone, first(motion_batches(shards, SPEC, 1, 0, 3, ALONE, 2), 3), strict=True):
        assert same(one, other)


def test_batches_have_the_shapes_that_networks_take(shards: Path) -> None:
    ((columns, motion, tract, follows),) = first(motion_batches(shards, SPEC, 3, 0, 0, ALONE, 0))
    assert columns.shape == (3, 4 * (ROW_FRAMES - 1) + SPEC.n_columns, SPEC.n_cepstra)
    assert motion.shape == (3, ROW_FRAMES, SPEC.n_motion) and tract.shape[:2] == follows.shape == (3, ROW_FRAMES)
    ((windows, target, reference),) = first(picture_batches(shards, PAPER, 5, 0, 0, ALONE, 0))
    assert windows.shape == (5, 1, 12, 35)
    assert target.shape == reference.shape == (5, 3, 112, 112)
    assert windows.dtype == target.dtype == torch.float32


def test_what_cannot_be_drawn_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 rows in a batch cannot be shared among 2 processes"):
        motion_batches(shards, SPEC, 3, 0, 0, Share(0, 2), 0)
    shutil.copy(shards / "meta.json", tmp_path)
    with pytest.raises(DataError, match=r"no train shards in .*: run s2v prepare-data first"):
        next(motion_batches(tmp_path, SPEC, 1, 0, 0, ALONE, 0))
    arrays = dict(np.load(shards / "train-0000.npz"))
    np.savez(tmp_path / "train-0000.npz", **(arrays | {"picture_where": arrays["picture_where"] + [0, 1000]}))
    with pytest.raises(DataError, match=r"no picture in .* belongs to a sound there"):
        next(picture_batches(tmp_path, PAPER, 1, 0, 0, ALONE, 0))
    np.savez(tmp_path / "train-0000.npz", **{key: value for key, value in arrays.items() if "picture" not in key})
    with pytest.raises(DataError, match="hold no pictures"):
        next(picture_batches(tmp_path, PAPER, 1, 0, 0, ALONE, 0))


def test_what_is_wrong_in_a_worker_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train shards"):
        next(motion_batches(tmp_path, SPEC, 1, 0, 0, ALONE, 1))
