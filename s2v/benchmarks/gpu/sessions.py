"""Sessions of one backend, each with a face of its own: everything is prepared before time counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np

from s2v.benchmarks.our_network import batch_of, identities
from s2v.benchmarks.session_capacity import SessionsReport, in_one_loop, largest, runner_of, through_batcher
from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.backends.warm_up import MAX_ROWS, most_rows

Run = Callable[[Sequence[int]], object]  # draws a frame of each of these sessions


def sessions_with_faces(backend: Backend, identity: Tensors, most: int) -> Run:
    """For sessions 0 to `most` - 1, whose faces the backend has all seen.

    Do this before any time is taken: when a backend makes room for more faces, it prepares all batch sizes anew.
    """
    run = runner_of(backend, batch_of(backend.spec, identity, most)[1])
    for session in range(most):
        run([session])
    return run


def one_loop(backend: Backend, run: Run, most: int, seconds: float) -> SessionsReport:
    """Args: run: of `sessions_with_faces`. seconds: counted of each trial."""
    sizes = _sizes(backend, (backend.batch_sizes or (MAX_ROWS,))[-1])
    for size in sizes:  # each is prepared when it is first used
        run(range(min(size, most)))
    frame_s = 1 / backend.spec.fps
    return largest(lambda sessions: in_one_loop(run, sessions, frame_s, sizes[-1], seconds), most)


def with_threads(open_runtime: Callable[[], Backend], most: int, seconds: float) -> SessionsReport:
    """Through the batcher of `s2v live`. Raises: BackendError, the runtime cannot be opened or run."""
    opened: list[Backend] = []

    def opening() -> Backend:
        opened.append(open_runtime())
        return opened[0]

    shared = BatchingBackend(opening)
    with closing(shared):
        view = shared.view()
        identity = identities(view)
        faces = [
            {name: rows[index % len(rows)][None].copy() for name, rows in identity.items()} for index in range(most)
        ]
        for index, face in enumerate(faces):
            view.infer(batch_of(view.spec, face, 1, seed=index)[0], face)
        for size in _sizes(opened[0], most_rows(opened[0])):
            one = {name: np.broadcast_to(row, (size, *row.shape[1:])) for name, row in faces[0].items()}
            view.infer(batch_of(view.spec, faces[0], size)[0], one)
        frame_s = 1 / shared.spec.fps
        return largest(lambda sessions: through_batcher(shared, faces, sessions, frame_s, seconds), most)


def _sizes(backend: Backend, most: int) -> list[int]:
    """Batch sizes that a backend prepares, up to the one that holds `most` rows."""
    sizes: Sequence[int] = backend.batch_sizes or range(1, most + 1)
    return [size for size in sizes if size <= most] or [most]
