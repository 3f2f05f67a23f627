"""A TensorRT engine on the GPU, ready to draw frames.

Buffers for the largest batch are allocated once, on the GPU and as pinned memory on the host. The first run of a
batch size makes an execution context for it and captures upload, network and download as one CUDA graph; from
then on a frame is one launch. NVIDIA's guide wants a context of its own for each captured graph; they share their
working memory, because one stream never runs two of them at once. Faces stay on the GPU (`tensorrt.faces`); batches
between the sizes that are prepared are padded with rows that nobody reads.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import PER_FRAME, one_line
from s2v.engine.backends.resident import batch_sizes, in_parts, padded_batch
from s2v.engine.backends.tensorrt.cuda import Device, Handle
from s2v.engine.backends.tensorrt.engine import LoadedEngine
from s2v.engine.backends.tensorrt.faces import GpuFaces
from s2v.engine.backends.tensorrt.module import TensorRT
from s2v.errors import BackendError

Course = Literal["whole", "network"]  # with what crosses the bus, or without

_log = logging.getLogger("s2v")


@dataclass(eq=False)
class _Buffer:
    """One tensor at the largest batch; on both sides if it crosses the bus with every frame."""

    address: int  # on the GPU
    host: NDArray[np.float32]  # pinned, (max_batch, ...); empty for what belongs to a face


@dataclass(eq=False)
class _Slot:
    """What one batch size needs."""

    context: Any
    graphs: dict[Course, Handle] = field(default_factory=dict)  # empty where capturing failed: queued piece by piece


class TensorRTGraph:
    """One engine. Fills `ResidentGraph`; `close` gives the GPU memory back, and so does the garbage collector."""

    def __init__(self, tensorrt: TensorRT, plan: bytes, device: Device) -> None:
        """Raises: BackendError, an engine of another GPU or TensorRT, or too little GPU memory."""
        self._device = device
        device.use()
        self._engine = engine = LoadedEngine(tensorrt, plan, device.name)
        self.inputs, self.outputs, self.max_batch = engine.inputs, engine.outputs, engine.max_batch
        self.batch_sizes = batch_sizes(self.max_batch)
        self._plan_bytes = len(plan)
        self._slots: dict[int, _Slot] = {}
        self._buffers: dict[str, _Buffer] = {}
        self._allocated = 0
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
        return self.run_parts([tensors])

    def run_parts(self, parts: Sequence[Tensors]) -> Tensors:
        """See `ResidentGraph.run_parts`, and `run`."""
        if not self._free.alive:
            raise BackendError("this TensorRT engine is closed: open it again")
        return in_parts(parts, self.max_batch, self.outputs, self._run)

    def gpu_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """See `TimedGraph.gpu_ms`; by CUDA events."""
        return self._times_ms(tensors, runs, "whole")

    def network_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """See `TimedGraph.network_ms`; by CUDA events."""
        return self._times_ms(tensors, runs, "network")

    def device_memory_bytes(self) -> int:
        """See `TimedGraph.device_memory_bytes`; the engine's weights are taken to be as large as its file."""
        return self._allocated + self._faces.device_bytes + self._plan_bytes if self._free.alive else 0

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
            host = np.empty(0, np.float32)
            if name in PER_FRAME or name in self.outputs:
                host = device.pinned(sizes[name]).view(np.float32).reshape(shape)
                host.fill(0)  # rows that only pad a batch are numbers, too
            self._buffers[name] = _Buffer(address, host)
        self._allocated = needed
        of_a_face = {name: (self._buffers[name].address, self.inputs[name]) for name in self.inputs.keys() - PER_FRAME}
        self._faces = GpuFaces(device, self._stream, of_a_face)
        stack.callback(self._faces.release)

    def _run(self, parts: Sequence[Tensors]) -> Tensors:
        rows = self._stage(parts)
        batch = padded_batch(rows, self.batch_sizes)
        slot = self._slots.get(batch)
        if slot is None:
            slot = self._slots[batch] = self._prepare(batch)
        else:
            self._queue(slot, batch, "whole")
        self._device.wait(self._stream)
        return {name: self._buffers[name].host[:rows] for name in self.outputs}

    def _stage(self, parts: Sequence[Tensors]) -> int:
        """Faces to the GPU and what is new in every call to pinned memory. Returns: the rows of the batch."""
        self._device.use()
        rows = 0
        for part in parts:
            count = len(part["mfcc"])
            for name in self.inputs.keys() & PER_FRAME:
                self._buffers[name].host[rows : rows + count] = part[name]
            rows += count
        identities = [{name: part[name] for name in self.inputs.keys() - PER_FRAME} for part in parts]
        self._faces.bring(identities, padded_batch(rows, self.batch_sizes))
        return rows

    def _prepare(self, batch: int) -> _Slot:
        """The first run of a batch size; captures it afterwards. Raises: BackendError."""
        addresses = {name: buffer.address for name, buffer in self._buffers.items()}
        slot = _Slot(self._engine.context(batch, addresses, self._working))
        self._queue(slot, batch, "whole")  # TensorRT prepares itself at the first run, which cannot be captured
        self._device.wait(self._stream)
        self._capture(slot, batch, "whole")
        return slot

    def _capture(self, slot: _Slot, batch: int, course: Course) -> None:
        try:
            self._device.begin_capture(self._stream)
            try:
                self._queue(slot, batch, course)
            except BackendError:
                with contextlib.suppress(BackendError):  # what went wrong first is what counts
                    self._device.end_graph(self._device.end_capture(self._stream))
                raise
            slot.graphs[course] = self._device.end_capture(self._stream)
        except BackendError as error:
            _log.warning("no CUDA graph for batches of %d (%s): each step is queued by itself", batch, error)

    def _queue(self, slot: _Slot, batch: int, course: Course) -> None:
        """Upload what is new in every call, run, download. Raises: BackendError."""
        if course in slot.graphs:
            self._device.launch(slot.graphs[course], self._stream)
            return
        crosses = course == "whole"
        for name in self.inputs.keys() & PER_FRAME if crosses else ():
            buffer = self._buffers[name]
            self._device.upload(buffer.address, buffer.host[:batch], self._stream)
        if not slot.context.execute_async_v3(self._device.stream_address(self._stream)):
            raise BackendError(f"TensorRT cannot run a batch of {batch}: close it and open it again")
        for name in self.outputs if crosses else ():
            buffer = self._buffers[name]
            self._device.download(buffer.host[:batch], buffer.address, self._stream)

    def _times_ms(self, tensors: Tensors, runs: int, course: Course) -> list[float]:
        """Runs are queued one behind the other, so that the time until the host has queued them does not count."""
        if len(tensors["mfcc"]) > self.max_batch:
            raise BackendError(f"a batch of {len(tensors['mfcc'])} is more than the engine's {self.max_batch}")
        self.run(tensors)
        batch = padded_batch(len(tensors["mfcc"]), self.batch_sizes)
        slot = self._slots[batch]
        if slot.graphs and course not in slot.graphs:
            self._capture(slot, batch, course)
        device = self._device
        with contextlib.ExitStack() as stack:
            events = []
            for _ in range(2 * runs):
                events.append(device.event())
                stack.callback(device.end_event, events[-1])
            pairs = list(zip(events[::2], events[1::2], strict=True))
            for begin, end in pairs:
                device.record(begin, self._stream)
                self._queue(slot, batch, course)
                device.record(end, self._stream)
            device.wait(self._stream)
            return [device.elapsed_ms(begin, end) for begin, end in pairs]


def _forget(slots: dict[int, _Slot], buffers: dict[str, _Buffer], device: Device) -> None:
    for graph in [graph for slot in slots.values() for graph in slot.graphs.values()]:
        with contextlib.suppress(BackendError):  # the rest must be freed all the same
            device.end_graph(graph)
    slots.clear()
    buffers.clear()


def _close(stack: contextlib.ExitStack) -> None:
    """Free everything that can be freed; a GPU that has failed refuses to, and then there is nothing to do."""
    try:
        stack.close()
    except BackendError as error:
        _log.warning("GPU memory could not be given back: %s", one_line(error))
