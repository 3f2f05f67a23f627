"""The torch backend on torch's CPU, as it is and behind a queue (`fake_torch_device`)."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from backend_comparison import close_to, copied, inputs
from fake_torch_device import QueueDevice
from tiny_networks import tiny_model

from s2v.engine.backends import bundled_model, open_backend
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.backends.half_precision import to_half
from s2v.engine.backends.model_file import ModelFile, read_model_file
from s2v.engine.backends.onnx import OnnxRuntimeGraph
from s2v.engine.backends.parity import compare, some_faces
from s2v.engine.backends.torch.backend import TorchBackend, open_on
from s2v.engine.backends.torch.device import TorchCpuDevice, TorchCudaDevice, TorchDevice, _cudnn
from s2v.engine.backends.torch.runner import Course, TorchRunner
from s2v.errors import BackendError, ModelError


def model(network: str = "s2v") -> ModelFile:
    return read_model_file(tiny_model(network).path)


def _face_graph() -> bytes:
    graph = model("speech2vid").face_graph
    assert graph is not None
    return graph


def opened(device: TorchCpuDevice | None = None, network: str = "s2v") -> TorchBackend:
    return open_on(model(network), device or QueueDevice(), "fp32")


@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_it_computes_what_onnxruntime_computes_for_every_batch(network: str) -> None:
    backend, reference = opened(network=network), open_backend(tiny_model(network).path, "onnxruntime")
    for batch in (1, 3, 5, 1, 8, 19):  # 5 is padded, 19 runs in parts
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))


def test_half_precision_of_the_bundled_model_is_what_the_eye_cannot_tell_from_float32() -> None:
    bundled = bundled_model()
    backend = open_on(bundled, QueueDevice(), "fp16")
    reference = OnnxRuntimeGraph(bundled.frame_graph, 1)
    found = compare(reference, backend.frame_graph, {}, bundled.spec, max_batch=3)
    assert not found.differs_visibly, found.as_text()
    assert found.max_difference["motion"] > 1e-5, "it is float16"
    assert backend.name == "torch-cpu-fp16"


def test_faces_are_encoded_in_float32_also_where_frames_are_not() -> None:
    with_faces = model("speech2vid")
    backend, encoder = open_on(with_faces, QueueDevice(), "fp16"), OnnxRuntimeGraph(_face_graph(), 1)
    for face in some_faces(with_faces.spec, 2):
        close_to(backend.encode_face(face), encoder.run({"face": face}))


def test_a_frame_is_one_launch_and_one_wait_and_captured_once_a_size() -> None:
    device = QueueDevice(faces=(3, 8))
    backend = opened(device, "speech2vid")
    identity, mfcc = inputs(backend, 3)
    for batch in (1, 2, 3, 1, 2, 3):
        backend.infer(mfcc[:batch], {name: rows[:batch] for name, rows in identity.items()})
    assert device.captures == 3
    device.waits = 0
    backend.infer(mfcc, identity)
    assert (device.captures, device.waits) == (3, 1)
    other, mfcc = inputs(backend, 1, seed=9)
    backend.infer(mfcc, other)
    assert device.captures == 4, "the fourth face made the bank grow: what was captured reads the old one"


def test_outputs_can_stay_on_the_device_and_a_call_waits_until_the_one_before_has_read_its_windows() -> None:
    backend, reference = opened(), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(backend, 2)
    wanted = copied(reference.infer(mfcc, identity))
    one = {name: rows[:1] for name, rows in identity.items()}
    backend.infer_resident(np.zeros_like(mfcc[:1]), one)  # captured, with something else in all memory
    backend.device.wait()
    first = backend.infer_resident(mfcc[:1], one)
    second = backend.infer_resident(mfcc[1:], {name: rows[1:] for name, rows in identity.items()})
    assert all(first[name].data_ptr() == second[name].data_ptr() for name in first), "always the same memory"
    close_to({name: tensor.numpy() for name, tensor in first.items()}, {n: rows[:1] for n, rows in wanted.items()})
    backend.device.wait()
    close_to({name: tensor.numpy() for name, tensor in second.items()}, {n: rows[1:] for n, rows in wanted.items()})
    assert all(tensor.is_contiguous() and tensor.dtype == torch.float32 for tensor in second.values())
    with pytest.raises(BackendError, match="batch of 9 is more than the 8"):
        backend.infer_resident(np.repeat(mfcc[:1], 9, axis=0), {n: np.repeat(r, 9, axis=0) for n, r in one.items()})


def test_faces_of_several_sessions_are_brought_once_in_whatever_order_they_speak() -> None:
    backend, reference = opened(network="speech2vid"), open_backend(tiny_model("speech2vid").path, "onnxruntime")
    sessions = [inputs(backend, 1, seed) for seed in range(5)]
    wanted = [copied(reference.infer(mfcc, identity)) for identity, mfcc in sessions]
    random = np.random.default_rng(1)
    for _ in range(20):
        numbers = [int(n) for n in random.integers(0, 5, random.integers(1, 9))]
        found = backend.infer_parts([(sessions[n][1], sessions[n][0]) for n in numbers])
        for row, number in enumerate(numbers):
            close_to({name: rows[row : row + 1] for name, rows in found.items()}, wanted[number])
    assert backend.frame_graph._slots.new_faces == 5


def test_more_faces_than_there_is_room_for_come_and_go() -> None:
    device = QueueDevice(most_rows=4, faces=(1, 4))
    backend, reference = opened(device, "speech2vid"), open_backend(tiny_model("speech2vid").path, "onnxruntime")
    sessions = [inputs(backend, 1, seed) for seed in range(9)]
    for number in (0, 1, 2, 3, 4, 5, 0, 8, 7, 0, 1):
        identity, mfcc = sessions[number]
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))
    assert backend.frame_graph._slots.count == 4


def test_one_row_for_many_frames_is_one_face() -> None:
    backend, reference = opened(network="speech2vid"), open_backend(tiny_model("speech2vid").path, "onnxruntime")
    identity, mfcc = inputs(backend, 8)
    one = {name: rows[:1].copy() for name, rows in identity.items()}
    for batch in (8, 3, 1, 5):
        views = {name: np.broadcast_to(row, (8, *row.shape[1:]))[:batch] for name, row in one.items()}
        close_to(backend.infer(mfcc[:batch], views), reference.infer(mfcc[:batch], views))
    assert backend.frame_graph._slots.new_faces == 1


def test_it_runs_behind_the_batcher_which_prepares_the_sizes_that_it_has() -> None:
    device = QueueDevice(most_rows=4)
    batching = BatchingBackend(lambda: opened(device))
    assert device.captures == len(device.batch_sizes)
    view, reference = batching.view(), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(view, 2)
    close_to(view.infer(mfcc, identity), reference.infer(mfcc, identity))
    assert device.captures == len(device.batch_sizes)
    batching.close()


def test_a_size_is_compiled_once_whatever_is_captured_of_it() -> None:
    """It takes seconds, and faces that need more room do not change it."""
    runner = TorchRunner(model().frame_graph, QueueDevice(most_rows=24), compiled=True)
    assert runner.batch_sizes == (1, 4, 16, 24)
    courses: list[tuple[int, Course]] = [(4, "whole"), (4, "up"), (4, "network"), (1, "whole")]
    works = [runner._work(*course) for course in courses]
    first, *others, alone = [inspect.getclosurevars(work).nonlocals["compute"] for work in works]
    assert all(other is first for other in others)
    assert alone is not first
    runner.close()


def test_closing_lets_everything_go_on_any_thread_and_outputs_stay_readable() -> None:
    device = QueueDevice()
    backend = opened(device)
    identity, mfcc = inputs(backend, 2)
    found = backend.infer(mfcc, identity)
    kept = copied(found)
    bank = weakref.ref(backend.frame_graph._bank)
    closing = threading.Thread(target=backend.close)
    closing.start()
    closing.join(20)
    backend.close()
    assert bank() is None, "without the garbage collector: GPU memory must not wait for it"
    close_to(found, kept)
    for call in (backend.infer, backend.infer_resident):
        with pytest.raises(BackendError, match="closed"):
            call(mfcc, identity)
    assert backend.frame_graph.device_memory_bytes() == 0


def test_a_backend_that_is_dropped_is_gone_at_once() -> None:
    backend = opened()
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    runner = weakref.ref(backend.frame_graph)
    gc.disable()
    try:
        del backend
        assert runner() is None
    finally:
        gc.enable()


def test_times_are_of_runs_of_the_same_work() -> None:
    backend = opened(TorchCpuDevice())
    identity, mfcc = inputs(backend, 2)
    tensors = {"mfcc": mfcc, **identity}
    for times in (backend.frame_graph.gpu_ms(tensors, 7), backend.frame_graph.network_ms(tensors, 7)):
        assert len(times) == 7 and min(times) > 0
    with pytest.raises(BackendError, match="batch of 9 is more than the 8"):
        backend.frame_graph.gpu_ms({name: np.repeat(rows[:1], 9, axis=0) for name, rows in tensors.items()}, 1)


def test_device_memory_counts_the_outputs_of_every_batch_size() -> None:
    few, many = (opened(QueueDevice(most_rows=rows)).frame_graph for rows in (1, 8))
    assert len(many.outputs) == 2
    output_bytes = sum(4 * int(np.prod(shape)) for shape in many.outputs.values())
    assert many.device_memory_bytes() - few.device_memory_bytes() > 7 * output_bytes


def test_what_is_not_a_graph_of_ours_is_refused() -> None:
    fits = model()
    with pytest.raises(ModelError, match="its frame graph takes"):
        open_on(ModelFile(fits.path, fits.spec, model("speech2vid").frame_graph, None, {}), QueueDevice(), "fp32")
    with pytest.raises(BackendError, match="takes face and no mfcc"):
        TorchRunner(_face_graph(), QueueDevice())
    with pytest.raises(ModelError, match="torch cannot load"):
        open_on(ModelFile(fits.path, fits.spec, fits.frame_graph, b"nothing", {}), QueueDevice(), "fp32")


@pytest.mark.skipif(find_spec("triton") is not None, reason="triton is installed")
def test_a_compiler_that_is_missing_is_told_when_it_is_opened() -> None:
    class OnAGpu(QueueDevice):
        """Needs triton, as a GPU does."""

        def __init__(self) -> None:
            super().__init__()
            self.stream = object()  # type: ignore[assignment]

    with pytest.raises(BackendError, match="pip install triton, or choose torch-cuda"):
        open_on(model(), OnAGpu(), "fp16", compiled=True)


def test_half_precision_is_the_numerics_of_the_tensorrt_engine() -> None:
    """Both run the graph that `to_half` makes: what ONNX Runtime gives for it is what torch gives for it."""
    fits = model()
    backend, halved = open_on(fits, QueueDevice(), "fp16"), OnnxRuntimeGraph(to_half(fits.frame_graph), 1)
    identity, mfcc = inputs(backend, 2)
    found, wanted = backend.infer(mfcc, identity), halved.run({"mfcc": mfcc, **identity})
    close_to(found, wanted, tolerance=2e-3)


def test_both_devices_have_what_the_protocol_asks_for() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}

    assert methods(TorchCudaDevice) == methods(TorchCpuDevice) == methods(TorchDevice)


def test_cudnn_is_left_as_it_was_also_after_a_failure() -> None:
    cudnn: Any = torch.backends.cudnn  # not all that is in it is declared
    before = cudnn.benchmark, cudnn.conv.fp32_precision
    with pytest.raises(KeyError), _cudnn(searching=not before[0], exact=True):
        assert cudnn.benchmark is not before[0]
        assert cudnn.conv.fp32_precision == "ieee"
        raise KeyError
    assert before == (cudnn.benchmark, cudnn.conv.fp32_precision)
