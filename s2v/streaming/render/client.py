"""A `Renderer` in a process of its own, as its parent sees it: same surface, and its faults end there.

Python runs one thread at a time. With drawing and sending in one process, three sessions had 12 frames a second while
a third of the machine stood idle; see docs/LOG.md, "Two processes". A process that has ended is begun anew by whoever
needs it next; the sessions it drew for end with an error.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo import MAX_SIDE_PX, Image
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec
from s2v.streaming.render.process import FindFace, Opened, RenderConfig, draw, slots_shape
from s2v.streaming.render.remote_engine import RemoteEngine, answer, send

START_WITHIN_S = 120.0  # a busy machine opens a runtime in a few seconds
FIND_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
ENDING_S = 2.0  # from a process's last word until it can be told that it has ended

log = logging.getLogger(__name__)


class RenderClient:
    """Owns the process. May be used by any thread."""

    def __init__(
        self,
        model: Path | None = None,
        backend: str = "auto",
        idle_seed: int | None = None,
        max_side_px: int = MAX_SIDE_PX,
        compose: str = "auto",
    ) -> None:
        """Start the process and wait until its runtime is open.

        Args: as of `Renderer`.
        Raises: BackendError, ModelError, as of `Renderer`; BackendError, the process does not start.
        """
        level = logging.getLogger("s2v").getEffectiveLevel()
        self._config = RenderConfig(model, backend, idle_seed, max_side_px, level, compose)
        self._authkey = secrets.token_bytes(32)
        self._starting = threading.Lock()
        self._closed = False
        self._process, self._pipe, self._opened = self._start()
        self.batches = 0  # as of `BatchingBackend`, since the process began ...
        self.rows = 0
        self.cpu_s = 0.0  # ... and its processor time, both as last heard of

    @property
    def spec(self) -> LipSyncSpec:
        return self._opened.spec

    @property
    def name(self) -> str:
        """Of the runtime."""
        return self._opened.backend_name

    @property
    def row_s(self) -> float:
        """See `BatchingBackend.row_s`."""
        return self._opened.row_s

    @property
    def pid(self) -> int:
        return self._opened.pid

    def enrol(self, data: bytes, name: str = "the photo", face_index: int | None = None) -> RemotePortrait:
        """See `Renderer.enrol`. Raises: FaceError. BackendError, the process has ended and cannot be begun anew."""
        return self._find(FindFace(data, name, face_index))

    def portrait(self, photo: Image, face_index: int | None = None) -> RemotePortrait:
        """See `Renderer.portrait`."""
        return self._find(FindFace(photo, "the photo", face_index))

    def close(self) -> None:
        """End the process and join it; engines that are still in use end with BackendError. Safe to call twice."""
        with self._starting:
            self._closed = True
            _stop(self._process, self._pipe)

    def call(self) -> Connection:
        """A line to the process, which is begun anew if it has ended.

        Raises: BackendError, it cannot be, or this is closed.
        """
        failure: Exception | None = None
        for _ in range(2):
            process, address = self._alive()
            try:
                return Client(address, authkey=self._authkey)
            except (OSError, EOFError, multiprocessing.AuthenticationError) as error:
                failure = error
                process.join(ENDING_S)  # perhaps it is just dying: then another can be started
        raise BackendError(f"the process that draws does not answer ({failure!r:.100}): try again")

    def _alive(self) -> tuple[BaseProcess, str]:
        """The process, and where it listens."""
        with self._starting:
            if self._closed:
                raise BackendError("the renderer is closed: open another")
            if not self._process.is_alive():
                log.warning("the process that draws has ended (exit code %s): starting another", self._process.exitcode)
                _stop(self._process, self._pipe)
                self._process, self._pipe, self._opened = self._start()
            return self._process, self._opened.address

    def _find(self, request: FindFace) -> RemotePortrait:
        with self.call() as line:
            send(line, request)
            found = answer(line, FIND_WITHIN_S)
        return RemotePortrait(self, found.face, found.still_bgr, found.still_jpeg)

    def _start(self) -> tuple[BaseProcess, Connection, Opened]:
        context = multiprocessing.get_context("spawn")  # a fork would carry threads and locks along
        ours, theirs = context.Pipe()
        process = context.Process(
            target=draw, args=(self._config, self._authkey, theirs), name="s2v-drawing", daemon=True
        )
        with _signals_wait():
            process.start()
        theirs.close()
        try:
            opened = answer(ours, START_WITHIN_S)
        except BaseException:
            _stop(process, ours)
            raise
        assert isinstance(opened, Opened)
        return process, ours, opened


class RemotePortrait:
    """One face; fills `face_store.Portrait`."""

    def __init__(
        self, renderer: RenderClient, face: EnrolledFace, still_bgr: NDArray[np.uint8], still_jpeg: bytes
    ) -> None:
        self.still_bgr = still_bgr
        self.still_jpeg = still_jpeg
        self._renderer = renderer
        self._face = face
        self._id = secrets.token_hex(8)

    def make_engine(self) -> RemoteEngine:
        """An engine for one session. Raises: BackendError."""
        return RemoteEngine(self._renderer, self._face, self._id, slots_shape(self.still_bgr))


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C goes to a whole group: one that comes while the process begins must not end it with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield  # what begins now inherits it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(process: BaseProcess, pipe: Connection) -> None:
    with contextlib.suppress(OSError):
        pipe.close()  # it ends by itself then
    ends_s = time.monotonic() + STOP_WITHIN_S
    process.join(STOP_WITHIN_S)
    if process.exitcode is None:
        process.kill()
        process.join(max(ends_s - time.monotonic(), 1.0))
