"""A model file's weights, to go on training from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor, nn

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.export.export import export_network
from s2v.training.networks.folded import network_of_model_file, unfold_norms
from s2v.training.networks.model import MotionTract, TalkingNet

SPEC = replace(LipSyncSpec.of("s2v"), mfcc_mean=tuple(float(k) for k in range(13)))


def columns(seed: int) -> Tensor:
    return 1.5 * torch.randn(4, 4 * 29 + SPEC.n_columns, SPEC.n_cepstra, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def trained() -> MotionTract:
    """A network whose norms have seen something, as after training."""
    torch.manual_seed(0)
    network = MotionTract(SPEC)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    network.train()
    with torch.no_grad():
        for seed in range(40):
            network.frame_decoder.over(columns(seed))
    return network.eval()


@pytest.fixture(scope="module")
def file(trained: MotionTract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    network: TalkingNet = trained
    export_network(network, SPEC, path, {"licence": "none", "train": "nothing"})
    return path


def prediction(network: MotionTract, seed: int = 99) -> Tensor:
    with torch.no_grad():
        return torch.cat(network.frame_decoder.over(columns(seed)), -1)


def test_a_model_file_gives_back_its_network(trained: MotionTract, file: Path) -> None:
    network = network_of_model_file(file)
    assert network.spec == SPEC
    torch.testing.assert_close(prediction(network), prediction(trained), atol=2e-5, rtol=1e-4)


def test_unfolded_norms_say_the_same_and_can_be_trained(trained: MotionTract, file: Path) -> None:
    network = network_of_model_file(file)
    before = prediction(network)
    unfold_norms(network, [columns(seed) for seed in range(6)])
    torch.testing.assert_close(prediction(network), before, atol=2e-5, rtol=1e-4)
    network.train()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    # Statistics of the batch are nearly those stored, so training starts where the file ended.
    drift = float((prediction(network) - before).std() / before.std())
    assert drift < 0.3
    folded = network_of_model_file(file).train()
    for part in folded.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    assert float((prediction(folded) - before).std() / before.std()) > 2 * drift


def test_a_file_without_tract_variables_gets_fresh_ones(trained: MotionTract, file: Path, tmp_path: Path) -> None:
    """Files of 0.1: other names, no tract variables, a spec with other fields."""
    model = onnx.load(str(file))
    kept = [tensor for tensor in model.graph.initializer if ".tract." not in f".{tensor.name}"]
    for tensor in kept:
        tensor.name = tensor.name.replace("module.", "module.motion_net.").replace("net.motion.", "net.full.3.")
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for entry in model.metadata_props:
        if entry.key == "s2v_spec":
            entry.value = entry.value.replace('"automatic_gain": true', '"mouth_w_px": 160')
    onnx.save(model, str(tmp_path / "old.onnx"))
    network = network_of_model_file(tmp_path / "old.onnx")
    assert network.spec == replace(SPEC, automatic_gain=False)
    n = SPEC.n_motion
    torch.testing.assert_close(prediction(network)[..., :n], prediction(trained)[..., :n], atol=2e-5, rtol=1e-4)
    fresh, taken = (net.frame_decoder.tract.bias for net in (MotionTract(SPEC), network))
    assert fresh is not None and taken is not None and torch.equal(fresh, taken)


def test_what_is_no_such_file_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"\x08no model")
    with pytest.raises(DataError, match="is not a model file"):
        network_of_model_file(tmp_path / "none.onnx")
    model = onnx.load(str(file))
    short = [tensor for tensor in model.graph.initializer if "mix" not in tensor.name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(short)
    onnx.save(model, str(tmp_path / "short.onnx"))
    with pytest.raises(DataError, match=r"lacks mix\.0\.weight, mix\.1\.bias: it is of another"):
        network_of_model_file(tmp_path / "short.onnx")
