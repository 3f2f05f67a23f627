"""Beginning with weights that are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.export.export import export_network
from s2v.training.networks.model import MotionTract, TalkingNet, save_checkpoint
from s2v.training.networks.weights_file import save_weights
from s2v.training.train.batches import Clip, by_voice, measured, unknown_tract
from s2v.training.train.start import network_to_start_from

WANTED = LipSyncSpec.of("s2v")
OLD = replace(WANTED, automatic_gain=False, mfcc_mean=(-3.0,) * 13, mfcc_std=(9.0,) * 13)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Quiet syllables, which an automatic gain makes louder."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(3):
        sound = rng.standard_normal(64_000) * 0.01 * (np.arange(64_000) % 4800 < 3200) + 1e-4 * rng.standard_normal(
            64_000
        )
        motion = np.zeros((100, WANTED.n_motion), np.float32)
        made.append(Clip(f"clip{number}", sound.astype(np.float32), motion, motion[:, 0], unknown_tract(100)))
    return made


def saved(spec: LipSyncSpec, path: Path) -> TalkingNet:
    torch.manual_seed(5)
    network = MotionTract(spec).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.bias)
    if path.suffix == ".onnx":
        export_network(network, spec, path, {"licence": "none", "train": "nothing"})
    else:
        save_checkpoint(network, path) if path.suffix == ".pt" else save_weights(network, path, {})
    return network


def prediction(network: TalkingNet) -> torch.Tensor:
    assert isinstance(network, MotionTract)
    windows = torch.randn(5, 1, 13, 35, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        motion: torch.Tensor = network.eval().frame_decoder(windows)[0]
    return motion


def test_a_model_file_keeps_its_scale_and_hears_the_mean_behind_the_gain(clips: list[Clip], tmp_path: Path) -> None:
    before = saved(OLD, tmp_path / "old.onnx")
    network = network_to_start_from(tmp_path / "old.onnx", WANTED, clips, by_voice(clips, []), seed=0)
    louder = measured(replace(OLD, automatic_gain=True), clips)
    assert network.spec == replace(OLD, automatic_gain=True, mfcc_mean=louder.mfcc_mean)
    assert network.frame_decoder.spec == network.spec  # by which the head of the tract is fitted
    assert louder.mfcc_mean[0] > measured(OLD, clips).mfcc_mean[0] + 1  # the gain was heard
    torch.testing.assert_close(prediction(network), prediction(before), atol=1e-5, rtol=1e-4)
    again = network_to_start_from(tmp_path / "old.onnx", WANTED, clips, by_voice(clips, []), seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["one.pt", "one.safetensors"])
def test_a_checkpoint_or_a_file_of_weights_is_taken_as_it_is(clips: list[Clip], tmp_path: Path, name: str) -> None:
    spec = replace(OLD, automatic_gain=True)
    before = saved(spec, tmp_path / name)
    network = network_to_start_from(tmp_path / name, WANTED, clips, by_voice(clips, []), seed=0)
    assert network.spec == spec
    assert torch.equal(prediction(network), prediction(before))


@pytest.mark.parametrize("name", ["other.pt", "other.onnx", "other.safetensors"])
def test_one_that_hears_something_else_is_refused(clips: list[Clip], tmp_path: Path, name: str) -> None:
    saved(replace(OLD, automatic_gain=True, look_ahead_s=0.04), tmp_path / name)
    with pytest.raises(DataError, match=r"other\.\w+ was made for another spec than this training's"):
        network_to_start_from(tmp_path / name, WANTED, clips, by_voice(clips, []), seed=0)
