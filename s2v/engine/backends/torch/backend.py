"""torch, for GPUs without TensorRT, and for development: runs the ONNX graph as torch calls.

On a GPU the frame graph computes in float16, with the numerics of the TensorRT engine (`half_precision`); "fp32" is for
comparing. The face encoder runs once per face, in float32 everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend, Part, Tensors
from s2v.engine.backends.graphs import one_line
from s2v.engine.backends.half_precision import to_half
from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.resident import ResidentGraphBackend
from s2v.engine.backends.torch.device import TorchCpuDevice, TorchCudaDevice, TorchDevice
from s2v.engine.backends.torch.runner import TorchGraph, TorchRunner
from s2v.errors import BackendError, ModelError
from s2v.extras import how_to_install

DeviceChoice = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp16", "fp32"]

_log = logging.getLogger("s2v")


class TorchBackend(ResidentGraphBackend):
    """Fills `ResidentBackend` and `DeviceOutputsBackend`."""

    frame_graph: TorchRunner
    device: TorchDevice

    def __init__(self, name: str, model: ModelFile, face: TorchGraph | None, frame: TorchRunner) -> None:
        """Takes over `frame`. Raises: ModelError, the graphs do not fit each other or the spec."""
        super().__init__(name, model, face, frame, frame.device)

    @property
    def stream(self) -> torch.cuda.Stream | None:
        """Where all work is queued; None on the CPU."""
        return self.device.stream

    def infer_resident(self, mfcc: NDArray[np.float32], identity: Tensors) -> dict[str, torch.Tensor]:
        """See `DeviceOutputsBackend.infer_resident`.

        Returns: float32, contiguous, to be found by what is queued on `stream` afterwards. Always the same memory for
            batches of one padded size (`batch_sizes`).
        """
        return self.infer_parts_resident([(mfcc, identity)])

    def infer_parts_resident(self, parts: Sequence[Part]) -> dict[str, torch.Tensor]:
        """See `infer_resident`, and `infer_parts` for several sessions in one run."""
        return self._through(self.frame_graph.queue, parts)


def open_model(
    model: ModelFile,
    threads: int,
    device: DeviceChoice = "auto",
    precision: Precision | None = None,
    compiled: bool = False,
) -> Backend:
    """Args:
        threads: on the CPU, for the whole process, as torch has it.
        device: "auto" is CUDA if there is one.
        precision: None is float16 on CUDA, float32 on the CPU.
        compiled: through torch.compile, which takes some seconds for each batch size.

    Raises: BackendError, no such device, an operator that is not in the table, or no compiler. ModelError, a graph that
        is not ONNX.
    """
    chosen = device
    if device == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
        _log.info("backend torch: chose device %s", chosen)
    if chosen == "cuda":
        return open_on(model, TorchCudaDevice(), precision or "fp16", compiled)
    torch.set_num_threads(threads)
    return open_on(model, TorchCpuDevice(), precision or "fp32", compiled)


def open_on(model: ModelFile, device: TorchDevice, precision: Precision, compiled: bool = False) -> TorchBackend:
    """As `open_model`, on a given device."""
    if compiled:
        _refuse_without_compiler(device)
    try:
        face = None if model.face_graph is None else TorchGraph(model.face_graph, device)
        graph = to_half(model.frame_graph) if precision == "fp16" else model.frame_graph
        frame = TorchRunner(graph, device, compiled, exact=precision == "fp32")
    except BackendError:
        raise
    except torch.OutOfMemoryError as error:
        raise BackendError(f"{device.name} has too little memory free: end other programs on it") from error
    except Exception as error:  # protobuf, onnx and torch each have exceptions of their own
        raise ModelError(f"torch cannot load {model.path}: {one_line(error)}") from error
    backend = TorchBackend(_name(device, precision, compiled), model, face, frame)
    if compiled or device.stream is not None:  # what cannot work is to be refused now, not at the first frame
        try:
            frame.prepare(frame.batch_sizes[0])
        except Exception as error:
            backend.close()
            instead = "torch-cuda" if compiled else "onnxruntime"
            what = "torch.compile cannot compile" if compiled else f"torch cannot run on {device.name}"
            raise BackendError(f"{what} the network ({one_line(error)}): choose {instead}") from error
    return backend


def _refuse_without_compiler(device: TorchDevice) -> None:
    if device.stream is not None and find_spec("triton") is None:
        raise BackendError(f"torch.compile needs triton on a GPU: {how_to_install('triton')}, or choose torch-cuda")


def _name(device: TorchDevice, precision: Precision, compiled: bool) -> str:
    kind = device.kind
    usual = "fp16" if kind == "cuda" else "fp32"
    return "-".join(["torch", kind, *([precision] if precision != usual else []), *(["compiled"] if compiled else [])])
