"""Our network through any runtime: inputs to run it with, its frame graph for comparisons, its time by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from s2v.benchmarks.timed_run import Run, TimedRun
from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.graphs import Shape, frame_outputs
from s2v.engine.backends.parity import some_faces, voice_like
from s2v.spec import LipSyncSpec


class FrameGraph:
    """The frame graph of an opened backend, whatever runs it. Fills `Graph`."""

    def __init__(self, backend: Backend, identity: Tensors) -> None:
        """Args: identity: of any face, for its shapes."""
        spec = backend.spec
        self.inputs: dict[str, Shape] = {"mfcc": (1, spec.n_cepstra, spec.n_columns)}
        self.inputs |= {name: rows.shape[1:] for name, rows in identity.items()}
        self.outputs: dict[str, Shape] = frame_outputs(spec)
        self._backend = backend

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`."""
        faces = {name: rows for name, rows in tensors.items() if name != "mfcc"}
        return self._backend.infer(tensors["mfcc"], faces)


def identities(backend: Backend, count: int = 3) -> Tensors:
    """What the face encoder gives for some faces: (count, ...) each."""
    encoded = []
    for face in some_faces(backend.spec, count):
        encoded.append({name: rows.copy() for name, rows in backend.encode_face(face).items()})
    return {name: np.concatenate([tensors[name] for tensors in encoded]) for name in encoded[0]}


def batch_of(spec: LipSyncSpec, identity: Tensors, rows: int, seed: int = 0) -> tuple[NDArray[np.float32], Tensors]:
    """As many frames of as many sessions, with the faces of `identity` in turn."""
    mfcc = voice_like(np.random.default_rng(seed), rows, spec)
    return mfcc, {name: np.take(tensor, np.arange(rows) % len(tensor), axis=0) for name, tensor in identity.items()}


def our_runs(backend: Backend) -> Callable[[int], Run]:
    """Makes a batch ready; each run of it is one `infer`, inputs and outputs in ordinary memory."""
    identity = identities(backend)

    def ready(batch: int) -> Run:
        mfcc, faces = batch_of(backend.spec, identity, batch)

        def run() -> TimedRun:
            began_s = time.perf_counter()
            backend.infer(mfcc, faces)
            return TimedRun(1000 * (time.perf_counter() - began_s), None)

        return run

    return ready
