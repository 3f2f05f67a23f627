"""What every runtime must do alike; the same tests for each."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from tiny_networks import tiny_model, tiny_network

from s2v.engine.backends import BACKEND_NAMES, bundled_model, open_backend
from s2v.engine.backends import openvino as openvino_backend
from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.openvino import OpenVinoGraph
from s2v.engine.backends.registry import gpu_backends, open_auto
from s2v.errors import BackendError, ModelError
from s2v.spec import LipSyncSpec

openvino = pytest.importorskip("openvino", reason="openvino is not installed")

EXACT = ("onnxruntime", "openvino-f32", "torch-cpu")  # these compute in float32
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
NAMES = (*EXACT, *(["openvino-bf16"] if HAS_BF16 else []))


def inputs(spec: LipSyncSpec, batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(batch)
    face = random.random((1, 6, spec.face_px, spec.face_px), dtype=np.float32)
    return face, random.standard_normal((batch, 1, spec.n_cepstra, spec.n_columns), dtype=np.float32)


def repeated(identity: Tensors, batch: int) -> Tensors:
    return {name: np.repeat(tensor, batch, axis=0) for name, tensor in identity.items()}


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    opened = open_backend(tiny_model("s2v").path, request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_computes_what_torch_modules_compute(name: str, network: str) -> None:
    net = tiny_network(network)
    backend = open_backend(tiny_model(network).path, name)
    tolerance = 1e-5 if name in EXACT else 0.02  # bfloat16 keeps 8 bits
    for batch in (1, 4, 3, 1):
        face, mfcc = inputs(net.spec, batch)
        identity = backend.encode_face(face)
        with torch.inference_mode():
            wanted_identity = net.face_encoder(torch.from_numpy(face)) if net.face_encoder else ()
            parts = [part.repeat(batch, *[1] * (part.ndim - 1)) for part in wanted_identity]
            wanted = net.frame_decoder(torch.from_numpy(mfcc), *parts)
        assert identity.keys() == set(net.identity_names)
        for key, tensor in zip(net.identity_names, wanted_identity, strict=True):
            assert np.abs(identity[key] - tensor.numpy()).max() < 1e-5
        outputs = backend.infer(mfcc, repeated(identity, batch))
        assert outputs.keys() == set(net.output_names)
        for key, tensor in zip(net.output_names, wanted, strict=True):
            assert outputs[key].shape == tensor.shape
            assert outputs[key].dtype == np.float32
            assert np.abs(outputs[key] - tensor.numpy()).max() < tolerance
    backend.close()


def test_a_batch_is_its_frames(backend: Backend) -> None:
    face, mfcc = inputs(backend.spec, 5)
    identity = {name: tensor.copy() for name, tensor in backend.encode_face(face).items()}
    together = {name: rows.copy() for name, rows in backend.infer(mfcc, repeated(identity, 5)).items()}
    tolerance = 0.02 if backend.name == "openvino-bf16" else 1e-5
    for row in range(5):
        for name, alone in backend.infer(mfcc[row : row + 1], identity).items():
            assert np.abs(alone[0] - together[name][row]).max() < tolerance


def test_inputs_may_be_views_and_read_only(backend: Backend) -> None:
    face, mfcc = inputs(backend.spec, 2)
    identity = repeated(backend.encode_face(face), 2)
    wanted = {name: rows.copy() for name, rows in backend.infer(mfcc, identity).items()}
    strided = np.repeat(mfcc, 2, axis=3)[..., ::2]
    strided.flags.writeable = False
    before = mfcc.copy()
    for name, rows in backend.infer(strided, identity).items():
        assert np.array_equal(rows, wanted[name])
    assert np.array_equal(mfcc, before)


def test_wrong_shapes_name_the_input_what_came_and_what_is_wanted(backend: Backend) -> None:
    face, mfcc = inputs(backend.spec, 2)
    identity = repeated(backend.encode_face(face), 2)
    with pytest.raises(BackendError, match=r"input face has shape \(1, 6, 96, 96\), and wants \(1, 6, 112, 112\)"):
        backend.encode_face(np.zeros((1, 6, 96, 96), np.float32))
    with pytest.raises(BackendError, match=r"input face has shape \(2, 6"):
        backend.encode_face(np.zeros((2, 6, 112, 112), np.float32))
    with pytest.raises(BackendError, match=r"input mfcc has shape \(2, 1, 13, 34\), and wants \(2, 1, 13, 35\)"):
        backend.infer(mfcc[..., 1:], identity)
    with pytest.raises(BackendError, match=r"input mfcc has shape \(13, 35\)"):
        backend.infer(mfcc[0, 0], identity)
    with pytest.raises(BackendError, match=r"input mfcc has shape \(0, 1"):
        backend.infer(mfcc[:0], identity)
    with pytest.raises(BackendError, match="got inputs identity, mfcc and wants mfcc"):
        backend.infer(mfcc, {"identity": np.zeros((2, 16), np.float32)})


@pytest.mark.parametrize("name", NAMES)
def test_a_face_that_does_not_fit_is_named_like_any_input(name: str) -> None:
    backend = open_backend(tiny_model("speech2vid").path, name)
    face, mfcc = inputs(backend.spec, 2)
    identity = repeated(backend.encode_face(face), 2)
    with pytest.raises(BackendError, match=r"input face has shape \(1, 6, 96, 96\), and wants \(1, 6, 112, 112\)"):
        backend.encode_face(np.zeros((1, 6, 96, 96), np.float32))
    with pytest.raises(BackendError, match=r"input identity has shape \(1, 16\), and wants \(2, 16\)"):
        backend.infer(mfcc, {**identity, "identity": identity["identity"][:1]})
    with pytest.raises(BackendError, match="got inputs identity, mfcc and wants identity, mfcc, skip"):
        backend.infer(mfcc, {"identity": identity["identity"]})
    backend.close()


def test_wrong_kinds_of_numbers_are_refused(backend: Backend) -> None:
    face, mfcc = inputs(backend.spec, 1)
    identity = backend.encode_face(face)
    with pytest.raises(BackendError, match="input face is uint8, and wants float32"):
        backend.encode_face(face.astype(np.uint8))
    with pytest.raises(BackendError, match="input mfcc is float64"):
        backend.infer(mfcc.astype(np.float64), identity)
    with pytest.raises(BackendError, match="input mfcc is list"):
        backend.infer(mfcc.tolist(), identity)


def test_closing_is_safe_twice_and_nothing_runs_afterwards() -> None:
    for name in NAMES:
        backend = open_backend(tiny_model("s2v").path, name)
        face, mfcc = inputs(backend.spec, 1)
        identity = {key: tensor.copy() for key, tensor in backend.encode_face(face).items()}
        backend.close()
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            backend.encode_face(face)
        with pytest.raises(BackendError, match="closed"):
            backend.infer(mfcc, identity)


def test_the_name_says_what_really_runs() -> None:
    path = tiny_model("s2v").path
    assert open_backend(path, "onnxruntime").name == "onnxruntime-cpu"
    assert open_backend(path, "openvino-f32").name == "openvino-f32"
    assert open_backend(path, "openvino").name == "openvino-f32"
    found = open_backend(path, "openvino", fastest=True).name
    assert found in (["openvino-f32", "openvino-bf16"] if HAS_BF16 else ["openvino-f32"])
    assert open_backend(path, "torch-cpu").name == "torch-cpu"
    assert open_backend(path, "torch").name == ("torch-cuda" if torch.cuda.is_available() else "torch-cpu")


def test_bfloat16_by_name_is_bfloat16_or_refused() -> None:
    if HAS_BF16:
        backend = open_backend(tiny_model("s2v").path, "openvino-bf16")
        assert backend.name == "openvino-bf16"
        exact = open_backend(tiny_model("s2v").path, "openvino-f32")
        face, mfcc = inputs(backend.spec, 1)
        coarse, fine = (b.infer(mfcc, b.encode_face(face))["motion"].copy() for b in (backend, exact))
        assert not np.array_equal(coarse, fine)  # it really rounds
    else:
        with pytest.raises(BackendError, match="not bf16"):
            open_backend(tiny_model("s2v").path, "openvino-bf16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_by_name_is_never_quietly_the_cpu() -> None:
    for name in ("torch-cuda", "torch-cuda-fp32", "torch-cuda-compiled"):
        with pytest.raises(BackendError, match="no CUDA device"):
            open_backend(tiny_model("s2v").path, name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_auto_says_why_it_is_not_a_gpu_and_draws_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    backend = open_auto(bundled_model(), 1, ("torch-cuda",))
    assert backend.name.startswith(("openvino", "onnxruntime"))
    assert "backend auto: torch-cuda cannot be used: torch" in caplog.text


def test_auto_chooses_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="s2v"):
        first = open_backend(tiny_model("s2v").path)
        again = open_backend(tiny_model("s2v").path, "auto")
    assert first.name == again.name
    assert first.name.startswith("openvino-")
    said = [record.message for record in caplog.records if record.message.startswith("backend auto")]
    assert said in (["backend auto: chose openvino"], [])  # another test of this process may have been the first


@pytest.mark.skipif(bool(gpu_backends()), reason="this machine has an NVIDIA driver")
def test_auto_does_not_load_torch_where_no_nvidia_driver_is() -> None:
    program = "import sys; from s2v.engine.backends import open_backend as o; o(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_precision_is_tried_once_and_the_choice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="s2v"):
        path = tiny_model("speech2vid").path
        names = {open_backend(path, "openvino", threads=2, fastest=True).name for _ in range(3)}
    assert len(names) == 1
    said = [record.message for record in caplog.records if record.message.startswith("drawing live in")]
    assert len(said) == (1 if HAS_BF16 else 0)
    taken = {"openvino-f32": "float32", "openvino-bf16": "bfloat16"}[names.pop()]
    assert all(message.startswith(f"drawing live in {taken}, ") for message in said)


@pytest.mark.skipif(not HAS_BF16, reason="this processor has one precision only")
def test_the_clock_chooses_live_and_never_for_files(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine on which bfloat16 is the faster, whatever this one is like."""
    monkeypatch.setattr(openvino_backend, "_tried", {})
    monkeypatch.setattr(OpenVinoGraph, "frame_s", lambda graph: {"f32": 4e-4, "bf16": 2e-4}[graph.precision])
    path = tiny_model("s2v").path
    with caplog.at_level(logging.INFO, logger="s2v"):
        assert open_backend(path, "openvino", fastest=True).name == "openvino-bf16"
    assert "0.2 ms a frame instead of 0.4; --backend openvino-f32 draws as files are drawn" in caplog.text
    assert open_backend(path, "openvino").name == "openvino-f32"
    assert open_backend(path, "openvino-f32", fastest=True).name == "openvino-f32"


def test_unknown_names_and_thread_counts_are_refused() -> None:
    path = tiny_model("s2v").path
    with pytest.raises(BackendError, match="no backend is called 'cuda': choose one of auto, openvino"):
        open_backend(path, "cuda")
    with pytest.raises(BackendError, match="0 threads"):
        open_backend(path, threads=0)


def test_threads_do_not_change_what_is_drawn() -> None:
    face, mfcc = inputs(LipSyncSpec(), 2)
    for name in EXACT:
        one, two = (open_backend(tiny_model("s2v").path, name, threads=threads) for threads in (1, 2))
        drawn = [b.infer(mfcc, repeated(b.encode_face(face), 2)) for b in (one, two)]
        assert all(np.abs(drawn[0][key] - drawn[1][key]).max() < 1e-5 for key in drawn[0])


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_a_missing_model_is_a_model_error_whatever_the_runtime(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file at"):
        open_backend(tmp_path / "none.onnx", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_that_cannot_run_is_one_line(name: str, tmp_path: Path) -> None:
    model = onnx.load(tiny_model("s2v").path)
    del model.graph.initializer[:]
    path = tmp_path / "hollow.onnx"
    onnx.save(model, path)
    with pytest.raises((ModelError, BackendError)) as refusal:
        backend = open_backend(path, name)
        face, mfcc = inputs(backend.spec, 1)
        backend.infer(mfcc, backend.encode_face(face))
    assert "\n" not in str(refusal.value)


def test_a_graph_that_does_not_fit_its_spec_is_refused_at_opening(tmp_path: Path) -> None:
    model = onnx.load(tiny_model("s2v").path)
    for entry in model.metadata_props:
        if entry.key == "s2v_spec":
            entry.value = LipSyncSpec(n_motion=4).to_json()
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    for name in NAMES:
        with pytest.raises(ModelError, match=r"its frame graph gives.*motion.*is wanted: export it again"):
            open_backend(path, name)


def test_a_network_that_needs_a_face_is_refused_without_its_encoder(tmp_path: Path) -> None:
    model = onnx.load(tiny_model("speech2vid").path)
    (encoder,) = [entry for entry in model.metadata_props if entry.key == "s2v_face_encoder"]
    model.metadata_props.remove(encoder)
    path = tmp_path / "faceless.onnx"
    onnx.save(model, path)
    for name in NAMES:
        with pytest.raises(ModelError, match=r"its frame graph takes .*identity.*is wanted: export it again"):
            open_backend(path, name)


def test_the_bundled_model_is_small_says_where_it_comes_from_and_opens() -> None:
    model = bundled_model()
    assert model.spec.network == "s2v"
    assert model.path.stat().st_size < 20_000_000
    assert model.info.keys() >= {"licence", "train"}
    backend = open_backend(None, "onnxruntime")
    assert backend.spec == model.spec
    backend.close()
