"""What every runtime must offer, and what some can besides: protocols, asked for with `isinstance`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec

Tensors = dict[str, NDArray[np.float32]]
Part = tuple[NDArray[np.float32], Tensors]  # what `infer` takes, of one session
DeviceKind = Literal["cpu", "cuda"]


class ComputeDevice(Protocol):
    """Where a backend computes: one object for each queue of work there, whose results only its holders find there."""

    @property
    def name(self) -> str:
        """ "cpu", "NVIDIA L4"."""

    @property
    def kind(self) -> DeviceKind:
        """Of "cpu", results lie in host memory."""

    @property
    def runs_torch(self) -> bool:
        """Whether torch computes there, and so can draw there, too."""


@dataclass(frozen=True)
class PlainDevice:
    """Fills `ComputeDevice` for runtimes other than torch."""

    name: str
    kind: DeviceKind
    runs_torch: bool = False


CPU = PlainDevice("cpu", "cpu")


class OutputRows(Protocol):
    """One output of a batch, of numpy in host memory or of torch on a device: rows are cut off both alike."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> OutputRows: ...


Outputs = Mapping[str, OutputRows]  # of `Backend.infer`, wherever they lie


class Backend(Protocol):
    """Runs the graphs of a model file. Opened, called and closed by one thread."""

    name: str  # "onnxruntime-cpu", "openvino-bf16": what logs and benchmark rows print
    spec: LipSyncSpec
    batch_sizes: tuple[int, ...]  # rows of one run, ascending; others are padded. Empty: any number runs as it is

    @property
    def device(self) -> ComputeDevice:
        """Where it computes: always the same object."""

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        """Identity features, once per face.

        Args:
            face: (1, 6, face_px, face_px) float32 in [0, 1]: lower half masked BGR, then reference BGR.
        Returns: the named identity tensors, each (1, ...), to be handed to `infer` unchanged; none from a network
            that moves every face alike.
        Raises: BackendError, naming the input, the shape it got and the shape it wants.
        """

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        """One batch of frames.

        Args:
            mfcc: (b, 1, n_cepstra, n_columns) float32, normalised, oldest column first.
            identity: what `encode_face` returned, each (b, ...). Several frames of one face: `np.broadcast_to`
                costs no memory, and on a device that keeps faces no time.
        Returns: network "s2v": `motion` (b, n_motion), and `tract` (b, 5) in [0, 1], which `spec.TRACT_VARIABLES`
            names; network "speech2vid": `pixels` (b, 3, face_px, face_px) BGR in [0, 1].
            Reused by the next call: copy to keep.
        Raises: BackendError, naming the input, the shape it got and the shape it wants.
        """

    def close(self) -> None:
        """Free the runtime; safe to call twice."""


@runtime_checkable
class ResidentBackend(Backend, Protocol):
    """A backend with a device of its own, and `batch_sizes`, where each face is uploaded once and stays.

    A face is recognised by the memory of its identity: hand in the same arrays, or views of them, in every call, and
    never write to them.
    """

    def infer_parts(self, parts: Sequence[Part]) -> Tensors:
        """As `infer`, with the frames of several sessions, one after the other, in one run.

        Raises: BackendError, no parts, or as `infer`.
        """


@runtime_checkable
class DeviceOutputsBackend(Backend, Protocol):
    """A backend whose outputs can stay on its device, for a compositor that draws there (`Compositor.draws_from`)."""

    def infer_resident(self, mfcc: NDArray[np.float32], identity: Tensors) -> Outputs:
        """As `infer`, but the outputs stay on the device, and nothing is waited for.

        Returns: what work that is queued on the device afterwards finds there; the next call writes to it.
        Raises: BackendError, as `infer`, or more rows than the largest of `batch_sizes`.
        """
