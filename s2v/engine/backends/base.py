"""What every runtime must offer, and how one is chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec

Tensors = dict[str, NDArray[np.float32]]
Part = tuple[NDArray[np.float32], Tensors]  # what `infer` takes, of one session


class Backend(Protocol):
    """Runs the two halves of a model file. Opened, called and closed by one thread."""

    name: str  # "onnxruntime-cpu", "openvino-bf16": what logs and benchmark rows print
    spec: LipSyncSpec

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        """Identity features, once per face.

        Args:
            face: (1, 6, face_px, face_px) float32 in [0, 1]: lower half masked BGR, then reference BGR.
        Returns: the named identity tensors, each (1, ...), to be handed to `infer` unchanged.
        Raises: BackendError, naming the input, the shape it got and the shape it wants.
        """

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        """One batch of frames.

        Args:
            mfcc: (b, 1, n_cepstra, n_columns) float32, normalised, oldest column first.
            identity: what `encode_face` returned, each (b, ...). Several frames of one face: `np.broadcast_to`
                costs no memory, and on a device that keeps faces no time.
        Returns: network "s2v": `motion` (b, n_motion), `mouth` (b, 4, mouth_h_px, mouth_w_px)
            BGR + alpha in [0, 1]; network "speech2vid": `pixels` (b, 3, face_px, face_px) BGR in [0, 1].
            Reused by the next call: copy to keep.
        Raises: BackendError, naming the input, the shape it got and the shape it wants.
        """

    def close(self) -> None:
        """Free the runtime; safe to call twice."""


class ResidentBackend(Backend, Protocol):
    """A backend with a device of its own, where each face is uploaded once and stays.

    A face is recognised by the memory of its identity: hand in the same arrays, or views of them, in every call, and
    never write to them.
    """

    batch_sizes: tuple[int, ...]  # rows of one run, ascending; it pads others to the next

    def infer_parts(self, parts: Sequence[Part]) -> Tensors:
        """As `infer`, with the frames of several sessions, one after the other, in one run.

        Raises: BackendError, no parts, or as `infer`.
        """


def as_resident(backend: Backend) -> ResidentBackend | None:
    """The backend as one that keeps faces on its device, if it does."""
    return cast(ResidentBackend, backend) if hasattr(backend, "infer_parts") else None
