"""TensorRT, for NVIDIA GPUs: the frame graph as a compiled engine.

The engine comes from the cache, or is built when the backend is opened (`s2v compile` does it beforehand). The face
encoder runs once per face, in float32, on ONNX Runtime: its time does not matter, its precision does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from s2v.engine.backends.base import Backend, PlainDevice
from s2v.engine.backends.graphs import one_line
from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.onnx import OnnxRuntimeGraph
from s2v.engine.backends.resident import ResidentGraphBackend
from s2v.engine.backends.tensorrt.build import BuildOptions, Precision
from s2v.engine.backends.tensorrt.compile import open_engine
from s2v.engine.backends.tensorrt.cuda import CudaDevice, Device
from s2v.engine.backends.tensorrt.engine_cache import EngineCache
from s2v.engine.backends.tensorrt.module import TensorRT, load_tensorrt
from s2v.engine.backends.tensorrt.runner import TensorRTGraph
from s2v.errors import BackendError, ModelError

_log = logging.getLogger("s2v")


class TensorRTBackend(ResidentGraphBackend):
    """Fills `ResidentBackend`."""

    frame_graph: TensorRTGraph


def open_model(model: ModelFile, threads: int, precision: Precision = "fp16") -> Backend:
    """Find or build the engine for this GPU, and open it; building takes up to some minutes, once.

    Args: threads: of the face encoder.
    Raises: BackendError, no GPU, no driver, no TensorRT, too little GPU memory, or an engine that differs visibly
        from ONNX Runtime. ModelError, a graph that cannot be read.
    """
    device = CudaDevice()
    return open_on(model, threads, load_tensorrt(), device, EngineCache(), BuildOptions(precision))


def open_on(
    model: ModelFile, threads: int, tensorrt: TensorRT, device: Device, cache: EngineCache, options: BuildOptions
) -> Backend:
    """As `open_model`, on a given device, with a given TensorRT and cache."""
    try:
        face = None if model.face_graph is None else OnnxRuntimeGraph(model.face_graph, threads)
    except Exception as error:  # its exceptions share no public base
        raise ModelError(f"onnxruntime cannot load {model.path}: {one_line(error)}") from error
    compiled, frame = open_engine(model, tensorrt, device, options, cache, _saying())
    if frame is None:
        raise BackendError(f"an engine for {compiled.key.target} does not run on {device.name}: leave the targets out")
    _log.info("backend tensorrt: %s", compiled.engine.name)
    return TensorRTBackend(f"{tensorrt.name}-{options.precision}", model, face, frame, PlainDevice(device.name, "cuda"))


def _saying() -> Callable[[str, int, int], None]:
    """Progress for a log: one line when a build begins."""
    began: list[str] = []

    def say(what: str, done: int, steps: int) -> None:
        if not began:
            began.append(what)
            _log.info("backend tensorrt: building the engine, which is done once and may take minutes")

    return say
