from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from tiny_networks import INFO, TinyFaceEncoder, TinyNet, tiny_model, tiny_network
from torch import Tensor, nn

from s2v.engine.backends import open_backend
from s2v.engine.backends.model_file import read_model_file
from s2v.errors import DataError, ModelError, OutputError
from s2v.spec import LipSyncSpec
from s2v.training.export.export import MAX_DIFFERENCE, export_model, export_network, max_difference, random_inputs
from s2v.training.networks.model import build_network, save_checkpoint


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_the_file_carries_the_graphs_the_spec_and_the_texts(network: str) -> None:
    report = tiny_model(network)
    model = read_model_file(report.path)
    assert (model.face_graph is None) == (network == "s2v")
    assert model.spec == tiny_network(network).spec
    assert model.info == INFO
    assert report.n_bytes == report.path.stat().st_size
    assert report.distributable
    assert report.n_parameters == sum(p.numel() for p in tiny_network(network).parameters())
    assert 0 <= report.max_difference < 1e-5
    assert {"Conv", "Gemm"} <= set(report.operators)


def test_a_file_too_large_for_the_package_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = tiny_network("s2v")
    n_motion = net.spec.n_motion
    net.frame_decoder.motion = nn.Sequential(nn.Linear(16, 200_000), nn.ReLU(), nn.Linear(200_000, n_motion))
    with caplog.at_level("WARNING", "s2v"):
        report = export_network(net.eval(), net.spec, tmp_path / "model.onnx", INFO)
    assert not report.distributable
    assert "model.onnx has 22 MB; a model that comes with the package has less than 20" in caplog.text


def face_graph_of(path: Path) -> bytes:
    graph = read_model_file(path).face_graph
    assert graph is not None
    return graph


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_any_onnx_tool_opens_the_file_and_finds_free_batch_sizes(network: str) -> None:
    whole = onnx.load(tiny_model(network).path)
    models, identity = [whole], []
    if network == "speech2vid":
        models.append(onnx.load_model_from_string(face_graph_of(tiny_model(network).path)))
        identity = ["identity", "skip"]
        assert [value.name for value in models[1].graph.output] == identity
    for model in models:
        onnx.checker.check_model(model, full_check=True)
        assert {opset.version for opset in model.opset_import if opset.domain == ""} == {18}
        assert all(opset.domain == "" for opset in model.opset_import)  # standard operators only
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_param
    assert [value.name for value in whole.graph.input] == ["mfcc", *identity]


def test_nothing_of_this_machine_is_in_the_file() -> None:
    model = read_model_file(tiny_model("speech2vid").path)
    for graph in (model.frame_graph, face_graph_of(model.path)):
        for words in (b".py", b"site-packages", str(Path(__file__).parent).encode(), str(Path.home()).encode() + b"/"):
            assert words not in graph


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_a_file_cut_short_anywhere_is_refused(network: str, tmp_path: Path) -> None:
    """The spec comes last, whether or not there is a face encoder."""
    data = tiny_model(network).path.read_bytes()
    last = len(data) - data.rindex(b"s2v_spec")
    for missing in (1, last // 2, last, last + 1, last + 20, last + 200):
        (tmp_path / "cut.onnx").write_bytes(data[:-missing])
        with pytest.raises(ModelError):
            read_model_file(tmp_path / "cut.onnx")


class Corrupted(nn.Module):
    """Computes something else while it is exported, as a branch that the exporter froze would."""

    def __init__(self, module: nn.Module, error: float) -> None:
        super().__init__()
        self.module, self.error = module, error

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        motion, tract = self.module(*inputs)
        return motion, tract + (self.error if torch.compiler.is_exporting() else 0.0)


def test_a_file_that_differs_from_torch_is_not_kept(tmp_path: Path) -> None:
    net = tiny_network("s2v")
    net.frame_decoder = Corrupted(net.frame_decoder, 2 * MAX_DIFFERENCE)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"the one from before")
    with pytest.raises(ModelError, match="differs from torch by"):
        export_network(net, net.spec, out, INFO)
    assert out.read_bytes() == b"the one from before"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("error", "low", "high"), [(0.01, 0.009, 0.02), (float("nan"), float("inf"), float("inf"))])
def test_parity_sees_wrong_weights(error: float, low: float, high: float) -> None:
    net = tiny_network("speech2vid")
    with torch.no_grad():
        assert isinstance(net.face_encoder, TinyFaceEncoder)
        net.face_encoder.last.bias[3] += error
    assert low <= max_difference(net, tiny_model("speech2vid").path) <= high


def test_a_network_that_does_not_fit_its_spec_is_refused(tmp_path: Path) -> None:
    net = tiny_network("s2v")
    wrong = TinyNet(LipSyncSpec(n_motion=4), net.frame_decoder).eval()
    with pytest.raises(ModelError, match=r"'motion': \(10,\).*wants \{'motion': \(4,\)"):
        export_network(wrong, wrong.spec, tmp_path / "model.onnx", INFO)
    net.output_names = ("motion",)
    with pytest.raises(ModelError, match="gives 2 tensors"):
        export_network(net, net.spec, tmp_path / "model.onnx", INFO)
    assert not list(tmp_path.iterdir())


def test_names_must_match_the_tensors_before_anything_is_written(tmp_path: Path) -> None:
    for network, names, n in (("speech2vid", ("identity",), 2), ("s2v", ("identity",), 0)):
        net = tiny_network(network)
        net.identity_names = names
        with pytest.raises(ModelError, match=rf"encoded as {n} tensors for the names \('identity',\)"):
            export_network(net, net.spec, tmp_path / "model.onnx", INFO)


def test_texts_cannot_replace_the_spec(tmp_path: Path) -> None:
    net = tiny_network("s2v")
    with pytest.raises(ModelError, match="written by the export itself"):
        export_network(net, net.spec, tmp_path / "model.onnx", {"spec": "{}"})


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    net = tiny_network("s2v")
    with pytest.raises(OutputError, match="there is no folder"):
        export_network(net, net.spec, tmp_path / "none" / "model.onnx", INFO)


def test_missing_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint"):
        export_model(tmp_path / "none.pt", tmp_path / "model.onnx")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(DataError, match="not a checkpoint"):
        export_model(tmp_path / "text.pt", tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["text.pt"]


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_a_checkpoint_of_the_real_network_becomes_a_model_that_runs(
    network: Literal["s2v", "speech2vid"], tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = build_network(LipSyncSpec.of(network, look_ahead_s=0.04), width=1.0 if network == "s2v" else 0.125).eval()
    save_checkpoint(net, tmp_path / "net.pt", steps=7)
    with pytest.raises(OutputError, match="is the checkpoint itself"):
        export_model(tmp_path / "net.pt", tmp_path / "net.pt")
    report = export_model(tmp_path / "net.pt", tmp_path / "model.onnx", INFO)
    assert report.distributable
    model = read_model_file(report.path)
    assert (model.spec, model.info) == (net.spec, INFO)
    entries = {entry.key: entry.value for entry in onnx.load(report.path).metadata_props}
    encoder = entries.get("s2v_face_encoder")
    assert model.face_graph == (None if encoder is None else base64.b64decode(encoder))

    face, mfcc = random_inputs(net.spec, batch=1, seed=9)
    with torch.inference_mode():
        wanted = net.frame_decoder(mfcc, *(net.face_encoder(face) if net.face_encoder else ()))
    for name in ("onnxruntime", "openvino-f32", "torch-cpu"):
        backend = open_backend(report.path, name)
        drawn = backend.infer(mfcc.numpy(), backend.encode_face(face.numpy()))
        for key, tensor in zip(net.output_names, wanted, strict=True):
            assert np.abs(drawn[key] - tensor.numpy()).max() < 1e-4
        backend.close()
