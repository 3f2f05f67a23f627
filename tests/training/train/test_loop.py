from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from made_shards import made_sample, make_shards
from torch import Tensor

from s2v.engine.face.enrolment import network_input
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionTract, TalkingNet, build_network, load_checkpoint, read_checkpoint
from s2v.training.prepare.change_shards import change_split
from s2v.training.run.schedule import seed_step
from s2v.training.shard_file import ClipSample
from s2v.training.train.batches import load_split, windows_of
from s2v.training.train.config import TrainConfig
from s2v.training.train.loop import settings_to_resume, train
from s2v.training.train.losses import MotionLoss
from s2v.training.train.picture_batches import face_input
from s2v.training.train.validation import sync_report

# The tiny shards hold one clip: one step makes an epoch, one row a batch.
QUICK: dict[str, Any] = {
    "steps_per_epoch": 1,
    "batch_size": 4,
    "no_of_workers": 0,
    "tensorboard": False,
    "precision": "fp32",
    "no_of_gpus": 0,
}


@pytest.fixture(scope="module")
def motion_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of 12 steps."""
    out = tmp_path_factory.mktemp("motion")
    config = TrainConfig(shards, out, epochs=12, **QUICK)
    assert train(config, progress=False) == out / "last.pt"
    return config


def untrained(config: TrainConfig) -> TalkingNet:
    """The network as the run began with it."""
    spec = LipSyncSpec.from_json(read_checkpoint(config.out / "last.pt")["spec"])
    seed_step(config.seed, 0)
    return build_network(spec, config.width).eval()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_few_steps_bring_the_motion_nearer_to_the_truth(motion_run: TrainConfig) -> None:
    trained = load_checkpoint(motion_run.out / "last.pt")
    (clip,), _ = load_split(motion_run.shards, "train", pictures=False)
    windows, true = torch.from_numpy(windows_of(clip, trained.spec)), torch.from_numpy(clip.motion)
    cost = MotionLoss(trained.spec)
    with torch.no_grad():
        before, after = (
            float(cost(net.frame_decoder(windows)[0], true, torch.arange(len(true)) > 0))
            for net in (untrained(motion_run), trained)
        )
    assert after < 0.9 * before


def test_tract_variables_are_learned_where_they_are_known(motion_run: TrainConfig, tmp_path: Path) -> None:
    own = tmp_path / "shards"
    shutil.copytree(motion_run.shards, own)

    def with_tongue_held_high(sample: ClipSample) -> ClipSample:
        assert np.isnan(sample.tract).all()
        tract = sample.tract.copy()
        tract[:, 0] = 0.9  # nobody knows the rest
        return replace(sample, tract=tract)

    change_split(own, "train", with_tongue_held_high)
    config = replace(motion_run, shards=own, out=tmp_path / "run", epochs=30)
    trained = load_checkpoint(train(config, progress=False))
    (clip,), _ = load_split(own, "train", pictures=False)
    windows = torch.from_numpy(windows_of(clip, trained.spec))
    with torch.no_grad():
        before, after = (net.frame_decoder(windows)[1].mean(0) for net in (untrained(config), trained))
    assert after[0] > before[0] + 0.2
    assert (after[1:] < before[1:] + 0.1).all()


def test_the_record_tells_whether_motion_follows_voices(motion_run: TrainConfig) -> None:
    history = json.loads((motion_run.out / "history.json").read_text())
    assert [record["step"] for record in history] == list(range(1, 13))
    assert all(record["loss"] > 0 for record in history)
    (other,) = {clip.talker for clip in load_split(motion_run.shards, "val", pictures=False)[0]}
    for name in ("held", f"val/{other}"):
        assert history[-1][name]["clips"] == 1
        assert -1 <= history[-1][name]["first_component"] <= 1
    assert sorted(path.name for path in motion_run.out.iterdir()) == ["best.pt", "history.json", "last.pt"]


def test_the_best_checkpoint_is_that_of_the_highest_score(motion_run: TrainConfig) -> None:
    history = json.loads((motion_run.out / "history.json").read_text())
    scores = [record["score"] for record in history]
    assert len(set(scores)) > 6
    best = read_checkpoint(motion_run.out / "best.pt")
    assert scores[best["steps"] - 1] == max(scores)
    assert round(best["best"], 4) == max(scores)
    network = load_checkpoint(motion_run.out / "best.pt")
    assert isinstance(network, MotionTract)
    others = load_split(motion_run.shards, "val", pictures=False)[0]
    assert sync_report(network, others).score == pytest.approx(max(scores), abs=1e-3)


def test_a_run_may_begin_with_the_weights_and_the_scale_of_another(motion_run: TrainConfig, tmp_path: Path) -> None:
    start = motion_run.out / "last.pt"
    state = torch.load(start, weights_only=True)
    spec = json.loads(state["spec"])
    spec["mfcc_mean"][0] -= 1.0
    state["spec"] = json.dumps(spec)
    torch.save(state, tmp_path / "start.pt")
    config = replace(motion_run, out=tmp_path / "run", epochs=1, learning_rate=0.0, init=tmp_path / "start.pt")
    begun = read_checkpoint(train(config, progress=False))
    assert begun["steps"] == 1
    assert json.loads(begun["spec"]) == spec
    kept = [name for name in state["weights"] if "running" not in name and "num_batches" not in name]
    for name in kept:
        torch.testing.assert_close(begun["weights"][name], state["weights"][name], rtol=1e-6, atol=1e-8)


def test_what_began_with_weights_ends_with_the_mean_of_beginning_best_and_end(
    motion_run: TrainConfig, tmp_path: Path
) -> None:
    config = replace(motion_run, out=tmp_path, epochs=3, init=motion_run.out / "best.pt")
    assert train(config, progress=False) == tmp_path / "mean.pt"
    read = {name: read_checkpoint(tmp_path / f"{name}.pt") for name in ("start", "best", "last", "mean")}
    assert same(read["start"]["weights"], read_checkpoint(config.init)["weights"]) if config.init else False
    name = "frame_decoder.motion.weight"
    mean = sum(read[of]["weights"][name] for of in ("start", "best", "last")) / 3
    assert not torch.equal(read["start"]["weights"][name], read["last"]["weights"][name])
    torch.testing.assert_close(read["mean"]["weights"][name], mean, rtol=1e-5, atol=1e-7)
    assert read["mean"]["probes"] and not read["last"]["probes"]
    for folder in (tmp_path, tmp_path / "other"):  # it had ended already
        again = train(replace(config, out=folder, resume=tmp_path / "last.pt"), progress=False)
        assert same(read_checkpoint(again)["weights"], read["mean"]["weights"])


def test_bfloat16_learns_too(motion_run: TrainConfig, tmp_path: Path) -> None:
    config = replace(motion_run, out=tmp_path, precision="bf16")
    trained = load_checkpoint(train(config, progress=False))
    assert all(weight.dtype == torch.float32 for weight in trained.parameters())
    losses = [json.loads((run / "history.json").read_text())[-1]["loss"] for run in (tmp_path, motion_run.out)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_a_run_goes_on_where_it_stopped(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, epochs=2, **QUICK)
    first = read_checkpoint(train(config, progress=False))
    shutil.copy(tmp_path / "last.pt", tmp_path / "first.pt")
    more = read_checkpoint(train(replace(config, epochs=4, resume=tmp_path / "first.pt"), progress=False))
    assert (first["steps"], more["steps"]) == (2, 4)
    assert [record["step"] for record in more["history"]] == [1, 2, 3, 4]
    again = read_checkpoint(train(replace(config, epochs=4, resume=tmp_path / "last.pt"), progress=False))
    assert same(again["weights"], more["weights"])  # nothing left to do
    assert more["config"]["epochs"] == 4
    # The optimiser went on too: its moments have seen all four steps.
    taken = {float(moments["step"]) for moments in more["moments"]["state"].values()}
    assert taken == {4.0}


def test_the_same_seed_gives_the_same_weights(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, epochs=1, **QUICK)
    runs = [
        read_checkpoint(train(replace(config, out=tmp_path / str(number), seed=seed), progress=False))["weights"]
        for number, seed in enumerate((3, 3, 4))
    ]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_papers_network_is_trained_by_the_same_command(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, network="speech2vid", width=0.125, epochs=1, **QUICK | {"batch_size": 3})
    state = read_checkpoint(train(config, progress=False))
    assert state["steps"] == 1
    assert np.isfinite(state["history"][-1]["loss"])
    before, after = untrained(config).state_dict(), state["weights"]
    assert not torch.equal(before["frame_decoder.out.weight"], after["frame_decoder.out.weight"])
    assert not torch.equal(before["face_encoder.to_56.0.weight"], after["face_encoder.to_56.0.weight"])
    (tmp_path / "last.pt").rename(tmp_path / "paper.pt")
    with pytest.raises(DataError, match=r"paper\.pt was made for another spec .*network speech2vid, not s2v"):
        train(TrainConfig(shards, tmp_path / "out", resume=tmp_path / "paper.pt", **QUICK), progress=False)


def test_a_narrow_network_learns_from_targets_that_share_a_face_and_goes_on(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        shards, tmp_path, network="speech2vid", epochs=1, width=0.125, targets_per_face=2, **QUICK | {"batch_size": 4}
    )
    state = read_checkpoint(train(config, progress=False))
    assert load_checkpoint(tmp_path / "last.pt").width == 0.125
    record = state["history"][-1]
    assert record["score"] == -record["val"]["mouth_l1"] < 0
    assert settings_to_resume(tmp_path / "last.pt")["width"] == 0.125
    with pytest.raises(DataError, match=r"0\.125 times as wide as usual: set width = 0\.125"):
        train(replace(config, init=tmp_path / "last.pt", out=tmp_path / "out", width=1.0), progress=False)
    with pytest.raises(DataError, match=r"4 pictures in a batch of one process are no multiple of 3"):
        train(replace(config, targets_per_face=3, out=tmp_path / "out"), progress=False)


def test_pictures_of_frames_that_no_clip_has_are_refused(tmp_path: Path) -> None:
    silent = made_sample("ann/1", 40, pictures=(3, 20))
    make_shards(tmp_path, train=[replace(silent, pcm=silent.pcm[: 2 * 640])])
    with pytest.raises(DataError, match=r"no picture in .* belongs to a sound there"):
        train(
            TrainConfig(tmp_path, tmp_path / "out", network="speech2vid", epochs=1, **QUICK | {"batch_size": 3}),
            progress=False,
        )


def test_training_and_engine_mask_a_face_alike() -> None:
    rng = np.random.default_rng(0)
    target, reference = rng.integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    tensors = [torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255 for face in (target, reference)]
    np.testing.assert_array_equal(face_input(*tensors).numpy(), network_input(target, reference))


def test_what_cannot_be_trained_is_refused(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path / "out", epochs=1, **QUICK)
    with pytest.raises(DataError, match=r"this machine has .* CUDA GPUs; leave it out to use"):
        train(replace(config, no_of_gpus=99))
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        train(replace(config, shards=tmp_path))
    with pytest.raises(DataError, match="no checkpoint at"):
        train(replace(config, resume=tmp_path / "none.pt"))
    own = tmp_path / "shards"
    own.mkdir()
    meta = (shards / "meta.json").read_text()
    (own / "meta.json").write_text(meta.replace('"fps": 25', '"fps": 30'))
    with pytest.raises(DataError, match="fps is 30, not 25"):
        train(replace(config, shards=own))
    (own / "meta.json").write_text(meta)
    with pytest.raises(DataError, match=r"train\.index is missing"):
        train(replace(config, shards=own))
    assert not (tmp_path / "out").exists()


def test_shards_without_pictures_cannot_teach_pixels(tmp_path: Path) -> None:
    own = make_shards(tmp_path / "shards", train=[made_sample("ann/1")])
    with pytest.raises(DataError, match="hold no pictures"):
        train(TrainConfig(own, tmp_path / "out", network="speech2vid", epochs=1, **QUICK), progress=False)
