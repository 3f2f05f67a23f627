"""One GPU that is none, one TensorRT for it and one cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_cuda import FakeDevice
from fake_tensorrt import FakeTensorRT
from tiny_networks import tiny_model

from s2v.engine.backends.model_file import ModelFile, read_model_file
from s2v.engine.backends.tensorrt.backend import TensorRTBackend, open_on
from s2v.engine.backends.tensorrt.build import BuildOptions
from s2v.engine.backends.tensorrt.cuda import CudaDevice
from s2v.engine.backends.tensorrt.engine_cache import EngineCache
from s2v.errors import BackendError


def model(network: str = "s2v") -> ModelFile:
    return read_model_file(tiny_model(network).path)


class Machine:
    """One GPU, one TensorRT for it and one cache."""

    def __init__(self, folder: Path, rtx: bool = False, **device: Any) -> None:
        self.device = FakeDevice(**device)
        self.trt = FakeTensorRT(self.device, rtx=rtx)
        self.cache = EngineCache(folder / "engines")

    def open(self, of: ModelFile | None = None, **options: Any) -> TensorRTBackend:
        wanted = BuildOptions(**{"precision": "fp32", "max_batch": 4, **options})
        opened = open_on(of or model(), 1, self.trt.as_module(), self.device, self.cache, wanted)
        assert isinstance(opened, TensorRTBackend)
        return opened

    def forget_what_opening_did(self) -> None:
        self.device.uploads.clear()
        self.device.launches = self.device.waits = self.device.copied_bytes = 0


def real_gpu() -> CudaDevice | None:
    try:
        return CudaDevice()
    except BackendError:
        return None
