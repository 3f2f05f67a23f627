"""A TensorRT engine on the GPU, ready to draw frames.

Buffers for the largest batch are allocated once, on the GPU and as pinned memory on the host. The first run of a
batch size makes an execution context for it and captures upload, network and download as one CUDA graph; from
then on a frame is one launch. NVIDIA's guide wants a context of its own for each captured graph; they share their
working memory, because one stream never runs two of them at once. What stays the same from call to call, the
identity of a face, is uploaded only when other memory than last time is handed in.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.cuda import Device, Handle
from s2v.engine.backends.graphs import one_line
from s2v.engine.backends.tensorrt_engine import LoadedEngine
from s2v.engine.backends.tensorrt_module import TensorRT
from s2v.errors import BackendError

PER_FRAME = frozenset({"mfcc"})  # new in every call; every other input belongs to the face

_log = logging.getLogger("s2v")


@dataclass(eq=False)
class _Buffer:
    """One tensor at the largest batch, on both sides."""

    address: int  # on the GPU
    host: NDArray[np.float32]  # pinned, (max_batch, ...)
    uploaded: tuple[object, int, int] | None = None  # what is on the GPU now: its owner, its address, its rows


@dataclass(eq=False)
class _Slot:
    """What one batch size needs."""

    context: Any
    graph: Handle | None = None  # None where capturing failed: queued piece by piece


class TensorRTGraph:
    """One engine. Fills `Graph`; `close` gives the GPU memory back, and so does the garbage collector."""

    def __init__(self, tensorrt: TensorRT, plan: bytes, device: Device) -> None:
        """Raises: BackendError, an engine of another GPU or TensorRT, or too little GPU memory."""
        self._device = device
        device.use()
        self._engine = engine = LoadedEngine(tensorrt, plan, device.name)
        self.inputs, self.outputs, self.max_batch = engine.inputs, engine.outputs, engine.max_batch
        self._slots: dict[int, _Slot] = {}
        self._buffers: dict[str, _Buffer] = {}
        stack = contextlib.ExitStack()
        try:
            self._allocate(stack)
        except BaseException:
            stack.close()
            raise
        stack.callback(engine.close)  # after the contexts, which are forgotten first
        stack.callback(_forget, self._slots, self._buffers, device)
        stack.callback(device.use)  # first: whoever closes may be another thread
        self._free = weakref.finalize(self, _close, stack)
        self._free.atexit = False  # at exit the driver takes everything back itself, in any order

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`. Larger batches than the engine's go through it in parts.

        Returns: views of memory that the next call writes to. Raises: BackendError.
        """
        if not self._free.alive:
            raise BackendError("this TensorRT engine is closed: open it again")
        batch = len(next(iter(tensors.values())))
        if batch <= self.max_batch:
            return self._run(tensors, batch)
        parts = []
        for first in range(0, batch, self.max_batch):
            some = {name: rows[first : first + self.max_batch] for name, rows in tensors.items()}
            parts.append({name: rows.copy() for name, rows in self.run(some).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}

    def gpu_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """GPU time of each of several runs of one batch, by CUDA events: upload, network and download.

        Raises: BackendError.
        """
        batch = len(next(iter(tensors.values())))
        if batch > self.max_batch:
            raise BackendError(f"a batch of {batch} is more than the engine's {self.max_batch}")
        self.run(tensors)
        begin, end = self._device.event(), self._device.event()
        found = []
        try:
            for _ in range(runs):
                self._device.record(begin, self._stream)
                self._queue(self._slots[batch], batch)
                self._device.record(end, self._stream)
                self._device.wait(self._stream)
                found.append(self._device.elapsed_ms(begin, end))
        finally:
            self._device.end_event(begin)
            self._device.end_event(end)
        return found

    def close(self) -> None:
        """Give everything back; safe to call twice. Outputs handed out before stay readable."""
        self._free()

    def _allocate(self, stack: contextlib.ExitStack) -> None:
        device = self._device
        shapes = {name: (self.max_batch, *shape) for name, shape in {**self.inputs, **self.outputs}.items()}
        sizes = {name: int(np.prod(shape)) * 4 for name, shape in shapes.items()}
        needed, free = sum(sizes.values()) + self._engine.working_bytes, device.free_bytes()
        if needed > free:
            raise BackendError(
                f"{device.name} has {free / 2**20:.0f} MiB of memory free, and the engine needs {needed / 2**20:.0f} "
                f"for batches of {self.max_batch}: end other programs on it, or compile with a smaller --max-batch"
            )
        self._stream = device.stream()
        stack.callback(device.end_stream, self._stream)
        self._working = 0
        if self._engine.working_bytes:
            self._working = device.allocate(self._engine.working_bytes)
            stack.callback(device.release, self._working)
        for name, shape in shapes.items():
            address = device.allocate(sizes[name])
            stack.callback(device.release, address)
            self._buffers[name] = _Buffer(address, device.pinned(sizes[name]).view(np.float32).reshape(shape))

    def _run(self, tensors: Tensors, batch: int) -> Tensors:
        self._device.use()
        for name, rows in tensors.items():
            buffer = self._buffers[name]
            if name in PER_FRAME:
                buffer.host[:batch] = rows
            elif not _is_there(buffer, rows):
                buffer.uploaded = None
                buffer.host[:batch] = rows
                self._device.upload(buffer.address, buffer.host[:batch], self._stream)
                # who holds the memory is kept, so that no other face can come to lie at the same address
                buffer.uploaded = (rows if rows.base is None else rows.base, rows.ctypes.data, batch)
        slot = self._slots.get(batch)
        if slot is None:
            slot = self._slots[batch] = self._prepare(batch)
        else:
            self._queue(slot, batch)
        self._device.wait(self._stream)
        return {name: self._buffers[name].host[:batch] for name in self.outputs}

    def _prepare(self, batch: int) -> _Slot:
        """The first run of a batch size; captures it afterwards. Raises: BackendError."""
        addresses = {name: buffer.address for name, buffer in self._buffers.items()}
        slot = _Slot(self._engine.context(batch, addresses, self._working))
        self._queue(slot, batch)  # TensorRT prepares itself at the first run, which cannot be captured
        self._device.wait(self._stream)
        try:
            self._device.begin_capture(self._stream)
            try:
                self._queue(slot, batch)
            except BackendError:
                with contextlib.suppress(BackendError):  # what went wrong first is what counts
                    self._device.end_graph(self._device.end_capture(self._stream))
                raise
            slot.graph = self._device.end_capture(self._stream)
        except BackendError as error:
            _log.warning("no CUDA graph for batches of %d (%s): each step is queued by itself", batch, error)
        return slot

    def _queue(self, slot: _Slot, batch: int) -> None:
        """Upload what is new in every call, run, download. Raises: BackendError."""
        if slot.graph is not None:
            self._device.launch(slot.graph, self._stream)
            return
        for name in self.inputs.keys() & PER_FRAME:
            buffer = self._buffers[name]
            self._device.upload(buffer.address, buffer.host[:batch], self._stream)
        if not slot.context.execute_async_v3(self._device.stream_address(self._stream)):
            raise BackendError(f"TensorRT cannot run a batch of {batch}: close it and open it again")
        for name in self.outputs:
            buffer = self._buffers[name]
            self._device.download(buffer.host[:batch], buffer.address, self._stream)


def _is_there(buffer: _Buffer, rows: NDArray[np.float32]) -> bool:
    """Whether these rows are on the GPU already: the same memory as last time, which nobody changes (`Backend`)."""
    if buffer.uploaded is None:
        return False
    _, address, count = buffer.uploaded
    return address == rows.ctypes.data and len(rows) <= count


def _forget(slots: dict[int, _Slot], buffers: dict[str, _Buffer], device: Device) -> None:
    for slot in slots.values():
        if slot.graph is not None:
            with contextlib.suppress(BackendError):  # the rest must be freed all the same
                device.end_graph(slot.graph)
    slots.clear()
    buffers.clear()


def _close(stack: contextlib.ExitStack) -> None:
    """Free everything that can be freed; a GPU that has failed refuses to, and then there is nothing to do."""
    try:
        stack.close()
    except BackendError as error:
        _log.warning("GPU memory could not be given back: %s", one_line(error))
