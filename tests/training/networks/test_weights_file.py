"""Weights as a safetensors file: what `--init` begins with, and the ones that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch
from torch import nn

from s2v.bundled import BUNDLED_MODEL, BUNDLED_VOICE, BUNDLED_WEIGHTS
from s2v.engine.backends.model_file import read_model_file
from s2v.errors import DataError
from s2v.media.audio_file import read_audio
from s2v.spec import LipSyncSpec
from s2v.training.export.start_weights import MAX_DIFFERENCE, max_difference
from s2v.training.networks.model import MotionTract
from s2v.training.networks.weights_file import network_of_weights, read_info, save_weights

SPEC = replace(LipSyncSpec.of("s2v"), mfcc_mean=tuple(float(k) for k in range(13)))
TEXTS = {"licence": "Apache-2.0", "train": "somebody's voice", "model": "a test's"}


@pytest.fixture(scope="module")
def network() -> MotionTract:
    torch.manual_seed(0)
    return MotionTract(SPEC).eval()


def test_what_is_saved_comes_back_with_its_spec_and_texts(network: MotionTract, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "a.safetensors", TEXTS)
    again = network_of_weights(tmp_path / "a.safetensors")
    assert again.spec == SPEC and not again.training
    assert read_info(tmp_path / "a.safetensors") == TEXTS
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_halves_take_half_and_are_whole_numbers_again_when_read(network: MotionTract, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "whole.safetensors", TEXTS)
    save_weights(network, tmp_path / "half.safetensors", TEXTS, half=True)
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.52 * whole
    again = network_of_weights(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in again.parameters()} == {torch.float32}
    windows = torch.randn(5, 1, 13, 35, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            again.frame_decoder(windows)[0], network.frame_decoder(windows)[0], atol=2e-3, rtol=0
        )


def test_a_file_that_is_none_is_refused_in_one_line(network: MotionTract, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no weights at .*none\.safetensors: --init takes"):
        network_of_weights(tmp_path / "none.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.safetensors")
    with pytest.raises(DataError, match=r"pickle\.safetensors is not a safetensors file"):
        network_of_weights(tmp_path / "pickle.safetensors")
    whole = BUNDLED_WEIGHTS.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.safetensors is not a safetensors file"):
        network_of_weights(tmp_path / "cut.safetensors")


def test_weights_of_something_else_are_refused(network: MotionTract, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(network.state_dict(), tmp_path / "foreign.safetensors")
    with pytest.raises(DataError, match="holds no weights that s2v train can go on from"):
        network_of_weights(tmp_path / "foreign.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "less.safetensors", metadata={"s2v_spec": SPEC.to_json()})
    with pytest.raises(DataError, match=r"the weights of .*less\.safetensors do not fit network s2v"):
        network_of_weights(tmp_path / "less.safetensors")
    paper = LipSyncSpec.of("speech2vid").to_json()
    save_file({"a": torch.zeros(1)}, tmp_path / "paper.safetensors", metadata={"s2v_spec": paper})
    with pytest.raises(DataError, match="weights of network speech2vid, wanted s2v"):
        network_of_weights(tmp_path / "paper.safetensors")
    broken = {**network.state_dict(), "frame_decoder.motion.bias": torch.full((10,), float("nan"))}
    save_file(broken, tmp_path / "nan.safetensors", metadata={"s2v_spec": SPEC.to_json()})
    with pytest.raises(DataError, match="some of its weights are no numbers"):
        network_of_weights(tmp_path / "nan.safetensors")


def test_the_shipped_weights_compute_what_the_shipped_model_computes() -> None:
    shipped = network_of_weights(BUNDLED_WEIGHTS)
    assert shipped.spec == read_model_file(BUNDLED_MODEL).spec
    assert max_difference(BUNDLED_MODEL, shipped, read_audio(BUNDLED_VOICE).pcm_16k[:64_000]) < MAX_DIFFERENCE / 4


def test_the_shipped_weights_say_whose_they_are_and_can_be_trained() -> None:
    info = read_info(BUNDLED_WEIGHTS)
    assert info["licence"] == "Apache-2.0" and "CC BY 4.0" in info["train"]
    norms = [part for part in network_of_weights(BUNDLED_WEIGHTS).modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms and all(norm.running_var is not None and not (norm.running_var == 1).any() for norm in norms)
