"""The TensorRT backend on a GPU that is none (`fake_tensorrt`), and on a real one where there is one."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the small test model is exported with torch")

from fake_tensorrt import FakeDevice, FakeTensorRT
from tiny_networks import tiny_model

from s2v.engine.backends import _open_auto, bundled_model, open_backend
from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.backends.cuda import CudaDevice
from s2v.engine.backends.engine_cache import EngineCache
from s2v.engine.backends.tensorrt import open_on
from s2v.engine.backends.tensorrt_build import BuildOptions
from s2v.engine.backends.tensorrt_compile import compile_model, open_engine
from s2v.engine.backends.tensorrt_engine import EngineRefused
from s2v.engine.backends.tensorrt_module import load_tensorrt
from s2v.engine.backends.tensorrt_runner import TensorRTGraph
from s2v.engine.model_file import ModelFile, read_model_file
from s2v.errors import BackendError, ModelError


def model(network: str = "s2v") -> ModelFile:
    return read_model_file(tiny_model(network).path)


def inputs(backend: Backend, batch: int, seed: int = 0) -> tuple[Tensors, np.ndarray]:
    random = np.random.default_rng(seed)
    spec = backend.spec
    encoded = backend.encode_face(random.random((1, 6, spec.face_px, spec.face_px), np.float32))
    identity = {name: np.repeat(rows, batch, axis=0) for name, rows in encoded.items()}
    return identity, random.standard_normal((batch, 1, spec.n_cepstra, spec.n_columns), np.float32)


def copied(tensors: Tensors) -> Tensors:
    return {name: rows.copy() for name, rows in tensors.items()}


def close_to(found: Tensors, wanted: Tensors, tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert found[name].shape == rows.shape
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - rows).max() < tolerance, name


class Machine:
    """One GPU, one TensorRT for it and one cache."""

    def __init__(self, folder: Path, rtx: bool = False, **device: Any) -> None:
        self.device = FakeDevice(**device)
        self.trt = FakeTensorRT(self.device, rtx=rtx)
        self.cache = EngineCache(folder / "engines")

    def open(self, of: ModelFile | None = None, **options: Any) -> Backend:
        wanted = BuildOptions(**{"precision": "fp32", "max_batch": 4, **options})
        return open_on(of or model(), 1, self.trt.as_module(), self.device, self.cache, wanted)

    def forget_what_opening_did(self) -> None:
        self.device.uploads.clear()
        self.device.launches = self.device.waits = 0


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
    assert not np.array_equal(found["mouth"], wanted["mouth"])
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
    backend, reference = machine.open(), open_backend(tiny_model("s2v").path, "onnxruntime")
    identity, mfcc = inputs(backend, 4)
    backend.infer(mfcc, {name: rows[:4] for name, rows in identity.items()})
    machine.forget_what_opening_did()
    for batch in (4, 2, 3, 1):
        some = {name: rows[:batch] for name, rows in identity.items()}
        close_to(backend.infer(mfcc[:batch], some), reference.infer(mfcc[:batch], some))
    assert {shape[1:] for shape in machine.device.uploads} == {(1, 13, 35)}


def test_another_face_is_never_taken_for_the_one_before(machine: Machine) -> None:
    backend, reference = machine.open(), open_backend(tiny_model("s2v").path, "onnxruntime")
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
    graph = backend.frame_graph  # type: ignore[attr-defined]
    before = machine.device.held
    assert graph.gpu_ms({"mfcc": mfcc, **identity}, runs=5) == [0.25] * 5
    assert machine.device.held <= before + 1  # the captured graph of this batch size
    with pytest.raises(BackendError, match="batch of 5 is more than the engine's 4"):
        graph.gpu_ms({"mfcc": np.repeat(mfcc[:1], 5, axis=0), **identity}, runs=1)


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
    machine = Machine(tmp_path, free=100_000)
    with pytest.raises(BackendError, match=r"Fake L4 has 0 MiB of memory free, and the engine needs .* --max-batch"):
        machine.open()
    gc.collect()
    assert machine.device.held == 0


def test_a_failure_while_memory_is_taken_leaks_nothing(tmp_path: Path) -> None:
    class Liar(FakeDevice):
        """Says that memory is free which is not: another process was faster."""

        def free_bytes(self) -> int:
            return 2**40 if not self._memory else super().free_bytes()

    machine = Machine(tmp_path, free=100_000)
    machine.device = machine.trt.device = Liar(free=100_000)
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


# the cache and the parity check, as `open_engine` uses them


def test_the_second_opening_builds_nothing(machine: Machine) -> None:
    machine.open().close()
    machine.open().close()
    assert machine.trt.builds == 1


def _another_version(machine: Machine) -> None:
    machine.trt.__version__ = "10.10.0"


def _another_gpu(machine: Machine) -> None:
    machine.device.name = "Fake L40S"


def _damage(machine: Machine) -> None:
    (engine,) = machine.cache.folder.glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])


def _refused_engine(machine: Machine) -> None:
    """Whole and with the right key, but the driver will not have it."""
    compiled, graph = open_engine(
        model(), machine.trt.as_module(), machine.device, BuildOptions("fp32", 4), machine.cache
    )
    assert graph is not None
    graph.close()
    machine.cache.keep(compiled.key, b"of another driver", {"build_s": 1.0, "parity": compiled.parity})


@pytest.mark.parametrize("change", [_another_version, _another_gpu, _damage, _refused_engine])
def test_a_change_builds_a_new_engine_by_itself(change: Callable[[Machine], None], machine: Machine) -> None:
    machine.open().close()
    change(machine)
    backend = machine.open()
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    assert machine.trt.builds == 2


def test_another_model_precision_or_batch_is_another_engine(machine: Machine) -> None:
    machine.open().close()
    machine.open(model("speech2vid")).close()
    machine.open(precision="fp16").close()
    machine.open(max_batch=2).close()
    assert machine.trt.builds == 4
    assert machine.trt.timings_seen == [b"", b"measured", b"measured", b"measured"]
    machine.open().close()
    assert machine.trt.builds == 4


def test_force_builds_again(machine: Machine) -> None:
    for force in (False, True):
        found = compile_model(
            model(), machine.trt.as_module(), machine.device, BuildOptions("fp32", 2), machine.cache, force=force
        )
        assert not found.reused
    assert machine.trt.builds == 2
    assert machine.device.held == 0


def test_the_parity_report_lies_beside_the_engine(machine: Machine) -> None:
    machine.open().close()
    (path,) = machine.cache.folder.glob("*.json")
    parity = json.loads(path.read_text())["report"]["parity"]
    assert parity["frames"] == 3 * (1 + 3 + 4)
    assert parity["max_difference"].keys() == {"motion", "mouth"}
    assert parity["ssim_min"] == pytest.approx(1)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_an_engine_that_differs_visibly_is_not_kept_and_not_used(precision: str, machine: Machine) -> None:
    def spoil(outputs: dict[str, np.ndarray]) -> None:
        outputs["mouth"][:, :, ::2] *= 0.8

    machine.trt.spoil = spoil
    other = "fp32" if precision == "fp16" else "onnxruntime"
    with pytest.raises(BackendError, match=rf"the {precision} engine differs visibly .*not kept: choose {other}"):
        machine.open(precision=precision)
    assert not list(machine.cache.folder.glob("*.engine"))
    assert not list(machine.cache.folder.glob("*.json"))
    gc.collect()
    assert machine.device.held == 0


def test_an_engine_built_without_a_gpu_is_compared_when_it_first_meets_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True)
    nowhere = FakeTensorRT(None, rtx=True)
    built = compile_model(model(), nowhere.as_module(), None, BuildOptions("fp32", 4), machine.cache)
    assert built.parity is None
    assert built.key.target == "sm_80+sm_86+sm_89+sm_120"
    machine.open().close()
    assert machine.trt.builds == 0, "the engine for several GPUs serves this one"
    (path,) = machine.cache.folder.glob("*.json")
    assert json.loads(path.read_text())["report"]["parity"]["ssim_min"] == pytest.approx(1)


def test_a_bad_engine_built_without_a_gpu_is_thrown_away_when_it_first_meets_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True)
    compile_model(model(), FakeTensorRT(None, rtx=True).as_module(), None, BuildOptions("fp32", 4), machine.cache)
    machine.trt.spoil = lambda outputs: outputs["motion"].fill(np.nan)
    with pytest.raises(BackendError, match="differs visibly"):
        machine.open()
    assert not list(machine.cache.folder.glob("*.engine"))


def test_a_gpu_that_tensorrt_rtx_does_not_build_for_is_told_what_to_install(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True, name="Fake H100", capability=(9, 0))
    with pytest.raises(BackendError, match=r"does not build for sm_90, only for sm_80, .*: pip install tensorrt"):
        machine.open()


def test_tensorrt_itself_builds_for_no_other_gpu(machine: Machine) -> None:
    with pytest.raises(BackendError, match="tensorrt builds for the GPU it runs on, not for sm_86"):
        machine.open(targets=("sm_86",))
    with pytest.raises(BackendError, match="there is none: use tensorrt_rtx"):
        compile_model(model(), machine.trt.as_module(), None, BuildOptions(), machine.cache)


def test_a_graph_that_does_not_fit_its_spec_is_refused_and_leaks_nothing(machine: Machine) -> None:
    fits, other = model("s2v"), model("speech2vid")
    mixed = ModelFile(fits.path, fits.spec, other.frame_graph, other.face_graph, {})
    with pytest.raises(ModelError, match="its frame graph takes"):
        machine.open(mixed)
    gc.collect()
    assert machine.device.held == 0


def test_by_name_it_is_used_or_refused_with_the_reason(tmp_path: Path) -> None:
    if _real_gpu() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    for name in ("tensorrt", "tensorrt-fp16", "tensorrt-fp32"):
        with pytest.raises(BackendError, match=r"CUDA cannot be used|no NVIDIA GPU can be used"):
            open_backend(tiny_model("s2v").path, name)


def test_auto_says_why_it_is_not_tensorrt_and_draws_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    if _real_gpu() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    backend = _open_auto(model(), 1, has_tensorrt=True)
    assert backend.name.startswith(("openvino", "onnxruntime"))
    assert [r for r in caplog.records if r.message.startswith("backend auto: tensorrt cannot be used: ")]


# on a real GPU


def _real_gpu() -> CudaDevice | None:
    try:
        return CudaDevice()
    except BackendError:
        return None


@pytest.fixture
def real(tmp_path: Path) -> Callable[[], Backend]:
    """Opens the bundled model in fp16."""
    device = _real_gpu()
    if device is None:
        pytest.skip("no NVIDIA GPU that can be used")
    try:
        tensorrt = load_tensorrt()
    except BackendError as error:
        pytest.skip(str(error))
    cache = EngineCache(tmp_path)
    return lambda: open_on(bundled_model(), 1, tensorrt, device, cache, BuildOptions("fp16", 8))


@pytest.mark.gpu
def test_a_real_gpu_draws_what_onnxruntime_draws(real: Callable[[], Backend]) -> None:
    backend, reference = real(), open_backend(None, "onnxruntime")
    for batch in (1, 4, 8, 11, 1):
        identity, mfcc = inputs(backend, batch, seed=batch)
        close_to(backend.infer(mfcc, identity), reference.infer(mfcc, identity), tolerance=0.05)
    backend.close()


@pytest.mark.gpu
def test_a_real_gpu_gets_its_memory_back(real: Callable[[], Backend]) -> None:
    device = _real_gpu()
    assert device is not None
    free = []
    for _ in range(6):
        backend = real()
        for batch in range(1, 9):
            identity, mfcc = inputs(backend, batch)
            backend.infer(mfcc, identity)
        backend.close()
        del backend
        gc.collect()
        free.append(device.free_bytes())
    # the driver keeps what it loaded the first time
    assert free[-1] >= free[1] - 2 * 2**20


@pytest.mark.gpu
def test_two_real_backends_on_two_threads_do_not_disturb_each_other(real: Callable[[], Backend]) -> None:
    reference = open_backend(None, "onnxruntime")
    real().close()  # built once
    failures: list[BaseException] = []

    def draw(seed: int) -> None:
        try:
            backend = real()
            identity, mfcc = inputs(backend, 2, seed)
            wanted = copied(reference.infer(mfcc, identity)) if seed == 0 else None
            first = copied(backend.infer(mfcc, identity))
            for _ in range(200):
                close_to(backend.infer(mfcc, identity), first, tolerance=1e-3)
            if wanted is not None:
                close_to(first, wanted, tolerance=0.05)
            backend.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
