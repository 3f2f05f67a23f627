"""What all runtimes share: one graph or two, the checks around them, and closing.

A runtime's own file only says how one ONNX graph is opened and run (`Graph`). Those with a device of their own keep
faces there (`ResidentGraph`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import CPU, ComputeDevice, Tensors
from s2v.engine.backends.model_file import ModelFile
from s2v.errors import BackendError, ModelError
from s2v.spec import TRACT_VARIABLES, LipSyncSpec

Shape = tuple[int, ...]

PER_FRAME = frozenset({"mfcc"})  # new in every call; every other input of a frame graph belongs to the face


class Graph(Protocol):
    """One ONNX graph, opened by one runtime, float32 in and out."""

    inputs: dict[str, Shape]  # without the batch dimension; -1 where the graph leaves a size open
    outputs: dict[str, Shape]

    def run(self, tensors: Tensors) -> Tensors:
        """Run one batch. The tensors are checked, contiguous, and all of the same batch size."""


class TimedGraph(Graph, Protocol):
    """A graph on a device that tells how long it takes there."""

    batch_sizes: tuple[int, ...]  # ascending; other batches are padded to the next, larger ones run in parts

    def gpu_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """Device time of each of several runs: windows up, faces gathered, network, outputs down.

        Raises: BackendError, a batch beyond the largest size.
        """

    def network_ms(self, tensors: Tensors, runs: int) -> list[float]:
        """The same without what crosses the bus."""

    def device_memory_bytes(self) -> int:
        """What it holds there at the moment: weights, buffers, faces, working memory."""


class ResidentGraph(TimedGraph, Protocol):
    """A frame graph that keeps faces on its device: each is uploaded once."""

    def run_parts(self, parts: Sequence[Tensors]) -> Tensors:
        """As `run`, with the rows of several inputs one after the other.

        Identity tensors need not be contiguous, but each of their rows must be.
        """

    def close(self) -> None:
        """Give everything back; safe to call twice, and on any thread. Outputs handed out before stay readable."""


class GraphBackend:
    """Fills `Backend` with the graphs of any runtime."""

    batch_sizes: tuple[int, ...] = ()

    def __init__(
        self, name: str, model: ModelFile, face: Graph | None, frame: Graph, device: ComputeDevice = CPU
    ) -> None:
        """Args: face: the face encoder; None if the model has none.

        Raises: ModelError, the graphs do not fit each other or the spec.
        """
        _check_halves(model, face, frame)
        self.name = name
        self.device = device
        self.spec: LipSyncSpec = model.spec
        self._face = face
        self._frame: Graph | None = frame

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        """See `Backend.encode_face`."""
        if self._face is None:
            self._open_frame()
            self._check("face", face, (1, *_face_shape(self.spec)))
            return {}
        return self._run(self._face, {"face": face}, batch=1)

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        """See `Backend.infer`."""
        batch = mfcc.shape[0] if isinstance(mfcc, np.ndarray) and mfcc.ndim else 1
        return self._run(self._open_frame(), {"mfcc": mfcc, **identity}, batch)

    def close(self) -> None:
        """See `Backend.close`."""
        self._face = self._frame = None

    def _open_frame(self) -> Graph:
        if self._frame is None:
            raise BackendError(f"{self.name} is closed: open it again with open_backend()")
        return self._frame

    def _run(self, graph: Graph, tensors: Tensors, batch: int) -> Tensors:
        checked = self._checked(graph, tensors, batch)
        try:
            return graph.run({name: np.ascontiguousarray(tensor) for name, tensor in checked.items()})
        except BackendError:
            raise
        except Exception as error:  # each runtime has exceptions of its own
            raise BackendError(f"{self.name} failed on a batch of {batch}: {one_line(error)}") from error

    def _checked(self, graph: Graph, tensors: Tensors, batch: int) -> Tensors:
        if tensors.keys() != graph.inputs.keys():
            raise BackendError(f"{self.name} got inputs {_names(tensors)} and wants {_names(graph.inputs)}")
        return {name: self._check(name, tensor, (batch, *graph.inputs[name])) for name, tensor in tensors.items()}

    def _check(self, name: str, tensor: NDArray[np.float32], wanted: Shape) -> NDArray[np.float32]:
        if type(tensor) is np.ndarray and tensor.dtype == np.float32 and tensor.shape == wanted and wanted[0]:
            return tensor  # as nearly always: many sessions' frames come through here
        if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32:
            kind = tensor.dtype if isinstance(tensor, np.ndarray) else type(tensor).__name__
            raise BackendError(f"{self.name}: input {name} is {kind}, and wants float32")
        if wanted[0] < 1 or not _fits(tensor.shape, wanted):
            raise BackendError(f"{self.name}: input {name} has shape {tensor.shape}, and wants {wanted}")
        return tensor


def one_line(error: Exception) -> str:
    """What a runtime said, in a form that fits into an error message."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def frame_outputs(spec: LipSyncSpec) -> dict[str, Shape]:
    """What the frame graph of a spec gives, without the batch dimension; see `Backend.infer`."""
    if spec.network == "speech2vid":
        return {"pixels": (3, spec.face_px, spec.face_px)}
    return {"motion": (spec.n_motion,), "tract": (len(TRACT_VARIABLES),)}


def _face_shape(spec: LipSyncSpec) -> Shape:
    return 6, spec.face_px, spec.face_px


def _check_halves(model: ModelFile, face: Graph | None, frame: Graph) -> None:
    spec = model.spec
    identity = {} if face is None else face.outputs
    pairs = [
        ("frame graph takes", frame.inputs, {"mfcc": (1, spec.n_cepstra, spec.n_columns), **identity}),
        ("frame graph gives", frame.outputs, frame_outputs(spec)),
    ]
    if face is not None:
        pairs.insert(0, ("face encoder takes", face.inputs, {"face": _face_shape(spec)}))
    for what, found, wanted in pairs:
        if found.keys() != wanted.keys() or not all(_fits(found[name], wanted[name]) for name in wanted):
            raise ModelError(f"{model.path}: its {what} {found} where {wanted} is wanted: export it again")


def _fits(found: Shape, wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(-1 in (a, b) or a == b for a, b in zip(found, wanted, strict=True))


def _names(tensors: Mapping[str, object]) -> str:
    return ", ".join(sorted(tensors)) or "none"
