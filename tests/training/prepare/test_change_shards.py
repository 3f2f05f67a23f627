"""Shards that are changed where they lie: checked first, by one process, and never left half done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_shards import made_sample, make_shards

from s2v.errors import DataError
from s2v.files import held
from s2v.training.prepare.change_shards import change_split, replace_split
from s2v.training.shard_file import ClipSample
from s2v.training.stored_clips import stored_clips


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _longer_third(sample: ClipSample) -> ClipSample:
    return replace(sample, transcript="more") if sample.clip == "a/3" else replace(sample, tract=sample.tract * 0)


def test_values_change_and_places_stay(tmp_path: Path) -> None:
    folder = make_shards(tmp_path, train=[made_sample(f"a/{n}", number=n, pictures=(3, 30)) for n in range(4)])
    change_split(folder, "train", lambda sample: replace(sample, tract=np.zeros_like(sample.tract)))
    clips = stored_clips(folder, "train")
    assert [clip.name for clip in clips.with_tract()] == ["a/0", "a/1", "a/2", "a/3"]
    assert not clips[3].tract.any() and clips.sample(3, pictures=True).targets == (3, 30)


def test_a_sample_that_would_not_fit_is_refused_before_its_shard_is_written(tmp_path: Path) -> None:
    folder = make_shards(tmp_path, clips_per_shard=9, train=[made_sample(f"a/{n}", number=n) for n in range(4)])
    before = _bytes(folder)
    with pytest.raises(DataError, match="a/3 of train would not fit into its place"):
        change_split(folder, "train", _longer_third)
    assert _bytes(folder) == before


def test_one_process_at_a_time_changes_a_folder(tmp_path: Path) -> None:
    folder = make_shards(tmp_path, train=[made_sample("a/1")])
    before = _bytes(folder)
    with held(folder) as alone:
        assert alone
        with pytest.raises(DataError, match="another run is writing shards into"):
            replace_split(folder, "train", [made_sample("b/1")])
        with pytest.raises(DataError, match="another run is writing shards into"):
            change_split(folder, "train", _longer_third)
    assert _bytes(folder) == before


def test_samples_are_taken_one_by_one(tmp_path: Path) -> None:
    written: list[int] = []  # shards that were there when each sample was asked for

    def samples() -> Iterator[ClipSample]:
        for number in range(5):
            written.append(len(list(tmp_path.glob("voice-*.tar"))))
            yield made_sample(f"v/{number}", number=number)

    folder = make_shards(tmp_path)
    replace_split(folder, "voice", samples(), clips_per_shard=2)
    assert written == [0, 0, 1, 1, 2]
    assert [clip.name for clip in stored_clips(folder, "voice")] == [f"v/{number}" for number in range(5)]
