from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.engine.face.enrolment import network_input
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionMouth, TalkingNet, build_network, load_checkpoint, read_checkpoint
from s2v.training.train.batches import load_split, windows_of
from s2v.training.train.config import TrainConfig
from s2v.training.train.loop import train
from s2v.training.train.losses import MotionLoss, mouth_loss
from s2v.training.train.mouth_training import face_input
from s2v.training.train.picture_batches import picture_batch

# The tiny shards hold one clip and six pictures: one motion step makes an epoch, and three mouth steps of two.


@pytest.fixture(scope="module")
def motion_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of 12 steps of the motion part."""
    out = tmp_path_factory.mktemp("motion")
    config = TrainConfig(shards, out, parts=("motion",), epochs=12, rows=1)
    assert train(config, progress=False) == out / "last.pt"
    return config


@pytest.fixture(scope="module")
def mouth_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of 18 steps of the mouth part."""
    config = TrainConfig(shards, tmp_path_factory.mktemp("mouth"), parts=("mouth",), epochs=6, batch=2)
    train(config, progress=False)
    return config


def untrained(config: TrainConfig) -> TalkingNet:
    """The network as the run began with it."""
    spec = LipSyncSpec.from_json(read_checkpoint(config.out / "last.pt")["spec"])
    torch.manual_seed(config.seed)
    return build_network(spec).eval()


def motion_mouth(net: TalkingNet) -> MotionMouth:
    assert isinstance(net, MotionMouth)
    return net


def part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    is_motion = {key: key.startswith("frame_decoder.motion_net") for key in weights}
    return {key: value for key, value in weights.items() if is_motion[key] == (name == "motion")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_few_steps_bring_the_motion_nearer_to_the_truth(motion_run: TrainConfig) -> None:
    trained = load_checkpoint(motion_run.out / "last.pt")
    (clip,), _ = load_split(motion_run.shards, "train", pictures=False)
    windows, true = torch.from_numpy(windows_of(clip, trained.spec)), torch.from_numpy(clip.motion)
    cost = MotionLoss(trained.spec)
    with torch.no_grad():
        before, after = (
            float(cost(motion_mouth(net).frame_decoder.motion_net(windows), true, torch.arange(len(true)) > 0))
            for net in (untrained(motion_run), trained)
        )
    assert after < 0.9 * before


def test_a_few_steps_bring_the_mouth_nearer_to_the_truth(mouth_run: TrainConfig) -> None:
    trained = load_checkpoint(mouth_run.out / "last.pt")
    _, pictures = load_split(mouth_run.shards, "train")
    batch = picture_batch(pictures, np.arange(len(pictures)), rng=None)
    face = face_input(batch["reference"], batch["reference"])
    costs = []
    for net in (untrained(mouth_run), trained):
        net.train()  # batch statistics: the running ones of so short a run are not there yet
        with torch.no_grad():
            mouth = motion_mouth(net).frame_decoder.mouth_decoder(batch["motion"], *net.face_encoder(face))
            costs.append(float(mouth_loss(mouth, batch)))
    assert costs[1] < 0.9 * costs[0]


def test_a_mouth_run_goes_on_with_the_teeth_it_had(mouth_run: TrainConfig, tmp_path: Path) -> None:
    before = read_checkpoint(mouth_run.out / "last.pt")
    _, pictures = load_split(mouth_run.shards, "train")
    assert len(before["memory"]["own.weight"]) == len(pictures.names) == 2
    assert before["memory"]["own.weight"].any()
    more = replace(mouth_run, out=tmp_path, epochs=mouth_run.epochs + 1, resume=(mouth_run.out / "last.pt",))
    after = read_checkpoint(train(more, progress=False))
    moved = (after["memory"]["own.weight"].float() - before["memory"]["own.weight"].float()).abs().max()
    assert 0 < moved < 0.5 * before["memory"]["own.weight"].float().abs().max()


def test_training_a_part_leaves_the_other_as_it_was(motion_run: TrainConfig, mouth_run: TrainConfig) -> None:
    for run, trained, other in ((motion_run, "motion", "mouth"), (mouth_run, "mouth", "motion")):
        before, after = untrained(run).state_dict(), read_checkpoint(run.out / "last.pt")["weights"]
        assert same(part(after, other), part(before, other))
        assert not same(part(after, trained), part(before, trained))


def test_parts_trained_apart_are_joined(motion_run: TrainConfig, mouth_run: TrainConfig, tmp_path: Path) -> None:
    halves = [run.out / "last.pt" for run in (motion_run, mouth_run)]
    joined = replace(mouth_run, out=tmp_path, resume=tuple(halves))
    weights = read_checkpoint(train(joined, progress=False))["weights"]
    motion, mouth = (read_checkpoint(path)["weights"] for path in halves)
    assert same(part(weights, "motion"), part(motion, "motion"))
    assert same(part(weights, "mouth"), part(mouth, "mouth"))
    assert read_checkpoint(tmp_path / "last.pt")["steps"] == {"motion": 12, "mouth": 18}
    assert same(load_checkpoint(*halves).state_dict(), weights)  # as `s2v export` joins them
    assert same(load_checkpoint(*reversed(halves)).state_dict(), weights)


def test_the_record_tells_whether_motion_follows_voices(motion_run: TrainConfig) -> None:
    history = json.loads((motion_run.out / "history.json").read_text())
    assert [record["step"] for record in history] == list(range(1, 13))
    assert {record["part"] for record in history} == {"motion"}
    assert all(record["loss"] > 0 for record in history)
    for split in ("held", "val"):
        assert history[-1][split]["clips"] == 1
        assert -1 <= history[-1][split]["first_component"] <= 1
    assert sorted(path.name for path in motion_run.out.iterdir()) == ["history.json", "last.pt"]


def test_a_run_goes_on_where_it_stopped(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, parts=("motion",), epochs=2, rows=1)
    first = read_checkpoint(train(config, progress=False))
    shutil.copy(tmp_path / "last.pt", tmp_path / "first.pt")
    more = read_checkpoint(train(replace(config, epochs=4, resume=(tmp_path / "first.pt",)), progress=False))
    assert (first["steps"], more["steps"]) == ({"motion": 2}, {"motion": 4})
    assert [record["step"] for record in more["history"]] == [1, 2, 3, 4]
    again = read_checkpoint(train(replace(config, epochs=4, resume=(tmp_path / "last.pt",)), progress=False))
    assert same(again["weights"], more["weights"])  # nothing left to do
    assert more["config"]["epochs"] == "4"
    # The optimiser went on too: its moments have seen all four steps.
    taken = {float(moments["step"]) for moments in more["moments"]["motion"]["state"].values()}
    assert taken == {4.0}


def test_the_same_seed_gives_the_same_weights(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, epochs=1, batch=2, rows=1)
    runs = [
        read_checkpoint(train(replace(config, out=tmp_path / str(number), seed=seed), progress=False))["weights"]
        for number, seed in enumerate((3, 3, 4))
    ]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_papers_network_is_trained_by_the_same_command(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path, network="speech2vid", epochs=1, batch=3)
    state = read_checkpoint(train(config, progress=False))
    assert state["steps"] == {"pixels": 2}
    assert state["history"][-1]["part"] == "pixels" and np.isfinite(state["history"][-1]["loss"])
    before, after = untrained(config).state_dict(), state["weights"]
    assert not torch.equal(before["frame_decoder.out.weight"], after["frame_decoder.out.weight"])
    assert not torch.equal(before["face_encoder.to_56.0.weight"], after["face_encoder.to_56.0.weight"])
    (tmp_path / "last.pt").rename(tmp_path / "paper.pt")
    with pytest.raises(DataError, match=r"part pixels was trained for another spec \(network speech2vid; "):
        train(TrainConfig(shards, tmp_path, resume=(tmp_path / "paper.pt",)), progress=False)


def test_training_and_engine_mask_a_face_alike() -> None:
    rng = np.random.default_rng(0)
    target, reference = rng.integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    tensors = [torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255 for face in (target, reference)]
    np.testing.assert_array_equal(face_input(*tensors).numpy(), network_input(target, reference))


def test_what_cannot_be_trained_is_refused(shards: Path, tmp_path: Path) -> None:
    config = TrainConfig(shards, tmp_path / "out", epochs=1)
    with pytest.raises(DataError, match="network s2v has no part pixels: it has motion, mouth"):
        train(replace(config, parts=("pixels",)))
    with pytest.raises(DataError, match=r"this machine has .* CUDA GPUs; leave it out for the CPU"):
        train(replace(config, gpu=99))
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        train(replace(config, shards=tmp_path))
    with pytest.raises(DataError, match="no checkpoint at"):
        train(replace(config, resume=(tmp_path / "none.pt",)))
    own = tmp_path / "shards"
    own.mkdir()
    meta = (shards / "meta.json").read_text()
    (own / "meta.json").write_text(meta.replace('"fps": 25', '"fps": 30'))
    with pytest.raises(DataError, match="fps is 30, not 25"):
        train(replace(config, shards=own))
    (own / "meta.json").write_text(meta)
    with pytest.raises(DataError, match=r"no train-\*\.npz"):
        train(replace(config, shards=own))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_shards_without_pictures_cannot_teach_a_mouth(
    shards: Path, tmp_path: Path, network: Literal["s2v", "speech2vid"]
) -> None:
    own = tmp_path / "shards"
    own.mkdir()
    shutil.copy(shards / "meta.json", own)
    stored = dict(np.load(shards / "train-0000.npz"))
    stills = stored["picture_where"][:, 0] < 0
    kept = {key: value[stills] if key.startswith("picture_") else value for key, value in stored.items()}
    if network == "s2v":
        kept = {key: value for key, value in stored.items() if not key.startswith("picture_")}
    np.savez(own / "train-0000.npz", **kept)
    with pytest.raises(DataError, match="hold no pictures"):
        train(TrainConfig(own, tmp_path / "out", network=network, epochs=1, rows=1), progress=False)
