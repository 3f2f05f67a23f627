"""Faces on the GPU for a TensorRT engine: each is uploaded once, and copied within the GPU to the rows that want it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import numpy as np

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.face_slots import FaceSlots, NewFace
from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.tensorrt.cuda import Device, Handle
from s2v.errors import BackendError

AT_FIRST, AT_MOST = 64, 2048  # slots; each takes GPU memory only when a face comes
_ALIGNED = 256  # bytes, as GPU memory is allocated


class GpuFaces:
    """Owns one piece of GPU memory for each face; writes to the engine's identity inputs, which are its caller's."""

    def __init__(self, device: Device, stream: Handle, inputs: Mapping[str, tuple[int, Shape]]) -> None:
        """Args: inputs: address and shape, without the batch dimension, of each identity input."""
        self._device, self._stream = device, stream
        self._slots = FaceSlots(AT_FIRST, AT_MOST)
        self._inputs = {name: (address, 4 * int(np.prod(shape))) for name, (address, shape) in inputs.items()}
        self._begins, self._n_bytes = _layout({name: n_bytes for name, (_, n_bytes) in self._inputs.items()})
        # for one face on its way; a network may need nothing of it
        self._host = device.pinned(self._n_bytes) if self._inputs else np.empty(0, np.uint8)
        self._memory: dict[int, int] = {}  # slot -> address
        self._came: dict[int, int] = {}  # slot -> which face it is, counted as they came
        self._rows: dict[int, int] = {}  # row of the inputs -> the face that is there

    @property
    def device_bytes(self) -> int:
        return len(self._memory) * self._n_bytes

    def bring(self, identities: Sequence[Tensors], batch: int) -> None:
        """Queue what is missing until the first rows of the inputs hold these faces, and the others the last of them.

        Raises: BackendError, too little GPU memory, or the driver's words.
        """
        if not self._inputs:
            return
        slots, new = self._slots.place(identities)
        try:
            for face in new:
                self._upload(face)
        except BaseException:
            self._slots.forget(new)
            raise
        slots += [slots[-1]] * (batch - len(slots))
        for row, slot in enumerate(slots):
            if self._rows.get(row) != self._came[slot]:
                self._rows.pop(row, None)
                for name, (address, n_bytes) in self._inputs.items():
                    source = self._memory[slot] + self._begins[name]
                    self._device.copy(address + row * n_bytes, source, n_bytes, self._stream)
                self._rows[row] = self._came[slot]

    def release(self) -> None:
        """Free the memory of all faces."""
        while self._memory:
            with contextlib.suppress(BackendError):  # the rest must be freed all the same
                self._device.release(self._memory.popitem()[1])
        self._host = np.empty(0, np.uint8)

    def _upload(self, face: NewFace) -> None:
        if face.slot not in self._memory:
            self._memory[face.slot] = self._device.allocate(self._n_bytes)
        self._came[face.slot] = 1 + max(self._came.values(), default=0)
        for name, begin in self._begins.items():
            row = np.ascontiguousarray(face.row[name], np.float32).reshape(-1).view(np.uint8)
            self._host[begin : begin + len(row)] = row
        self._device.upload(self._memory[face.slot], self._host, self._stream)
        self._device.wait(self._stream)  # the next face is staged in the same memory


def _layout(sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Where each tensor of a face begins, and the length of all."""
    begins, end = {}, 0
    for name, n_bytes in sizes.items():
        begins[name] = end
        end += -(-n_bytes // _ALIGNED) * _ALIGNED
    return begins, end
