"""The TensorRT backend on a GPU that is none (`fake_tensorrt_machine`)."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the small test model is exported with torch")

from backend_comparison import close_to, copied, inputs
from fake_cuda import FakeDevice
from fake_tensorrt_machine import Machine, model, real_gpu
from tiny_networks import tiny_model

from s2v.engine.backends import open_backend
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.backends.registry import open_auto
from s2v.engine.backends.tensorrt.engine import EngineRefused
from s2v.engine.backends.tensorrt.runner import TensorRTGraph
from s2v.errors import BackendError

WITH_FACES = model("speech2vid")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("rtx", [False, True])
@pytest.mark.parametrize("network", ["s2v", "speech2vid"])
def test_it_computes_what_onnxruntime_computes_for_every_batch(network: str, rtx: bool, tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx)
    backend, reference = machine.open(model(network)), open_backend(tiny_model(network).path, "onnxruntime")
    for batch in (1, 3, 4, 1, 2, 3):
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))
    backend.close()


def test_a_batch_beyond_the_engine_runs_in_parts(machine: Machine) -> None:
    backend, reference = machine.open(max_batch=3), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(backend, 8)
    close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))


def test_half_precision_is_really_half_and_close(machine: Machine) -> None:
    backend, reference = machine.open(precision="fp16"), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(backend, 2)
    found, wanted = backend.infer(mfcc, identity), reference.infer(mfcc, identity)
    close_to(found, wanted, tolerance=0.01)
    assert not np.array_equal(found["motion"], wanted["motion"])
    assert backend.name == "tensorrt-fp16"


def test_a_frame_is_one_launch_one_wait_and_one_small_upload(machine: Machine) -> None:
    backend = machine.open()
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    for _ in range(3):
        machine.forget_what_opening_did()
        backend.infer(mfcc, identity)
        assert (machine.device.launches, machine.device.waits) == (1, 1)
        assert machine.device.uploads == [(1, 1, 13, 35)]


def test_the_same_face_is_uploaded_once_however_it_is_sliced(machine: Machine) -> None:
    """As `LipSync` does it: the face is repeated once, and each call gets new views of that."""
    backend, reference = machine.open(WITH_FACES), open_backend(WITH_FACES.path, "onnxruntime")
    identity, mfcc = inputs(backend, 4)
    backend.infer(mfcc, {name: rows[:4] for name, rows in identity.items()})
    machine.forget_what_opening_did()
    for batch in (4, 2, 3, 1):
        some = {name: rows[:batch] for name, rows in identity.items()}
        close_to(backend.infer(mfcc[:batch], some), reference.infer(mfcc[:batch], some))
    assert {shape[1:] for shape in machine.device.uploads} == {(1, 12, 35)}


def test_faces_of_several_sessions_are_uploaded_once_and_copied_only_when_the_rows_change(machine: Machine) -> None:
    backend, reference = machine.open(WITH_FACES), open_backend(WITH_FACES.path, "onnxruntime")
    sessions = [inputs(backend, 1, seed) for seed in range(3)]
    wanted = [copied(reference.infer(mfcc, identity)) for identity, mfcc in sessions]
    face_bytes = sum(rows.nbytes for rows in sessions[0][0].values())

    def draw(*numbers: int) -> tuple[int, int]:
        """Faces uploaded, and faces copied within the GPU."""
        machine.forget_what_opening_did()
        found = backend.infer_parts([(sessions[n][1], sessions[n][0]) for n in numbers])
        for row, number in enumerate(numbers):
            close_to({name: rows[row : row + 1] for name, rows in found.items()}, wanted[number])
        faces = [shape for shape in machine.device.uploads if len(shape) == 1]
        return len(faces), machine.device.copied_bytes // face_bytes

    assert draw(0, 1, 2) == (3, 3)
    assert draw(0, 1, 2) == (0, 0)
    assert draw(2, 1, 0) == (0, 2)
    assert draw(1, 1) == (0, 1)
    assert draw(1) == (0, 0)


def test_a_batch_between_the_sizes_that_are_prepared_is_padded(machine: Machine) -> None:
    machine.open(max_batch=8).close()
    backend, reference = machine.open(max_batch=8), open_backend(tiny_model("s2v").path, "onnxruntime")
    assert backend.batch_sizes == (1, 2, 3, 4, 6, 8)
    contexts = []
    for batch in (5, 6, 7, 8):
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))
        contexts.append(len(machine.trt.contexts))
    assert contexts[0] == contexts[1] and contexts[2] == contexts[3]


def test_another_face_is_never_taken_for_the_one_before(machine: Machine) -> None:
    backend, reference = machine.open(WITH_FACES), open_backend(WITH_FACES.path, "onnxruntime")
    both, mfcc = {}, None
    for seed in (1, 2):
        identity, mfcc = inputs(backend, 2, seed)
        both[seed] = identity
    assert mfcc is not None
    stacked = {name: np.concatenate([both[1][name], both[2][name]]) for name in both[1]}
    for rows in (slice(0, 2), slice(2, 4), slice(1, 3), slice(0, 1), slice(0, 2)):
        some = {name: tensor[rows] for name, tensor in stacked.items()}
        count = len(next(iter(some.values())))
        close_to(backend.infer(mfcc[:count], some), reference.infer(mfcc[:count], some))
    for seed in (1, 2, 1):
        # new memory each time, likely where the last one was
        fresh = copied(both[seed])
        close_to(backend.infer(mfcc, fresh), reference.infer(mfcc, fresh))
        del fresh
        gc.collect()


def test_without_graph_capture_it_works_and_says_so_once_a_size(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.device.can_capture = False
    backend, reference = machine.open(), open_backend(tiny_model("s2v").path, "onnxruntime")
    caplog.clear()
    machine.forget_what_opening_did()
    for _ in range(3):
        identity, mfcc = inputs(backend, 2)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity))
    assert machine.device.launches == 0
    said = [record.message for record in caplog.records if "no CUDA graph for batches of 2" in record.message]
    assert len(said) == 1


def test_outputs_are_views_until_the_next_call_and_stay_readable_after_closing(machine: Machine) -> None:
    backend = machine.open()
    identity, mfcc = inputs(backend, 1)
    first = backend.infer(mfcc, identity)
    again = backend.infer(mfcc, identity)
    assert all(np.shares_memory(first[name], again[name]) for name in first)
    kept = copied(again)
    backend.close()
    close_to(again, kept)


def test_closing_gives_everything_back_twice_is_fine_and_nothing_runs_afterwards(machine: Machine) -> None:
    for _ in range(3):
        backend = machine.open()
        identity, mfcc = inputs(backend, 3)
        backend.infer(mfcc, identity)
        assert machine.device.held > 0
        backend.close()
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            backend.infer(mfcc, identity)
        gc.collect()
        assert machine.device.held == 0
        assert not machine.trt.contexts


def test_a_backend_that_is_dropped_gives_everything_back(machine: Machine) -> None:
    backend = machine.open()
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    del backend
    gc.collect()
    assert machine.device.held == 0


def test_it_can_be_opened_used_and_closed_on_any_one_thread(machine: Machine) -> None:
    batching = BatchingBackend(machine.open, max_rows=4)
    view, reference = batching.view(), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(view, 2)
    close_to(view.infer(mfcc, identity), reference.infer(mfcc, identity))
    batching.close()
    gc.collect()
    assert machine.device.held == 0

    backend = machine.open()
    closing = threading.Thread(target=backend.close)  # the protocol does not ask for it, a GPU context would mind
    closing.start()
    closing.join(20)
    gc.collect()
    assert machine.device.held == 0


def test_gpu_time_is_measured_by_events_and_leaves_none(machine: Machine) -> None:
    backend = machine.open()
    identity, mfcc = inputs(backend, 2)
    graph, tensors = backend.frame_graph, {"mfcc": mfcc, **identity}
    backend.infer(mfcc, identity)
    before = machine.device.held
    machine.forget_what_opening_did()
    assert graph.gpu_ms(tensors, runs=5) == [0.25] * 5
    assert machine.device.uploads == [mfcc.shape] * 6, "once to have the right faces there"
    assert machine.device.held == before
    machine.forget_what_opening_did()
    assert graph.network_ms(tensors, runs=5) == [0.25] * 5
    assert machine.device.uploads == [mfcc.shape], "the network alone uploads nothing"
    assert machine.device.launches == 6
    assert machine.device.held == before + 1, "captured apart"
    with pytest.raises(BackendError, match="batch of 5 is more than the engine's 4"):
        graph.gpu_ms({"mfcc": np.repeat(mfcc[:1], 5, axis=0), **identity}, runs=1)


def test_it_tells_how_much_gpu_memory_it_holds(machine: Machine) -> None:
    backend = machine.open(WITH_FACES)
    graph = backend.frame_graph
    faces = [inputs(backend, 1, seed) for seed in range(12)]  # more than the comparison with ONNX Runtime left room for
    held = []
    for identity, mfcc in faces:
        backend.infer(mfcc, identity)
        held.append(graph.device_memory_bytes())
    face_bytes = sum(rows.nbytes for rows in faces[0][0].values())
    assert face_bytes <= held[-1] - held[-2] < face_bytes + 256 * len(faces[0][0])
    del faces, identity
    for seed in range(20, 30):
        identity, mfcc = inputs(backend, 1, seed)
        backend.infer(mfcc, identity)
    assert graph.device_memory_bytes() == held[-1], "faces that are gone have made room"
    backend.close()
    assert graph.device_memory_bytes() == 0


def test_wrong_shapes_are_refused_before_anything_is_copied(machine: Machine) -> None:
    backend = machine.open()
    identity, mfcc = inputs(backend, 2)
    machine.forget_what_opening_did()
    with pytest.raises(BackendError, match=r"input mfcc has shape \(2, 1, 13, 34\), and wants \(2, 1, 13, 35\)"):
        backend.infer(mfcc[..., 1:], identity)
    with pytest.raises(BackendError, match="input mfcc is float64"):
        backend.infer(mfcc.astype(np.float64), identity)
    assert not machine.device.uploads


def test_too_little_memory_says_how_much_is_needed_and_leaks_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, free=5_000)
    with pytest.raises(BackendError, match=r"Fake L4 has 0 MiB of memory free, and the engine needs .* --max-batch"):
        machine.open()
    gc.collect()
    assert machine.device.held == 0


def test_a_failure_while_memory_is_taken_leaks_nothing(tmp_path: Path) -> None:
    class Liar(FakeDevice):
        """Says that memory is free which is not: another process was faster."""

        def free_bytes(self) -> int:
            return 2**40 if not self._memory else super().free_bytes()

    machine = Machine(tmp_path, free=5_000)
    machine.device = machine.trt.device = Liar(free=5_000)
    with pytest.raises(BackendError, match="out of memory"):
        machine.open()
    gc.collect()
    assert machine.device.held == 0


def test_an_engine_of_another_gpu_is_refused_with_tensorrts_words(machine: Machine, tmp_path: Path) -> None:
    machine.open().close()
    (engine,) = machine.cache.folder.glob("*.engine")
    other = Machine(tmp_path / "other", name="Fake T4", capability=(7, 5))
    with pytest.raises(
        EngineRefused, match=r"cannot load the engine on Fake T4 .*incompatible device.*compile it here"
    ):
        TensorRTGraph(other.trt.as_module(), engine.read_bytes(), other.device)
    with pytest.raises(EngineRefused, match="magicTag"):
        TensorRTGraph(machine.trt.as_module(), b"nothing", machine.device)


def test_by_name_it_is_used_or_refused_with_the_reason(tmp_path: Path) -> None:
    if real_gpu() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    for name in ("tensorrt", "tensorrt-fp16", "tensorrt-fp32"):
        with pytest.raises(BackendError, match=r"CUDA cannot be used|no NVIDIA GPU can be used"):
            open_backend(tiny_model("s2v").path, name)


def test_auto_says_why_it_is_not_tensorrt_and_draws_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    if real_gpu() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    backend = open_auto(model(), 1, ("tensorrt",))
    assert backend.name.startswith(("openvino", "onnxruntime"))
    assert [r for r in caplog.records if r.message.startswith("backend auto: tensorrt cannot be used: ")]
