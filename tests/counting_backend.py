"""A torch backend on the CPU that passes for one on a GPU, and counts how it is asked."""

from __future__ import annotations

from typing import Any

from s2v.spec import LipSyncSpec


class CountingBackend:
    """Fills `Backend`; `composer_for` takes it for a GPU's."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name = "torch-cuda"
        self.spec: LipSyncSpec = backend.spec
        self.side = backend.side
        self.asked: list[str] = []

    def encode_face(self, face: Any) -> Any:
        return self._backend.encode_face(face)

    def infer(self, mfcc: Any, identity: Any) -> Any:
        self.asked.append("infer")
        return self._backend.infer(mfcc, identity)

    def infer_resident(self, mfcc: Any, identity: Any) -> Any:
        self.asked.append("infer_resident")
        return self._backend.infer_resident(mfcc, identity)

    def close(self) -> None:
        self._backend.close()
