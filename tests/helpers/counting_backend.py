"""A torch backend on the CPU that passes for one on a GPU, and counts how it is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import DeviceKind, Outputs, Tensors
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.backends.torch.backend import TorchBackend, open_on
from s2v.engine.backends.torch.device import TorchCpuDevice


class PretendedGpu(TorchCpuDevice):
    """Fills `TorchDevice`: says that it is a GPU, and is none."""

    kind: DeviceKind = "cuda"


class CountingBackend:
    """Fills `DeviceOutputsBackend`."""

    def __init__(self, model: Path) -> None:
        self._backend: TorchBackend = open_on(read_model_file(model), PretendedGpu(), "fp32")
        self.name = self._backend.name
        self.spec = self._backend.spec
        self.device = self._backend.device
        self.batch_sizes = self._backend.batch_sizes
        self.asked: list[str] = []

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        return self._backend.encode_face(face)

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        self.asked.append("infer")
        return self._backend.infer(mfcc, identity)

    def infer_resident(self, mfcc: NDArray[np.float32], identity: Tensors) -> Outputs:
        self.asked.append("infer_resident")
        return self._backend.infer_resident(mfcc, identity)

    def close(self) -> None:
        self._backend.close()
