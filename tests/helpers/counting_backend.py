"""A torch backend on the CPU that passes for one on a GPU, and counts how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend, Tensors

if TYPE_CHECKING:
    import torch


class CountingBackend:
    """Fills `Backend`; `composer_for` takes it for a GPU's."""

    def __init__(self, backend: Backend) -> None:
        from s2v.engine.backends.torch.backend import TorchBackend  # tests without torch import this module, too

        assert isinstance(backend, TorchBackend)
        self._backend = backend
        self.name = "torch-cuda"
        self.spec = backend.spec
        self.side = backend.side
        self.asked: list[str] = []

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        return self._backend.encode_face(face)

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        self.asked.append("infer")
        return self._backend.infer(mfcc, identity)

    def infer_resident(self, mfcc: NDArray[np.float32], identity: Tensors) -> dict[str, torch.Tensor]:
        self.asked.append("infer_resident")
        return self._backend.infer_resident(mfcc, identity)

    def close(self) -> None:
        self._backend.close()
