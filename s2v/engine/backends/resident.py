"""Backends with a device of their own: faces stay there, and batches come in sizes that are prepared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import ComputeDevice, Part, Tensors
from s2v.engine.backends.graphs import Graph, GraphBackend, ResidentGraph, Shape, one_line
from s2v.engine.backends.model_file import ModelFile
from s2v.errors import BackendError

T = TypeVar("T")


class ResidentGraphBackend(GraphBackend):
    """Fills `ResidentBackend`; gives the device's memory back when it is closed."""

    frame_graph: ResidentGraph

    def __init__(
        self, name: str, model: ModelFile, face: Graph | None, frame: ResidentGraph, device: ComputeDevice
    ) -> None:
        """Takes over `frame`. Raises: ModelError, the graphs do not fit each other or the spec."""
        self.frame_graph = frame
        self.batch_sizes = frame.batch_sizes
        try:
            super().__init__(name, model, face, frame, device)
        except BaseException:
            frame.close()
            raise

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        """See `Backend.infer`."""
        return self.infer_parts([(mfcc, identity)])

    def infer_parts(self, parts: Sequence[Part]) -> Tensors:
        """See `ResidentBackend.infer_parts`."""
        return self._through(self.frame_graph.run_parts, parts)

    def close(self) -> None:
        """See `Backend.close`."""
        super().close()
        self.frame_graph.close()

    def _through(self, run: Callable[[Sequence[Tensors]], T], parts: Sequence[Part]) -> T:
        frame = self._open_frame()
        if not parts:
            raise BackendError(f"{self.name} got no parts: hand in at least one")
        checked = []
        for mfcc, identity in parts:
            batch = mfcc.shape[0] if isinstance(mfcc, np.ndarray) and mfcc.ndim else 1
            tensors = self._checked(frame, {"mfcc": mfcc, **identity}, batch)
            checked.append({name: _whole_rows(tensor) for name, tensor in tensors.items()})
        try:
            return run(checked)
        except BackendError:
            raise
        except Exception as error:  # each runtime has exceptions of its own
            rows = sum(len(tensors["mfcc"]) for tensors in checked)
            raise BackendError(f"{self.name} failed on a batch of {rows}: {one_line(error)}") from error


def batch_sizes(most: int) -> tuple[int, ...]:
    """What is worth preparing for: 1, 2, 3, 4, 6, 8, 12, 16, ... and `most`: padding adds less than half."""
    powers = [2**n for n in range(most.bit_length())]
    return tuple(sorted({size for power in powers for size in (power, power * 3 // 2) if size <= most} | {most}))


def padded_batch(rows: int, sizes: Sequence[int]) -> int:
    """The smallest of the ascending sizes that holds so many rows. Raises: BackendError, none does."""
    for size in sizes:
        if rows <= size:
            return size
    raise BackendError(f"a batch of {rows} is more than the {sizes[-1]} that are run at once: hand in fewer")


def in_parts(
    parts: Sequence[Tensors], most: int, outputs: Mapping[str, Shape], run: Callable[[Sequence[Tensors]], Tensors]
) -> Tensors:
    """Run rows that are too many for one batch in several."""
    if sum(len(part["mfcc"]) for part in parts) <= most:
        return run(parts)
    batches: list[list[Tensors]] = [[]]
    left = most
    for part in parts:
        first, rows = 0, len(part["mfcc"])
        while first < rows:
            if not left:
                batches.append([])
                left = most
            count = min(left, rows - first)
            batches[-1].append({name: tensor[first : first + count] for name, tensor in part.items()})
            first, left = first + count, left - count
    found = [{name: rows.copy() for name, rows in run(batch).items()} for batch in batches]
    return {name: np.concatenate([part[name] for part in found]) for name in outputs}


def _whole_rows(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tensor, or a copy if its rows are not contiguous."""
    return tensor if tensor.flags.c_contiguous or tensor[0].flags.c_contiguous else np.ascontiguousarray(tensor)
