"""Memory of the torch runner that stays where it is: what crosses the bus, and the faces on the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.torch.device import TorchDevice
from s2v.engine.backends.torch.plan import Plan
from s2v.engine.backends.torch.program import Program

_ALIGNED = 256  # bytes; what kernels like best


@dataclass(frozen=True)
class Field:
    """One tensor of a batch, without the batch dimension."""

    shape: Shape
    kind: torch.dtype

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * self.kind.itemsize


class Crossing:
    """Some tensors of a batch in one piece of memory on each side, so that they cross the bus as one copy."""

    def __init__(self, device: TorchDevice, fields: Mapping[str, Field], most_rows: int) -> None:
        """Within `device.running()`."""
        self._fields = dict(fields)
        n_bytes = self._layout(most_rows)[1]
        self._host = device.host(n_bytes)
        self._device = torch.zeros(n_bytes, dtype=torch.uint8, device=device.device)
        self._host_views: dict[int, dict[str, NDArray[Any]]] = {}
        self._device_views: dict[int, dict[str, Tensor]] = {}

    @property
    def device_bytes(self) -> int:
        return self._device.nbytes

    def on_host(self, rows: int) -> dict[str, NDArray[Any]]:
        """Views for a batch of so many rows."""
        if rows not in self._host_views:
            self._host_views[rows] = {name: tensor.numpy() for name, tensor in self._views(self._host, rows).items()}
        return self._host_views[rows]

    def on_device(self, rows: int) -> dict[str, Tensor]:
        """Views for a batch of so many rows: always the same memory."""
        if rows not in self._device_views:
            self._device_views[rows] = self._views(self._device, rows)
        return self._device_views[rows]

    def up(self, rows: int) -> None:
        """Queue the copy to the device."""
        n_bytes = self._layout(rows)[1]
        self._device[:n_bytes].copy_(self._host[:n_bytes], non_blocking=True)

    def down(self, rows: int) -> None:
        """Queue the copy from the device."""
        n_bytes = self._layout(rows)[1]
        self._host[:n_bytes].copy_(self._device[:n_bytes], non_blocking=True)

    def _views(self, memory: Tensor, rows: int) -> dict[str, Tensor]:
        views = {}
        for name, begin in self._layout(rows)[0].items():
            field = self._fields[name]
            part = memory[begin : begin + rows * field.row_bytes]
            views[name] = part.view(field.kind).view(rows, *field.shape)
        return views

    def _layout(self, rows: int) -> tuple[dict[str, int], int]:
        """Where each tensor begins, and the length of all."""
        begins, end = {}, 0
        for name, field in self._fields.items():
            begins[name] = end
            end += -(-rows * field.row_bytes // _ALIGNED) * _ALIGNED
        return begins, end


class FaceBank:
    """What the network needs of each face, computed once and kept on the device, one row for each slot.

    `names` is empty for a network that needs nothing.
    """

    def __init__(self, device: TorchDevice, early: Program, slots: int) -> None:
        """Args: early: makes it from the identity tensors. Within `device.running()`."""
        self._device = device
        shapes, kinds = early.results_of(1)
        self._plan: Plan = early.plan({name: (1, *shape) for name, shape in early.inputs.items()})
        self._places: dict[str, tuple[torch.dtype, int, int, Shape]] = {}  # of each value: first and last number
        widths: dict[torch.dtype, int] = {}
        for name, shape in shapes.items():
            begin = widths.get(kinds[name], 0)
            end = begin + shape[1:].numel()
            self._places[name] = (kinds[name], begin, end, tuple(shape[1:]))
            widths[kinds[name]] = -(-end // 128) * 128
        self.slots = slots  # how many faces there is room for
        self._memory = {kind: self._empty(slots, width, kind) for kind, width in widths.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values that `take` gives."""
        return tuple(self._places)

    @property
    def device_bytes(self) -> int:
        return sum(memory.nbytes for memory in self._memory.values())

    def put(self, slot: int, identity: Tensors) -> None:
        """Args: identity: of one face, each (1, ...). Within `device.running()`."""
        given = []
        for name in self._plan.inputs:
            rows = identity[name]
            given.append(torch.from_numpy(rows if rows.flags.writeable else rows.copy()).to(self._device.device))
        for name, value in zip(self._plan.results, self._plan(*given), strict=True):
            kind, begin, end, shape = self._places[name]
            self._memory[kind][slot, begin:end].view(shape).copy_(value[0])

    def take(self, slots: Tensor) -> tuple[Tensor, ...]:
        """The values of several slots, each (b, ...), in the order of `names`; one gather for each type of number."""
        rows = {kind: memory.index_select(0, slots) for kind, memory in self._memory.items()}
        taken = []
        for kind, begin, end, shape in self._places.values():
            taken.append(rows[kind][:, begin:end].view(len(slots), *shape))
        return tuple(taken)

    def grow(self, slots: int) -> None:
        """Make room for more faces; the memory is another one then. Within `device.running()`."""
        self.slots = slots
        for kind, before in self._memory.items():
            after = self._empty(slots, before.shape[1], kind)
            after[: len(before)] = before
            self._memory[kind] = after

    def _empty(self, slots: int, width: int, kind: torch.dtype) -> Tensor:
        return torch.zeros((slots, width), dtype=kind, device=self._device.device)
