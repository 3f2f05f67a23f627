"""The few CUDA calls that the TensorRT runner needs, behind a protocol that a test can fill.

cuda.bindings.runtime is NVIDIA's own binding of the CUDA runtime and brings that runtime along: nothing but the
driver has to be there. Source: docs.nvidia.com/cuda/cuda-runtime-api and nvidia.github.io/cuda-python.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.errors import BackendError
from s2v.extras import how_to_install

Handle = Any  # of a stream, a captured graph or an event: only its device knows what it is


class Device(Protocol):
    """One GPU. Every call raises BackendError with the driver's own words if it fails."""

    name: str  # "NVIDIA L4"
    capability: tuple[int, int]  # (8, 9)

    def use(self) -> None:
        """Make it the calling thread's current device: once on each thread, before anything else."""

    def free_bytes(self) -> int:
        """GPU memory that nobody uses at the moment."""

    def allocate(self, n_bytes: int) -> int:
        """Address of new GPU memory, aligned to 256 bytes."""

    def release(self, address: int) -> None:
        """Free what `allocate` gave."""

    def pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        """Host memory that the GPU reads and writes by itself; freed when its last view is gone."""

    def stream(self) -> Handle:
        """A new queue of work, independent of the default one."""

    def stream_address(self, stream: Handle) -> int:
        """What TensorRT wants to be given for a stream."""

    def end_stream(self, stream: Handle) -> None:
        """Free a stream."""

    def upload(self, to_address: int, host: NDArray[Any], stream: Handle) -> None:
        """Queue a copy of pinned, contiguous host memory to the GPU."""

    def download(self, host: NDArray[Any], from_address: int, stream: Handle) -> None:
        """Queue a copy from the GPU to pinned, contiguous host memory."""

    def copy(self, to_address: int, from_address: int, n_bytes: int, stream: Handle) -> None:
        """Queue a copy within the GPU's memory."""

    def wait(self, stream: Handle) -> None:
        """Return when everything queued is done."""

    def begin_capture(self, stream: Handle) -> None:
        """Note what is queued from now on, instead of doing it."""

    def end_capture(self, stream: Handle) -> Handle:
        """What was noted, ready to be launched."""

    def launch(self, graph: Handle, stream: Handle) -> None:
        """Queue everything that was noted as one piece of work."""

    def end_graph(self, graph: Handle) -> None:
        """Free what `end_capture` gave."""

    def event(self) -> Handle:
        """A new point in time of a stream."""

    def record(self, event: Handle, stream: Handle) -> None:
        """Queue the event: its time is when the GPU gets there."""

    def elapsed_ms(self, begin: Handle, end: Handle) -> float:
        """GPU time between two recorded events, in steps of about 0.5 us; both must have happened."""

    def end_event(self, event: Handle) -> None:
        """Free an event."""


class CudaDevice:
    """Fills `Device` with cuda.bindings.runtime."""

    def __init__(self, number: int = 0) -> None:
        """Raises: BackendError, no binding, no driver, a driver too old, or no such GPU."""
        try:
            self._cuda = import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise BackendError(f"CUDA cannot be used ({error}): {how_to_install('cuda')}") from error
        self._number = number
        try:
            count = self._call("cudaGetDeviceCount")
        except BackendError as error:
            raise BackendError(f"no NVIDIA GPU can be used: {error}; look at nvidia-smi") from error
        if not 0 <= number < count:
            raise BackendError(f"there is no NVIDIA GPU {number}, only {count}: look at nvidia-smi")
        self.use()
        properties = self._call("cudaGetDeviceProperties", number)
        name = properties.name
        self.name: str = name.decode(errors="replace").rstrip("\0") if isinstance(name, bytes) else str(name)
        self.capability: tuple[int, int] = (int(properties.major), int(properties.minor))

    def use(self) -> None:
        self._call("cudaSetDevice", self._number)

    def free_bytes(self) -> int:
        free, _ = self._call("cudaMemGetInfo")
        return int(free)

    def allocate(self, n_bytes: int) -> int:
        return int(self._call("cudaMalloc", n_bytes))

    def release(self, address: int) -> None:
        self._call("cudaFree", address)

    def pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        address = int(self._call("cudaHostAlloc", n_bytes, self._cuda.cudaHostAllocDefault))
        return memory_at(address, n_bytes, self._cuda.cudaFreeHost)

    def stream(self) -> Handle:
        return self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)

    def stream_address(self, stream: Handle) -> int:
        return int(stream)

    def end_stream(self, stream: Handle) -> None:
        self._call("cudaStreamDestroy", stream)

    def upload(self, to_address: int, host: NDArray[Any], stream: Handle) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", to_address, host.ctypes.data, host.nbytes, kind, stream)

    def download(self, host: NDArray[Any], from_address: int, stream: Handle) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host.ctypes.data, from_address, host.nbytes, kind, stream)

    def copy(self, to_address: int, from_address: int, n_bytes: int, stream: Handle) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._call("cudaMemcpyAsync", to_address, from_address, n_bytes, kind, stream)

    def wait(self, stream: Handle) -> None:
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Handle) -> None:
        # of this thread only: another one may allocate meanwhile
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Handle) -> Handle:
        noted = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", noted, 0)
        finally:
            self._call("cudaGraphDestroy", noted)

    def launch(self, graph: Handle, stream: Handle) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def end_graph(self, graph: Handle) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def event(self) -> Handle:
        return self._call("cudaEventCreate")

    def record(self, event: Handle, stream: Handle) -> None:
        self._call("cudaEventRecord", event, stream)

    def elapsed_ms(self, begin: Handle, end: Handle) -> float:
        return float(self._call("cudaEventElapsedTime", begin, end))

    def end_event(self, event: Handle) -> None:
        self._call("cudaEventDestroy", event)

    def _call(self, name: str, *arguments: Any) -> Any:
        """One call; what it gives, a tuple if that is several values. Raises: BackendError."""
        error, *values = getattr(self._cuda, name)(*arguments)
        if error != self._cuda.cudaError_t.cudaSuccess:
            _, text = self._cuda.cudaGetErrorString(error)
            logged_error = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            raise BackendError(f"CUDA: {logged_error} ({name})")
        return values[0] if len(values) == 1 else tuple(values)


def memory_at(address: int, n_bytes: int, free: Callable[[int], object]) -> NDArray[np.uint8]:
    """Memory that is nobody's as an array; `free` gets the address when the last view of it is gone."""
    memory = (ctypes.c_uint8 * n_bytes).from_address(address)
    freeing = weakref.finalize(memory, free, address)
    freeing.atexit = False  # the driver may be gone by then, and takes everything with it
    array: NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8)
    return array
