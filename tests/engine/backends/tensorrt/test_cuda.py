"""What can be said of the CUDA calls without a GPU: that they exist, and that their absence is told in words."""

from __future__ import annotations

import ast
import gc
import inspect
import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from s2v.engine.backends.tensorrt import cuda
from s2v.engine.backends.tensorrt.cuda import CudaDevice
from s2v.errors import BackendError


def has_binding() -> bool:
    return find_spec("cuda") is not None and find_spec("cuda.bindings") is not None


def test_without_a_gpu_it_is_one_line_with_the_next_step() -> None:
    try:
        CudaDevice()
    except BackendError as error:
        said = str(error)
    else:
        pytest.skip("this machine has an NVIDIA GPU")
    assert "\n" not in said
    if has_binding():
        assert said.startswith("no NVIDIA GPU can be used: CUDA: ") and said.endswith("look at nvidia-smi")
    else:
        assert said.endswith("pip install 'speech2vid[gpu]'")


@pytest.mark.skipif(not has_binding(), reason="cuda-bindings is not installed")
def test_every_call_exists_in_the_binding() -> None:
    import cuda.bindings.runtime as binding

    tree = ast.parse(inspect.getsource(cuda))
    calls = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_call"
        and isinstance(node.args[0], ast.Constant)
    ]  # fmt: skip
    named = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "_cuda"
    ]
    assert len(calls) > 15 and "cudaHostAllocDefault" in named
    assert not [name for name in {*calls, *named} if not hasattr(binding, str(name))]
    assert hasattr(binding.cudaMemcpyKind, "cudaMemcpyHostToDevice")
    assert hasattr(binding.cudaMemcpyKind, "cudaMemcpyDeviceToHost")
    assert hasattr(binding.cudaStreamCaptureMode, "cudaStreamCaptureModeThreadLocal")
    assert hasattr(binding.cudaError_t, "cudaSuccess")


@pytest.mark.skipif(not has_binding(), reason="cuda-bindings is not installed")
def test_every_call_takes_what_it_is_given() -> None:
    """Without a driver each call fails, but with CUDA's own words, and not for what was handed to it."""
    import cuda.bindings.runtime as binding

    try:
        CudaDevice()
    except BackendError:
        pass
    else:
        pytest.skip("this machine has an NVIDIA GPU: the tests of the backend make these calls")
    device = object.__new__(CudaDevice)  # its __init__ has just refused
    device._cuda, device._number = binding, 0
    host, stream, event, graph = (
        np.zeros(16, np.uint8),
        *(kind(0) for kind in (binding.cudaStream_t, binding.cudaEvent_t, binding.cudaGraphExec_t)),
    )
    calls: dict[str, tuple[Any, ...]] = {
        "use": (), "free_bytes": (), "allocate": (16,), "release": (256,), "pinned": (16,), "stream": (),
        "end_stream": (stream,), "upload": (256, host, stream), "download": (host, 256, stream), "wait": (stream,),
            "copy": (512, 256, 16, stream),
        "begin_capture": (stream,), "end_capture": (stream,), "launch": (graph, stream), "end_graph": (graph,),
        "event": (), "record": (event, stream), "elapsed_ms": (event, event), "end_event": (event,),
    }  # fmt: skip
    for name, arguments in calls.items():
        with pytest.raises(BackendError, match=r"^CUDA: .* \(cuda[A-Z]\w+\)$"):
            getattr(device, name)(*arguments)
    others = {"stream_address"}  # asks nobody
    assert device.stream_address(stream) == 0
    names = {name for name, _ in inspect.getmembers(CudaDevice, inspect.isfunction) if not name.startswith("_")}
    assert names == {*calls, *others}


def test_memory_is_freed_when_its_last_view_is_gone() -> None:
    real = np.zeros(64, np.uint8)
    freed: list[int] = []
    array = cuda.memory_at(real.ctypes.data, real.nbytes, freed.append)
    view = array.view(np.float32).reshape(4, 4)[:2]
    view[1, 3] = 1.5
    assert real.view(np.float32)[7] == 1.5
    del array
    gc.collect()
    assert not freed
    del view
    gc.collect()
    assert freed == [real.ctypes.data]


def test_the_protocol_and_the_device_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}

    assert methods(CudaDevice) == methods(cuda.Device)
    from fake_cuda import FakeDevice

    fake = methods(FakeDevice)
    assert {name: fake[name] for name in methods(cuda.Device)} == methods(cuda.Device)


# on a real GPU: all that the TensorRT runner asks of it, without TensorRT


@pytest.fixture
def device() -> CudaDevice:
    try:
        return CudaDevice()
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
def test_a_captured_round_trip_moves_what_is_in_memory_when_it_is_launched(device: CudaDevice) -> None:
    n_floats = 1_000_003
    address, other, stream = device.allocate(4 * n_floats), device.allocate(4 * n_floats), device.stream()
    there, back = (device.pinned(4 * n_floats).view(np.float32) for _ in range(2))
    device.begin_capture(stream)
    device.upload(address, there, stream)
    device.copy(other, address, 4 * n_floats, stream)
    device.download(back, other, stream)
    graph = device.end_capture(stream)
    begin, end = device.event(), device.event()
    for seed in range(3):
        there[:] = np.random.default_rng(seed).standard_normal(n_floats, np.float32)
        device.record(begin, stream)
        device.launch(graph, stream)
        device.record(end, stream)
        device.wait(stream)
        assert np.array_equal(there, back)
        assert 0.01 < device.elapsed_ms(begin, end) < 1000
    device.end_graph(graph)
    device.end_event(begin)
    device.end_event(end)
    device.end_stream(stream)
    device.release(address)
    device.release(other)
    assert device.name and device.capability >= (5, 0)


@pytest.mark.gpu
def test_gpu_memory_comes_back_from_any_thread(device: CudaDevice) -> None:
    free = device.free_bytes()
    addresses: list[int] = []

    def take() -> None:
        device.use()
        addresses.append(device.allocate(256 * 2**20))

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(20)
    assert device.free_bytes() <= free - 256 * 2**20
    device.release(addresses[0])
    assert device.free_bytes() >= free - 2**20
    with pytest.raises(BackendError, match=r"^CUDA: .*memory.* \(cudaMalloc\)$"):
        device.allocate(2**60)
    device.release(device.allocate(1024))  # the error before does not stick
