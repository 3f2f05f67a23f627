"""The frame graph on a torch device, ready to draw frames.

All memory is allocated once. A frame is one launch: the windows and the number of each row's face go up, the faces are
gathered on the device, the network runs, and its outputs come down. What that takes is captured for each batch
size at its first use (`TorchDevice.capture`); batches in between are padded with rows that nobody reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.face_slots import FaceSlots
from s2v.engine.backends.graphs import PER_FRAME
from s2v.engine.backends.resident import in_parts, padded_batch
from s2v.engine.backends.torch.device import TorchDevice, Work
from s2v.engine.backends.torch.memory import Crossing, FaceBank, Field
from s2v.engine.backends.torch.plan import Plan
from s2v.engine.backends.torch.program import Program
from s2v.errors import BackendError

Course = Literal["whole", "up", "network"]  # up, network and down; without down; the network alone
Compute = Callable[..., None]

_log = logging.getLogger("s2v")


class TorchGraph:
    """One graph, run as it comes: for what runs once per face. Fills `Graph`."""

    def __init__(self, graph: bytes, device: TorchDevice) -> None:
        """Raises: BackendError, an operator that the table lacks."""
        self._device = device
        with device.running():
            self._program = Program(graph, device.device)
        self._plans: dict[tuple[torch.Size, ...], Plan] = {}
        self.inputs, self.outputs = self._program.inputs, self._program.outputs

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`. Returns: memory of the caller's own."""
        with self._device.running(exact=True):
            given = []
            for name in self.inputs:
                array = tensors[name]
                given.append(torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device.device))
            key = tuple(tensor.shape for tensor in given)
            if key not in self._plans:
                self._plans[key] = self._program.plan(dict(zip(self.inputs, key, strict=True)))
            plan = self._plans[key]
            return {name: _own(value) for name, value in zip(plan.results, plan(*given), strict=True)}


class TorchRunner:
    """The frame graph with everything in its place. Fills `ResidentGraph`."""

    def __init__(self, graph: bytes, device: TorchDevice, compiled: bool = False, exact: bool = False) -> None:
        """Allocate.

        Args:
            compiled: let torch.compile make one program of the network, for each batch size.
            exact: float32 is float32, not TF32.
        Raises: BackendError, an operator that the table lacks.
        """
        self.device = device
        # compiling takes seconds for each size, so there are fewer: powers of four, and the largest
        most = device.batch_sizes[-1]
        self.batch_sizes = tuple(n for n in device.batch_sizes if not compiled or n in (1, 4, 16, 64, 256, most))
        self._compiled, self._exact = compiled, exact
        self._courses: dict[tuple[int, Course], Work] = {}
        self._computes: dict[int, Compute] = {}  # compiled, by batch size
        self._in_flight: Callable[[], None] | None = None  # waits until the last upload is done
        self._slots = FaceSlots(*device.faces)
        with device.running():
            program = Program(graph, device.device, loose_outputs=True, channels_last=device.channels_last)
            self.inputs, self.outputs = program.inputs, program.outputs
            early, self._late = program.split(PER_FRAME)
            if [name for name in self.inputs if name in PER_FRAME] != ["mfcc"]:
                raise BackendError(f"the frame graph takes {', '.join(self.inputs)} and no mfcc: export it again")
            self._bank: FaceBank | None = FaceBank(device, early, self._slots.count)
            ups = {"slots": Field((), torch.int32), "mfcc": Field(self.inputs["mfcc"], torch.float32)}
            self._up = Crossing(device, ups, most)
            downs = {name: Field(shape, torch.float32) for name, shape in self.outputs.items()}
            self._down = Crossing(device, downs, most)

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`."""
        return self.run_parts([tensors])

    def run_parts(self, parts: Sequence[Tensors]) -> Tensors:
        """See `ResidentGraph.run_parts`."""
        return in_parts(parts, self.batch_sizes[-1], self.outputs, self._run)

    def queue(self, parts: Sequence[Tensors]) -> dict[str, Tensor]:
        """As `run_parts`, but nothing comes down and nothing is waited for.

        Returns: float32 on the device, contiguous: always the same memory for batches of one padded size; the next
            call writes to it.
        Raises: BackendError, closed, or more rows than the largest batch.
        """
        with self.device.running():
            rows, batch = self._go(parts, "up")
            self._in_flight = self.device.fence()
            return {name: tensor[:rows] for name, tensor in self._down.on_device(batch).items()}

    def prepare(self, batch: int) -> None:
        """Run and capture a batch size of `batch_sizes` before it is needed."""
        with self.device.running():
            self._course(batch, "whole")

    def gpu_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """See `TimedGraph.gpu_ms`."""
        return self._times_ms(tensors, runs, "whole")

    def network_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """See `TimedGraph.network_ms`."""
        return self._times_ms(tensors, runs, "network")

    def device_memory_bytes(self) -> int:
        """See `TimedGraph.device_memory_bytes`."""
        if self._bank is None:
            return 0
        weights = sum(value.nbytes for value in self._late.constants.values() if value.is_floating_point())
        crossing = self._up.device_bytes + self._down.device_bytes
        return weights + crossing + self._bank.device_bytes + self.device.captured_bytes()

    def close(self) -> None:
        """Let everything go; outputs handed out before stay readable. Safe to call twice."""
        if self._bank is None:
            return
        with self.device.running():
            self.device.wait()
            self._courses.clear()
            self._computes.clear()
            self._bank = None
            del self._up, self._down, self._late
        self.device.release()

    def _run(self, parts: Sequence[Tensors]) -> Tensors:
        with self.device.running():
            rows, batch = self._go(parts, "whole")
            self.device.wait()
            self._in_flight = None
            return {name: tensor[:rows] for name, tensor in self._down.on_host(batch).items()}

    def _go(self, parts: Sequence[Tensors], course: Course) -> tuple[int, int]:
        """Queue one batch. Returns: its rows, and the padded size."""
        if self._bank is None:
            raise BackendError("this torch network is closed: open it again")
        rows = sum(len(part["mfcc"]) for part in parts)
        batch = padded_batch(rows, self.batch_sizes)
        slots = [0] * rows
        if self._bank.names:
            slots = self._bring([{name: part[name] for name in self.inputs if name not in PER_FRAME} for part in parts])
        if self._in_flight is not None:
            self._in_flight()
        host, first = self._up.on_host(batch), 0
        for part in parts:
            host["mfcc"][first : first + len(part["mfcc"])] = part["mfcc"]
            first += len(part["mfcc"])
        host["slots"][:rows] = slots
        host["slots"][rows:] = slots[-1]
        self._course(batch, course)()
        return rows, batch

    def _bring(self, identities: Sequence[Tensors]) -> list[int]:
        """The slot of each row; faces that are not on the device are brought there."""
        bank = self._bank
        assert bank is not None
        slots, new = self._slots.place(identities)
        try:
            if self._slots.count > bank.slots:
                _log.info("room for %d faces on %s, %d before", self._slots.count, self.device.name, bank.slots)
                self.device.wait()
                bank.grow(self._slots.count)
                self._courses.clear()  # they read the memory from before
            for face in new:
                bank.put(face.slot, face.row)
        except BaseException:
            self._slots.forget(new)
            raise
        return slots

    def _course(self, batch: int, course: Course) -> Work:
        key = (batch, course)
        if key not in self._courses:
            self._courses[key] = self.device.capture(self._work(batch, course), self._exact)
        return self._courses[key]

    def _work(self, batch: int, course: Course) -> Work:
        """What is captured: it must not hold this object, which holds it."""
        bank, up, down = self._bank, self._up, self._down
        assert bank is not None
        shapes: dict[str, tuple[int, ...]] = {name: (batch, *shape) for name, shape in self._late.inputs.items()}
        compute = network(self._late.plan(shapes), bank.names)
        if self._compiled:
            compute = self._computes.setdefault(batch, compiled(compute, batch))
        given, results = up.on_device(batch), down.on_device(batch)

        def work() -> None:
            if course != "network":
                up.up(batch)
            compute(given["mfcc"], bank.take(given["slots"]), tuple(results.values()))
            if course == "whole":
                down.down(batch)

        return work

    def _times_ms(self, tensors: Tensors, runs: int, course: Course) -> list[float]:
        rows = len(tensors["mfcc"])
        if rows > self.batch_sizes[-1]:
            raise BackendError(f"a batch of {rows} is more than the {self.batch_sizes[-1]} that are run at once")
        self.run(tensors)
        with self.device.running():
            work = self._course(padded_batch(rows, self.batch_sizes), course)
            return self.device.times_ms(work, runs)


def network(plan: Plan, faces: Sequence[str]) -> Compute:
    """A plan as a function of (windows, values of the faces, memory of the outputs)."""
    order = [("mfcc", *faces).index(name) for name in plan.inputs]

    def compute(mfcc: Tensor, values: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        given = (mfcc, *values)
        results = plan(*[given[at] for at in order])
        for output, result in zip(outputs, results, strict=True):
            output.copy_(result)

    return compute


def compiled(compute: Compute, batch: int, compiler: str = "inductor") -> Compute:
    """The same through torch.compile: in one piece, for one batch size. Compiles at its first call."""
    assert isinstance(compute, FunctionType)
    # torch counts what it compiles by code object and stops at eight: each size gets an object of its own
    code = compute.__code__.replace(co_name=f"compute_{batch}_rows")
    own = FunctionType(code, compute.__globals__, code.co_name, compute.__defaults__, compute.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False, backend=compiler)


def _own(value: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Host memory that nothing else looks at."""
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = value.cpu().contiguous().numpy()
    return array.copy() if value.device.type == "cpu" else array
