"""One runtime for many sessions: what they ask at the same time goes through it as one batch.

The runtime is opened, used and closed on one thread of its own. Each session holds a `BackendView`, which fills
`Backend`; whoever asks waits for the answer. Nothing waits for company: as soon as the runtime is free it takes
what is there. A view is used by one thread at a time and can be closed by any. A runtime that keeps faces on its device
(`ResidentBackend`) is handed each session's part as it is; for others they are stacked.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend, ComputeDevice, Part, ResidentBackend, Tensors
from s2v.engine.backends.warm_up import most_rows, run_each_size
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec

ANSWER_WITHIN_S = 10.0  # a runtime that has not answered by then never will in time for a live face

_log = logging.getLogger("s2v")


@dataclass(eq=False)
class _Request:
    run: Callable[[Backend, list[_Request]], Tensors]
    tensors: Tensors
    rows: int
    kind: Hashable  # requests of the same kind can be stacked; None is never stacked
    answer: Future[Tensors] = field(default_factory=Future)


class BatchingBackend:
    """Owns the runtime, its thread and what waits for it. Made and closed by anyone, `view` for each session."""

    def __init__(
        self, open_runtime: Callable[[], Backend], max_rows: int | None = None, answer_within_s: float = ANSWER_WITHIN_S
    ) -> None:
        """Open the runtime on its thread and run each batch size once; returns when it is ready.

        Args:
            open_runtime: called once, on that thread.
            max_rows: 1 or more; a single request that is larger still runs, alone. None: see `warm_up.most_rows`.
            answer_within_s: how long a caller waits for its answer at most.
        Raises: what `open_runtime` raised. BackendError, the runtime cannot run the model.
        """
        if max_rows is not None and max_rows < 1:
            raise BackendError(f"a batch of {max_rows} rows holds no frame: give 1 or more")
        self.batches = 0  # runs of the frame network so far ...
        self.rows = 0  # ... and the frames in them
        self.row_s = float("inf")  # seconds that a batch keeps the runtime busy for each of its frames, at best
        self._max_rows = max_rows or 0  # chosen on the thread if it is None
        self._answer_within_s = answer_within_s
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        opened: Future[Backend] = Future()
        # a daemon: a runtime that hangs in native code must not keep the process from ending
        self._thread = threading.Thread(target=self._work, args=(open_runtime, opened), name="s2v-network", daemon=True)
        self._thread.start()
        runtime = opened.result()
        self.name: str = runtime.name
        self.spec: LipSyncSpec = runtime.spec
        self.device: ComputeDevice = runtime.device
        self.batch_sizes: tuple[int, ...] = runtime.batch_sizes

    def view(self) -> BackendView:
        """A backend for one session; many may exist at once.

        Raises: BackendError, this is closed.
        """
        if self._closed:
            raise BackendError(f"{self.name} is closed: open it again with open_backend()")
        return BackendView(self)

    def close(self) -> None:
        """End everyone who waits with BackendError, close the runtime on its thread and join it; safe to call twice."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for request in left:
            request.answer.cancel()
        self._thread.join(self._answer_within_s)
        if self._thread.is_alive():
            _log.warning("backend %s is still busy after %g s: left to itself", self.name, self._answer_within_s)

    def ask(self, request: _Request) -> Tensors:
        """Wait for the answer to a request. Raises: BackendError; the request is withdrawn then."""
        with self._changed:
            if self._closed:
                raise BackendError(f"{self.name} is closed: open it again with open_backend()")
            self._waiting.append(request)
            self._changed.notify_all()
        try:
            return request.answer.result(self._answer_within_s)
        except CancelledError:
            raise BackendError(f"{self.name} was closed while a frame waited for it: open it again") from None
        except TimeoutError:
            self.withdraw(request)
            raise BackendError(
                f"{self.name} has not answered within {self._answer_within_s:g} s: serve fewer sessions, or restart"
            ) from None

    def withdraw(self, request: _Request) -> None:
        """Forget a request; who waits for it gets BackendError. Nothing happens if it is answered already."""
        request.answer.cancel()
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(request)

    def _work(self, open_runtime: Callable[[], Backend], opened: Future[Backend]) -> None:
        """The thread's life."""
        try:
            runtime = open_runtime()
        except BaseException as error:
            opened.set_exception(error)
            return
        try:
            self._max_rows = self._max_rows or most_rows(runtime)
            self.row_s = run_each_size(runtime, self._max_rows)
        except BaseException as error:
            runtime.close()
            opened.set_exception(error)
            return
        opened.set_result(runtime)
        while batch := self._take():
            _serve(runtime, batch)
            del batch  # what was asked and answered must not stay alive until the next request
        runtime.close()

    def _take(self) -> list[_Request]:
        """The oldest request and all that fit to it; waits for one. Empty when closed."""
        with self._changed:
            while not self._closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                batch = self._next_batch()
                # whoever gave up in this moment is left out; from here on, nobody can be
                if batch := [request for request in batch if request.answer.set_running_or_notify_cancel()]:
                    return batch
        return []

    def _next_batch(self) -> list[_Request]:
        batch = [self._waiting.popleft()]
        kind, rows = batch[0].kind, batch[0].rows
        if kind is None:
            return batch
        for request in list(self._waiting):
            if request.kind == kind and rows + request.rows <= self._max_rows:
                self._waiting.remove(request)
                batch.append(request)
                rows += request.rows
        self.batches += 1
        self.rows += rows
        return batch


class BackendView:
    """One session's share of a `BatchingBackend`. Fills `Backend`; what it returns belongs to the caller."""

    def __init__(self, shared: BatchingBackend) -> None:
        self.name: str = shared.name
        self.spec: LipSyncSpec = shared.spec
        self.device: ComputeDevice = shared.device
        self.batch_sizes: tuple[int, ...] = shared.batch_sizes
        self._shared = shared
        self._asked: _Request | None = None
        self._closed = False

    def encode_face(self, face: NDArray[np.float32]) -> Tensors:
        """See `Backend.encode_face`."""
        return self._ask(_Request(_encode_face, {"face": face}, 1, None))

    def infer(self, mfcc: NDArray[np.float32], identity: Tensors) -> Tensors:
        """See `Backend.infer`."""
        rows, kind = _kind(mfcc, identity)
        return self._ask(_Request(_infer, {**identity, "mfcc": mfcc}, rows, kind))

    def close(self) -> None:
        """Refuse further calls, and end one that waits; the runtime stays open for the others. Safe to call twice."""
        self._closed = True
        if (asked := self._asked) is not None:
            self._shared.withdraw(asked)

    def _ask(self, request: _Request) -> Tensors:
        self._asked = request  # before looking: a `close` in between then finds it
        try:
            if self._closed:
                raise BackendError(f"this view of {self.name} is closed: take another")
            return self._shared.ask(request)
        finally:
            self._asked = None


def _serve(runtime: Backend, batch: list[_Request]) -> None:
    """Run one batch and give each caller its own rows, or each its own copy of the error."""
    try:
        outputs = batch[0].run(runtime, batch)
        first = 0
        answers: list[Tensors] = []
        for request in batch:
            answers.append({name: rows[first : first + request.rows].copy() for name, rows in outputs.items()})
            first += request.rows
    except Exception as error:
        # a plain Exception is a defect, but one caller's must not end the thread that all depend on
        said = str(error) if isinstance(error, BackendError) else f"{runtime.name} failed: {error!r:.300}"
        for request in batch:
            request.answer.set_exception(BackendError(said))
        return
    for request, answer in zip(batch, answers, strict=True):
        request.answer.set_result(answer)


def _encode_face(runtime: Backend, batch: list[_Request]) -> Tensors:
    return runtime.encode_face(batch[0].tensors["face"])


def _infer(runtime: Backend, batch: list[_Request]) -> Tensors:
    parts = [_part(request.tensors) for request in batch]
    if isinstance(runtime, ResidentBackend):
        return runtime.infer_parts(parts)
    if len(parts) == 1:
        return runtime.infer(*parts[0])
    mfcc = np.concatenate([part for part, _ in parts])
    return runtime.infer(mfcc, {name: np.concatenate([faces[name] for _, faces in parts]) for name in parts[0][1]})


def _part(tensors: Tensors) -> Part:
    return tensors["mfcc"], {name: tensor for name, tensor in tensors.items() if name != "mfcc"}


def _kind(mfcc: NDArray[np.float32], identity: Tensors) -> tuple[int, Hashable]:
    """Rows of a request, and what it can be stacked with: nothing, when the runtime is going to refuse it."""
    tensors = {**identity, "mfcc": mfcc}
    if not all(isinstance(tensor, np.ndarray) and tensor.ndim for tensor in tensors.values()):
        return 1, None
    rows = len(mfcc)
    if rows < 1 or any(len(tensor) != rows for tensor in tensors.values()):
        return 1, None
    return rows, frozenset((name, tensor.shape[1:], tensor.dtype.str) for name, tensor in tensors.items())
