"""The torch backend on a real GPU, where there is one. Needs no more than torch, onnx, onnxruntime and OpenCV; tests of
a network that encodes faces need what exports it."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from backend_comparison import close_to, copied, inputs

from s2v.engine.backends import bundled_model, open_backend
from s2v.engine.backends.model_file import ModelFile, read_model_file
from s2v.engine.backends.onnx import OnnxRuntimeGraph
from s2v.engine.backends.parity import compare, some_faces
from s2v.engine.backends.torch.backend import Precision, TorchBackend, open_on
from s2v.engine.backends.torch.device import TorchCudaDevice, Work

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

ROUNDED = 0.02  # float16 is off by less than half of it, and cuDNN's algorithms round in different ways


def opened(
    precision: Precision = "fp16",
    compiled: bool = False,
    device: TorchCudaDevice | None = None,
    model: ModelFile | None = None,
) -> TorchBackend:
    return open_on(model or bundled_model(), device or TorchCudaDevice(), precision, compiled)


@pytest.fixture
def backend() -> Iterator[TorchBackend]:
    one = opened()
    yield one
    one.close()


@pytest.fixture
def with_faces() -> Iterator[TorchBackend]:
    one = opened(model=model_with_faces())
    yield one
    one.close()


def model_with_faces() -> ModelFile:
    pytest.importorskip("onnxscript", reason="the small network that encodes faces is exported with it")
    from tiny_networks import tiny_model

    return read_model_file(tiny_model("speech2vid").path)


@pytest.mark.parametrize(
    ("precision", "compiled", "max_batch"), [("fp16", False, 8), ("fp32", False, 8), ("fp16", True, 4)]
)
def test_it_draws_what_onnxruntime_draws(
    precision: Precision, compiled: bool, max_batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = bundled_model()
    with caplog.at_level(logging.WARNING, logger="s2v"):
        backend = opened(precision, compiled)
        reference = OnnxRuntimeGraph(model.frame_graph, 1)
        found = compare(reference, backend.frame_graph, {}, model.spec, max_batch)
    assert not found.differs_visibly, found.as_text()
    if precision == "fp32":
        assert max(found.max_difference.values()) < 1e-3, "float32, not TF32"
    assert "no CUDA graph" not in caplog.text
    backend.close()


def test_faces_are_encoded_in_float32(with_faces: TorchBackend) -> None:
    reference = open_backend(model_with_faces().path, "onnxruntime")
    for face in some_faces(with_faces.spec):
        close_to(with_faces.encode_face(face), reference.encode_face(face), tolerance=1e-4)


def test_batches_of_any_size_are_padded_or_run_in_parts(backend: TorchBackend) -> None:
    reference = open_backend(None, "onnxruntime")
    identity, mfcc = inputs(backend, 12)
    wanted = copied(reference.infer(mfcc, identity))
    for batch in (5, 9, 100, 256, 300):
        rows = np.arange(batch) % 12
        found = backend.infer(mfcc[rows], {name: tensor[rows] for name, tensor in identity.items()})
        close_to(found, {name: tensor[rows] for name, tensor in wanted.items()}, tolerance=0.05)


def test_what_is_captured_computes_what_the_same_calls_compute(backend: TorchBackend) -> None:
    class Plain(TorchCudaDevice):
        """Captures nothing."""

        def capture(self, work: Work, exact: bool = False) -> Work:
            work()
            return work

    plain = opened(device=Plain())
    for batch in (1, 4, 7, 64):
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), plain.infer(mfcc, identity), tolerance=ROUNDED)
    plain.close()


def test_outputs_that_stay_on_the_gpu_are_there_for_what_is_queued_next(backend: TorchBackend) -> None:
    identity, mfcc = inputs(backend, 8)
    wanted = copied(backend.infer(mfcc, identity))
    found = []
    for row in range(8):  # nothing is waited for between the frames
        one = {name: rows[row : row + 1] for name, rows in identity.items()}
        views = backend.infer_resident(mfcc[row : row + 1], one)
        assert all(view.device.type == "cuda" for view in views.values())
        with backend.device.running():
            found.append({name: view.clone() for name, view in views.items()})
    backend.device.wait()
    for row, outputs in enumerate(found):
        one = {name: tensor.cpu().numpy() for name, tensor in outputs.items()}
        close_to(one, {name: rows[row : row + 1] for name, rows in wanted.items()}, tolerance=ROUNDED)


def test_more_faces_than_there_was_room_for(with_faces: TorchBackend) -> None:
    first, most = TorchCudaDevice().faces
    random = np.random.default_rng(0)
    base, _ = inputs(with_faces, 1)
    count = first + 40
    assert count <= most
    faces = {name: rows * random.uniform(0.9, 1.0, (count, *[1] * (rows.ndim - 1))) for name, rows in base.items()}
    identity = {name: rows.astype(np.float32) for name, rows in faces.items()}
    _, mfcc = inputs(with_faces, count)
    wanted = open_backend(model_with_faces().path, "onnxruntime").infer(mfcc, identity)
    for _ in range(2):
        close_to(with_faces.infer(mfcc, identity), wanted, tolerance=0.05)


def test_five_hundred_frames_and_twenty_openings_take_no_more_memory() -> None:
    held, resident = [], []
    for _ in range(20):
        backend = opened()
        identity, mfcc = inputs(backend, 8)
        for batch in (1, 3, 8):
            backend.infer(mfcc[:batch], {name: rows[:batch] for name, rows in identity.items()})
        before = torch.cuda.memory_allocated()
        for turn in range(25):
            batch = (1, 3, 8)[turn % 3]
            backend.infer(mfcc[:batch], {name: rows[:batch].copy() for name, rows in identity.items()})
        assert torch.cuda.memory_allocated() <= before
        assert backend.frame_graph.device_memory_bytes() > 0
        backend.close()
        del backend
        gc.collect()
        held.append(torch.cuda.mem_get_info()[0])
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE"))
    assert resident[-1] <= resident[4] + 256 * 2**20, "pinned memory of the host is used again, too"
    assert held[-1] >= held[4] - 32 * 2**20, "the first ones load kernels, which stay"


def test_five_hundred_frames_of_one_backend_take_no_more_memory(backend: TorchBackend) -> None:
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    before, free = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
    for _ in range(500):
        backend.infer(mfcc, identity)
    assert torch.cuda.memory_allocated() <= before
    assert torch.cuda.mem_get_info()[0] >= free - 8 * 2**20


def test_two_backends_on_two_threads_capture_and_draw_at_once() -> None:
    reference = open_backend(None, "onnxruntime")
    failures: list[BaseException] = []
    some = [inputs(reference, 6, seed) for seed in range(2)]
    wanted = [copied(reference.infer(mfcc, identity)) for identity, mfcc in some]

    def draw(number: int) -> None:
        try:
            backend = opened()
            identity, mfcc = some[number]
            for turn in range(200):
                batch = 1 + turn % 6
                found = backend.infer(mfcc[:batch], {name: rows[:batch] for name, rows in identity.items()})
                close_to(found, {name: rows[:batch] for name, rows in wanted[number].items()}, tolerance=0.05)
            backend.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures


def test_it_can_be_opened_on_one_thread_and_closed_on_another() -> None:
    made: list[TorchBackend] = []
    opening = threading.Thread(target=lambda: made.append(opened()))
    opening.start()
    opening.join(120)
    (backend,) = made
    identity, mfcc = inputs(backend, 2)
    kept = backend.infer(mfcc, identity)
    before = copied(kept)
    closing = threading.Thread(target=backend.close)
    closing.start()
    closing.join(120)
    close_to(kept, before)
    assert backend.frame_graph.device_memory_bytes() == 0


def test_the_network_takes_no_longer_than_the_whole_frame(backend: TorchBackend) -> None:
    identity, mfcc = inputs(backend, 1)
    tensors = {"mfcc": mfcc, **identity}
    whole, network = (
        float(np.median(times(tensors, 50))) for times in (backend.frame_graph.gpu_ms, backend.frame_graph.network_ms)
    )
    assert 0.005 < network < 50
    assert network < 1.2 * whole


def test_after_a_capture_that_failed_others_succeed_and_memory_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    device = TorchCudaDevice()
    with device.running():
        number, large = torch.zeros(1, device=device.device), 2**26

        def asks() -> None:
            torch.zeros(large, device=device.device)
            number.add_(1 + 0 * number.item())

        with caplog.at_level(logging.WARNING, logger="s2v"):
            again = device.capture(asks)
        assert "no CUDA graph" in caplog.text
        before = number.item()
        again()
        assert number.item() == before + 1, "it is done step by step"

        def doubles() -> None:
            number.mul_(2)

        captured = device.capture(doubles)
        assert isinstance(getattr(captured, "__self__", None), torch.cuda.CUDAGraph)
        doubled = 2 * number.item()
        captured()
        assert number.item() == doubled
    caplog.clear()
    device.release()
    assert not caplog.text
    backend = opened(device=device)
    backend.close()
    assert not caplog.text


def test_a_stream_is_used_again_when_its_device_is_gone() -> None:
    """cuBLAS keeps memory for each one."""
    first = TorchCudaDevice()
    assert first.stream is not None
    number = first.stream.cuda_stream
    second = TorchCudaDevice()
    assert second.stream is not None and second.stream.cuda_stream != number
    del first
    gc.collect()
    streams = []
    for _ in range(40):
        third = TorchCudaDevice()
        assert third.stream is not None
        streams.append(third.stream.cuda_stream)
        del third
    assert second.stream.cuda_stream not in streams
    assert len(set(streams)) == 1
