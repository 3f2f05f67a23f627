"""A GPU that is none, for machines without one.

`FakeDevice` fills `cuda.Device`: work is queued and done only when it is waited for, memory is full of NaN until
something is copied there, and whatever a real GPU would punish by garbage or a crash is an assertion here.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from s2v.errors import BackendError


class _Stream:
    def __init__(self) -> None:
        self.queue: list[Callable[[], None]] = []
        self.noted: list[Callable[[], None]] | None = None

    def add(self, work: Callable[[], None]) -> None:
        (self.queue if self.noted is None else self.noted).append(work)


class FakeDevice:
    """Fills `Device`."""

    def __init__(self, name: str = "Fake L4", capability: tuple[int, int] = (8, 9), free: int = 2**30) -> None:
        self.name, self.capability, self.free = name, capability, free
        self.can_capture = True
        self.uploads: list[tuple[int, ...]] = []  # shapes, when they are done
        self.copied_bytes = 0  # within the GPU
        self.launches = 0
        self.waits = 0
        self._memory: dict[int, np.ndarray] = {}
        self._pinned: weakref.WeakSet[Any] = weakref.WeakSet()
        self._streams: dict[int, _Stream] = {}
        self._graphs: set[int] = set()
        self._events: set[int] = set()
        self._next = 256
        self._threads: set[int] = set()
        self._clock_ms = 0.0

    @property
    def held(self) -> int:
        """Everything that was made and not freed."""
        return len(self._memory) + len(self._pinned) + len(self._streams) + len(self._graphs) + len(self._events)

    def use(self) -> None:
        self._threads.add(threading.get_ident())

    def free_bytes(self) -> int:
        return self.free - sum(block.nbytes for block in self._memory.values())

    def allocate(self, n_bytes: int) -> int:
        self._used_here()
        assert n_bytes > 0
        if n_bytes > self.free_bytes():
            raise BackendError("CUDA: out of memory (cudaMalloc)")
        address = self._new(n_bytes)
        self._memory[address] = np.full(n_bytes, 0xFF, np.uint8)  # NaN, as float32
        return address

    def release(self, address: int) -> None:
        self._used_here()
        del self._memory[address]  # a KeyError if it is freed twice

    def pinned(self, n_bytes: int) -> np.ndarray:
        self._used_here()
        memory = np.full(n_bytes, 0xFF, np.uint8)
        self._pinned.add(_Weak.of(memory))
        return memory

    def stream(self) -> int:
        self._used_here()
        handle = self._new(1)
        self._streams[handle] = _Stream()
        return handle

    def stream_address(self, stream: int) -> int:
        return stream

    def end_stream(self, stream: int) -> None:
        self._used_here()
        assert not self._streams.pop(stream).queue, "freed while work is queued"

    def upload(self, to_address: int, host: np.ndarray, stream: int) -> None:
        self._check(host, to_address)
        n_bytes = host.nbytes

        def copy() -> None:
            self.bytes_at(to_address, n_bytes)[:] = host.reshape(-1).view(np.uint8)
            self.uploads.append(host.shape)

        self._streams[stream].add(copy)

    def download(self, host: np.ndarray, from_address: int, stream: int) -> None:
        self._check(host, from_address)

        def copy() -> None:
            host.reshape(-1).view(np.uint8)[:] = self.bytes_at(from_address, host.nbytes)

        self._streams[stream].add(copy)

    def copy(self, to_address: int, from_address: int, n_bytes: int, stream: int) -> None:
        self._used_here()
        self.bytes_at(to_address, n_bytes)
        self.bytes_at(from_address, n_bytes)

        def copy() -> None:
            self.bytes_at(to_address, n_bytes)[:] = self.bytes_at(from_address, n_bytes)
            self.copied_bytes += n_bytes

        self._streams[stream].add(copy)

    def wait(self, stream: int) -> None:
        self._used_here()
        assert self._streams[stream].noted is None, "waiting ends a capture with an error"
        self.waits += 1
        queue, self._streams[stream].queue = self._streams[stream].queue, []
        for work in queue:
            work()

    def begin_capture(self, stream: int) -> None:
        self._used_here()
        if not self.can_capture:
            raise BackendError("CUDA: operation not permitted when stream is capturing (cudaStreamBeginCapture)")
        assert self._streams[stream].noted is None
        self._streams[stream].noted = []

    def end_capture(self, stream: int) -> Any:
        noted, self._streams[stream].noted = self._streams[stream].noted, None
        assert noted, "an empty graph"
        handle = self._new(1)
        self._graphs.add(handle)
        return (handle, tuple(noted))

    def launch(self, graph: Any, stream: int) -> None:
        self._used_here()
        assert graph[0] in self._graphs
        self.launches += 1
        for work in graph[1]:
            self._streams[stream].add(work)

    def end_graph(self, graph: Any) -> None:
        self._graphs.remove(graph[0])

    def event(self) -> Any:
        event = SimpleNamespace(handle=self._new(1), at_ms=None)
        self._events.add(event.handle)
        return event

    def record(self, event: Any, stream: int) -> None:
        def note() -> None:
            self._clock_ms += 0.25
            event.at_ms = self._clock_ms

        self._streams[stream].add(note)

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        return float(end.at_ms - begin.at_ms)

    def end_event(self, event: Any) -> None:
        self._events.remove(event.handle)

    def bytes_at(self, address: int, n_bytes: int) -> np.ndarray:
        """GPU memory; an assertion if it was never allocated, or is freed."""
        for begin, block in self._memory.items():
            if begin <= address and address + n_bytes <= begin + block.nbytes:
                return block[address - begin : address - begin + n_bytes]
        raise AssertionError(f"{n_bytes} bytes at {address} are nobody's")

    def queue_of(self, stream: int) -> _Stream:
        return self._streams[stream]

    def _new(self, n_bytes: int) -> int:
        address, self._next = self._next, self._next + -(-n_bytes // 256) * 256
        return address

    def _check(self, host: np.ndarray, address: int) -> None:
        self._used_here()
        assert host.flags.c_contiguous
        begin = host.ctypes.data
        blocks = [weak.memory() for weak in self._pinned]
        assert any(
            block.ctypes.data <= begin and begin + host.nbytes <= block.ctypes.data + block.nbytes
            for block in blocks
            if block is not None
        ), "copied from memory that is not pinned"
        self.bytes_at(address, host.nbytes)

    def _used_here(self) -> None:
        assert threading.get_ident() in self._threads, "no current device on this thread"


class _Weak:
    """Something hashable that lives as long as an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.memory = weakref.ref(array)

    @classmethod
    def of(cls, array: np.ndarray) -> _Weak:
        weak = cls(array)
        weakref.finalize(array, id, weak)  # holds it until the array is gone
        return weak
