"""An avatar factory in a process of its own, as its parent sees it: same surface, and its faults end there.

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

from s2v.engine.avatar import Avatar, AvatarOptions, Photo, picture_of
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec
from s2v.streaming.render.process import FindFace, FoundFace, Opened, serve_renderer
from s2v.streaming.render.remote_engine import RemoteEngine, answer, send

START_WITHIN_S = 120.0  # a busy machine opens a runtime in a few seconds
FIND_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
ENDING_S = 2.0  # from a process's last word until it can be told that it has ended

log = logging.getLogger(__name__)


class RenderClient:
    """Owns the process. Fills `AvatarFactory`; may be used by any thread."""

    def __init__(self, options: AvatarOptions) -> None:
        """Start the process and wait until its runtime, which all engines share, is open.

        Raises: BackendError, ModelError: model, runtime or place to draw at cannot be used, or the process does not
            start.
        """
        self._options = options
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

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        """See `AvatarFactory.enrol`. Raises: BackendError, the process has ended and cannot be begun anew, too."""
        if not isinstance(photo, bytes):  # they are unpacked over there: where a decoder ends, calls here do not
            photo = picture_of(photo, name)
        with self.call() as line:
            send(line, FindFace(photo, name, face_index))
            found = answer(line, FIND_WITHIN_S)
        assert isinstance(found, FoundFace)
        avatar_id = secrets.token_hex(8)
        avatar = Avatar(
            found.face,
            lambda pixels, mood: RemoteEngine(self, found.face, avatar_id, self._options, pixels, mood),
            lambda: found.still_bgr,
        )
        _ = avatar.still_jpeg  # made here, on a thread that may wait, and not when a page asks for it
        return avatar

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

    def _start(self) -> tuple[BaseProcess, Connection, Opened]:
        context = multiprocessing.get_context("spawn")  # a fork would carry threads and locks along
        ours, theirs = context.Pipe()
        level = logging.getLogger("s2v").getEffectiveLevel()
        arguments = (self._options, level, self._authkey, theirs)
        process = context.Process(target=serve_renderer, args=arguments, name="s2v-render", daemon=True)
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
