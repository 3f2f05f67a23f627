from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("webdataset")
import torch
from made_shards import made_sample, make_shards, served
from torch import Tensor

from s2v.engine.audio.windows import mfcc_windows
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.train.batch_source import Share, motion_batches, picture_batches
from s2v.training.train.batches import ROW_FRAMES, by_voice, motion_row, stored_clips

SPEC, PAPER = LipSyncSpec.of("s2v"), LipSyncSpec.of("speech2vid")
ALONE = Share()
Batches = Callable[..., Iterator[tuple[Tensor, ...]]]
BOTH = pytest.mark.parametrize(("batches", "spec"), [(motion_batches, SPEC), (picture_batches, PAPER)])
FRAMES = (0, 3, 12, 17, 25, 30, 38)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven clips of two talkers and two voices, in shards of three."""
    film = [made_sample(f"{'ann' if n % 3 else 'bob'}/{n}", 40, n + 1, pictures=FRAMES) for n in range(8)]
    voices = [made_sample(f"voice{n % 2}/{n}", 60, n + 20, known=True) for n in range(3)]
    return make_shards(tmp_path_factory.mktemp("made"), train=film, voice=voices)


def first(batches: Iterator[tuple[Tensor, ...]], n: int = 1) -> list[tuple[Tensor, ...]]:
    return list(islice(batches, n))


def same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0)) for a, b in zip(one, other, strict=True))


def joined(*parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


@BOTH
def test_any_first_step_gives_what_going_there_gives(shards: Path, batches: Batches, spec: LipSyncSpec) -> None:
    from_0 = first(batches(shards, spec, 2, 7, 0, ALONE, 0), 5)
    for step in (1, 2, 4):
        assert same(from_0[step], first(batches(shards, spec, 2, 7, step, ALONE, 0))[0])
    assert not same(from_0[0], from_0[1])
    assert not same(from_0[0], first(batches(shards, spec, 2, 8, 0, ALONE, 0))[0])


@BOTH
@pytest.mark.parametrize("whole", [4, 6, 10])
def test_the_shares_of_two_processes_are_the_batch_of_one(
    shards: Path, batches: Batches, spec: LipSyncSpec, whole: int
) -> None:
    (alone,) = first(batches(shards, spec, whole, 0, 5, ALONE, 0))
    parts = [first(batches(shards, spec, whole, 0, 5, Share(rank, 2), 0))[0] for rank in (0, 1)]
    assert len(parts[0][0]) == whole // 2
    assert same(joined(*parts), alone)


def test_what_is_streamed_is_what_reading_all_at_once_gives(shards: Path) -> None:
    film, labelled = (list(stored_clips(shards, split)) for split in ("train", "voice"))
    voices = by_voice(film, labelled)
    for step, batch in enumerate(first(motion_batches(shards, SPEC, 3, 7, 0, ALONE, 0), 2)):
        rows = [motion_row(voices, SPEC, np.random.default_rng([7, 0, step, row])) for row in range(3)]
        assert same(batch, tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)))


@BOTH
def test_a_url_gives_what_the_folder_gives(shards: Path, batches: Batches, spec: LipSyncSpec) -> None:
    with served(shards) as (url, asked):
        far = first(batches(url, spec, 6, 7, 3, ALONE, 0))[0]
    assert same(far, first(batches(shards, spec, 6, 7, 3, ALONE, 0))[0])
    assert all("bytes=" in request for request in asked if ".tar" in request)


def test_workers_change_no_batch(shards: Path) -> None:
    alone = first(picture_batches(shards, PAPER, 4, 0, 3, ALONE, 0), 4)
    for one, other in zip(alone, first(picture_batches(shards, PAPER, 4, 0, 3, ALONE, 2), 4), strict=True):
        assert same(one, other)


def test_batches_have_the_shapes_that_networks_take(shards: Path) -> None:
    ((columns, motion, tract, follows),) = first(motion_batches(shards, SPEC, 3, 0, 0, ALONE, 0))
    assert columns.shape == (3, 4 * (ROW_FRAMES - 1) + SPEC.n_columns, SPEC.n_cepstra)
    assert motion.shape == (3, ROW_FRAMES, SPEC.n_motion) and tract.shape[:2] == follows.shape == (3, ROW_FRAMES)
    ((windows, target, reference),) = first(picture_batches(shards, PAPER, 5, 0, 0, ALONE, 0))
    assert windows.shape == (5, 1, 12, 35)
    assert target.shape == reference.shape == (5, 3, 112, 112)
    assert windows.dtype == target.dtype == torch.float32


def test_every_clip_is_drawn_before_any_comes_again_and_a_reference_is_chosen_anew(shards: Path) -> None:
    clips = {clip.name: mfcc_windows(clip.pcm, PAPER) for clip in stored_clips(shards, "train")}
    shown: list[tuple[str, int, int]] = []
    for windows, target, reference in first(picture_batches(shards, PAPER, 8, 0, 0, ALONE, 0), 12):
        for i in range(8):
            ((name, frame),) = [
                (clip, frame)
                for clip, of_clip in clips.items()
                for frame in FRAMES
                if np.allclose(of_clip[frame], windows[i, 0].numpy(), atol=1e-4)
            ]
            brighter = float(reference[i].mean() - target[i].mean())
            shown.append((name, frame, int(np.sign(brighter))))
    epochs = [shown[start : start + 32] for start in range(0, 96, 32)]  # eight clips, four pictures of each at once
    for epoch in epochs:
        names = [name for name, _, _ in epoch]
        assert sorted(set(names)) == sorted(clips)
        assert names[::4] == names[3::4] and len({frame for _, frame, _ in epoch[:4]}) == 4
    assert len({tuple(name for name, _, _ in epoch) for epoch in epochs}) == 3, "another order in each epoch"
    # The reference may be before or after a target in the middle, and is now the one and now the other.
    assert {sign for _, frame, sign in shown if frame == 17} == {-1, 1}


def test_people_of_photos_are_drawn_in_turn_with_those_who_talk(tmp_path: Path) -> None:
    talking, photo = (made_sample(f"{name}/0", number=number, pictures=FRAMES) for number, name in enumerate("ab"))
    folder = make_shards(tmp_path / "shards", train=[talking], photo=[replace(photo, split="photo")])
    heard = {one.clip: mfcc_windows((one.pcm / 32768).astype(np.float32), PAPER) for one in (talking, photo)}
    ((windows, _, _),) = first(picture_batches(folder, PAPER, 8, 0, 0, ALONE, 0))
    whose = [
        [clip for clip, known in heard.items() if any(np.allclose(known[f], one[0], atol=1e-4) for f in FRAMES)]
        for one in windows.numpy()
    ]
    assert sorted(map(tuple, whose)) == [("a/0",)] * 4 + [("b/0",)] * 4


def test_targets_that_share_a_face_have_one_reference_and_one_light(shards: Path) -> None:
    alone = first(picture_batches(shards, PAPER, 6, 0, 2, ALONE, 0, per_face=3))[0]
    assert alone[1].shape[0] == alone[0].shape[0] == 6 and alone[2].shape[0] == 2
    # On grey pictures, however bright, the colour of the light is what red is to green.
    targets, references = ((part.mean((2, 3))[:, 2] / part.mean((2, 3))[:, 1]).tolist() for part in alone[1:])
    assert targets == pytest.approx([references[0]] * 3 + [references[1]] * 3, abs=0.01)
    assert abs(references[0] - references[1]) > 0.05
    parts = [first(picture_batches(shards, PAPER, 6, 0, 2, Share(rank, 2), 0, per_face=3))[0] for rank in (0, 1)]
    assert same(joined(*parts), alone)
    with pytest.raises(DataError, match="4 pictures in a batch of one process are no multiple of 3"):
        picture_batches(shards, PAPER, 8, 0, 0, Share(0, 2), 0, per_face=3)


def test_what_cannot_be_drawn_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 rows in a batch cannot be shared among 2 processes"):
        motion_batches(shards, SPEC, 3, 0, 0, Share(0, 2), 0)
    with pytest.raises(DataError, match=r"no train shards in .*: run s2v prepare-data first"):
        next(motion_batches(make_shards(tmp_path / "a"), SPEC, 1, 0, 0, ALONE, 0))
    silent = made_sample("ann/1", 40, pictures=(3, 20))
    make_shards(tmp_path / "b", train=[replace(silent, pcm=silent.pcm[: 2 * 640])])
    with pytest.raises(DataError, match=r"no picture in .* belongs to a sound there"):
        next(picture_batches(tmp_path / "b", PAPER, 1, 0, 0, ALONE, 0))
    make_shards(tmp_path / "c", train=[made_sample("ann/1")])
    with pytest.raises(DataError, match="hold no pictures"):
        next(picture_batches(tmp_path / "c", PAPER, 1, 0, 0, ALONE, 0))


PARENT = """
import multiprocessing, os, sys
from s2v.spec import LipSyncSpec
from s2v.training.train.batch_source import Share, picture_batches
if __name__ == "__main__":
    batches = picture_batches(sys.argv[1], LipSyncSpec.of("speech2vid"), 64, 0, 0, Share(), 1)
    next(batches)
    print(multiprocessing.active_children()[0].pid, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_workers_end_with_a_training_that_is_killed(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(shards)]
    worker = int(subprocess.run(command, stdout=subprocess.PIPE, timeout=120).stdout)
    until_s = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not _runs(worker), "it waits for somebody to take its batches"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_is_wrong_in_a_worker_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        next(motion_batches(tmp_path, SPEC, 1, 0, 0, ALONE, 1))
