"""Before the first call comes: how many frames a runtime takes at once, and a run of each batch size."""

from __future__ import annotations

import time

import numpy as np

from s2v.engine.backends.base import Backend, ResidentBackend
from s2v.engine.backends.resident import padded_batch

MAX_ROWS = 8  # frames in one run; also what bounds the memory of a stacked batch
MAX_RESIDENT_ROWS = 64  # the same where faces stay on a device; each size up to it is prepared at the start
TRIALS = 2  # of each batch size; the slower ones were disturbed


def most_rows(runtime: Backend) -> int:
    """Frames that one run should have at most."""
    return min(runtime.batch_sizes[-1], MAX_RESIDENT_ROWS) if isinstance(runtime, ResidentBackend) else MAX_ROWS


def run_each_size(runtime: Backend, max_rows: int) -> float:
    """Runtimes prepare for a batch size at its first use, some 20 ms or more that no call should meet.

    Returns: seconds that a batch keeps the runtime busy for each of its frames, at best.
    Raises: BackendError, the runtime cannot run the model.
    """
    spec = runtime.spec
    encoded = runtime.encode_face(np.zeros((1, 6, spec.face_px, spec.face_px), np.float32))
    identity = {name: np.array(rows) for name, rows in encoded.items()}
    row_s = float("inf")
    for rows in _sizes(runtime, max_rows):
        mfcc = np.zeros((rows, 1, spec.n_cepstra, spec.n_columns), np.float32)
        faces = {name: np.broadcast_to(tensor, (rows, *tensor.shape[1:])) for name, tensor in identity.items()}
        runtime.infer(mfcc, faces)
        for _ in range(TRIALS):
            began_s = time.perf_counter()
            runtime.infer(mfcc, faces)
            row_s = min(row_s, (time.perf_counter() - began_s) / rows)
    return row_s


def _sizes(runtime: Backend, max_rows: int) -> list[int]:
    """The batch sizes that the runtime can be asked for, or what it pads them to."""
    sizes = runtime.batch_sizes
    if not sizes:
        return list(range(1, max_rows + 1))
    return sorted({padded_batch(rows, sizes) for rows in range(1, min(max_rows, sizes[-1]) + 1)})
