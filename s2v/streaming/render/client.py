"""An avatar factory in a process of its own, as its parent sees it: same surface, and its faults end there.

Python runs one thread at a time. With drawing and sending in one process, three sessions had 12 frames a second while
a third of the machine stood idle; see docs/LOG.md, "Two processes". A process that has ended, or that no longer answers
its heartbeat, is replaced; the sessions it drew for end with an error.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import secrets
import threading
import time
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from multiprocessing.process import BaseProcess

from s2v.engine.avatar import Avatar, AvatarOptions, Photo, picture_of
from s2v.errors import BackendError, S2vError, UnavailableError
from s2v.interrupts import signals_blocked
from s2v.logs import log_settings
from s2v.spec import LipSyncSpec
from s2v.streaming.render.frame_memory import shortage, sweep
from s2v.streaming.render.heartbeat import BEAT_S, Heartbeat
from s2v.streaming.render.process import FindFace, FoundFace, Opened, serve_renderer, slots_shape
from s2v.streaming.render.remote_engine import RemoteEngine, answer, send

START_WITHIN_S = 120.0  # a busy machine opens a runtime in a few seconds
RESTART_FACTOR = 6.0  # of the time that the first start took: one that takes longer stands still
RESTART_WITHIN_S = 15.0  # at least
FIND_WITHIN_S = 60.0
TOO_SLOW = "close other programs, or choose another --backend"
CALL_WITHIN_S = 20.0  # a process that stands still is replaced in that time, if it can be
HANDSHAKE_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0
LONGEST_PAUSE_S = 30.0  # between attempts to start a process that does not start

log = logging.getLogger(__name__)


class RenderClient:
    """Owns the process. Fills `AvatarFactory`; may be used by any thread."""

    def __init__(self, options: AvatarOptions, beat_s: float = BEAT_S) -> None:
        """Start the process and wait until its runtime, which all engines share, is open.

        Args: beat_s: see `Heartbeat`.
        Raises: BackendError, ModelError: model, runtime or place to draw at cannot be used, or the process does not
            start.
        """
        self._options = options
        self._beat_s = beat_s
        self._authkey = secrets.token_bytes(32)
        # Of all that is waited for: `_trouble`, `_restart_failed`, `_opened`, `_closed`.
        self._changed = threading.Condition()
        self._trouble: str | None = None
        self._restart_failed = False
        self._closed = threading.Event()
        self._frame_bytes = 0  # what an engine of the first face shares with the process
        self.batches = 0  # as of `BatchingBackend`, since the process began ...
        self.rows = 0
        self.cpu_s = 0.0  # ... and its processor time, both as last heard of
        sweep(time.time())
        began_s = time.monotonic()
        self._process, self._pipe, self._opened = self._start(START_WITHIN_S)
        self._restart_within_s = max(RESTART_FACTOR * (time.monotonic() - began_s), RESTART_WITHIN_S)
        self._heartbeat = Heartbeat(self._pipe, beat_s)
        self._watchdog = threading.Thread(target=self._watch, name="s2v-watchdog", daemon=True)
        self._watchdog.start()

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

    @property
    def trouble(self) -> str | None:
        """Why nothing can be drawn now, in one line."""
        return self._trouble or ("the process that draws does not answer" if self._heartbeat.late else None)

    @property
    def shortage(self) -> str | None:
        """Why no further engine of the first face can be opened now, in one line: there is no memory to share."""
        return shortage(self._frame_bytes)

    @property
    def restart_failed(self) -> bool:
        """There is no process, and the last attempt to start one has failed."""
        return self._restart_failed

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        """See `AvatarFactory.enrol`. Raises: BackendError, the process has ended and cannot be begun anew, too."""
        if not isinstance(photo, bytes):  # they are unpacked over there: where a decoder ends, calls here do not
            photo = picture_of(photo, name)
        with self.call() as line:
            send(line, FindFace(photo, name, face_index))
            found = answer(line, FIND_WITHIN_S)
        assert isinstance(found, FoundFace)
        avatar_id = secrets.token_hex(8)
        height_px, width_px = found.face.photo.shape[:2]
        self._frame_bytes = self._frame_bytes or math.prod(slots_shape((width_px, height_px)))
        avatar = Avatar(
            found.face,
            lambda pixels, mood: RemoteEngine(self, found.face, avatar_id, self._options, pixels, mood),
            lambda: found.still_bgr,
        )
        _ = avatar.still_jpeg  # made here, on a thread that may wait, and not when a page asks for it
        return avatar

    def close(self) -> None:
        """End the process and join it; engines that are still in use end with BackendError. Safe to call twice."""
        with self._changed:
            self._closed.set()  # first, or the watchdog would tell of a process that has ended
            self._changed.notify_all()
            self._process.kill()  # nothing is worth finishing; and one that is only just starting ends, too
        self._watchdog.join()
        _end(self._process, self._pipe)

    def call(self) -> Connection:
        """A line to the process; waits for one that is being started in the place of another.

        Raises: UnavailableError, there is none in time. BackendError, this is closed.
        """
        until_s = time.monotonic() + CALL_WITHIN_S
        failed: Opened | None = None
        while True:
            failed = opened = self._wait_for_process(failed, until_s)
            with contextlib.suppress(OSError, EOFError, multiprocessing.AuthenticationError):
                return _shake_hands(Client(opened.address), self._authkey)

    def _wait_for_process(self, failed: Opened | None, until_s: float) -> Opened:
        """The process that can be called, another than `failed`."""

        def settled() -> bool:
            there = self._trouble is None and self._opened is not failed
            return there or self._closed.is_set() or self._restart_failed

        with self._changed:
            self._changed.wait_for(settled, max(until_s - time.monotonic(), 0.0))
            if self._closed.is_set():
                raise BackendError("the renderer is closed: open another")
            if self._trouble is not None or self._opened is failed:
                raise UnavailableError(
                    f"{self._trouble or 'the process that draws does not answer'}: try again in a minute"
                )
            return self._opened

    def _watch(self) -> None:
        """The watchdog's life: replace a process that has ended or does not answer."""
        while not self._closed.is_set():
            if (wrong := self._heartbeat.look()) is None:
                if self._heartbeat.answered:
                    self._process.join(self._beat_s)  # returns at once when it ends
            elif not self._closed.is_set():
                self._replace(wrong)

    def _replace(self, wrong: str) -> None:
        """End the process and start another, again and again until it starts or this is closed."""
        with self._changed:
            self._trouble = f"the process that draws {wrong}, another is being started"
        self._process.kill()  # also one that is stopped
        _end(self._process, self._pipe)
        log.warning("the process that draws %s (exit code %s): starting another", wrong, self._process.exitcode)
        pause_s, within_s = 1.0, self._restart_within_s
        while not self._closed.is_set():
            try:
                self._process, self._pipe, self._opened = self._start(min(within_s, START_WITHIN_S))
                self._heartbeat = Heartbeat(self._pipe, self._beat_s)
            except (S2vError, OSError) as error:
                if self._closed.is_set():
                    return
                log.warning("the process that draws does not start, next attempt in %g s: %s", pause_s, error)
                with self._changed:
                    self._trouble = f"the process that draws {wrong} and cannot be started ({str(error)[:200]})"
                    self._restart_failed = True
                    self._changed.notify_all()
                self._closed.wait(pause_s)
                pause_s, within_s = min(2 * pause_s, LONGEST_PAUSE_S), 2 * within_s
            else:
                with self._changed:
                    self._trouble, self._restart_failed = None, False
                    self._changed.notify_all()
                return

    def _start(self, within_s: float) -> tuple[BaseProcess, Connection, Opened]:
        context = multiprocessing.get_context("spawn")  # a fork would carry threads and locks along
        ours, theirs = context.Pipe()
        arguments = (self._options, log_settings(), self._authkey, theirs)
        process = context.Process(target=serve_renderer, args=arguments, name="s2v-render", daemon=True)
        with self._changed, signals_blocked():
            if self._closed.is_set():
                raise BackendError("the renderer is closed: open another")
            process.start()
            self._process = process  # `close` ends it
        theirs.close()
        try:
            if not ours.poll(within_s):
                raise BackendError(f"the process that draws has not started within {within_s:.0f} s: {TOO_SLOW}")
            opened = answer(ours, within_s)
        except BaseException as error:
            process.kill()
            _end(process, ours)
            if isinstance(error, UnavailableError):
                raise BackendError(
                    f"the process that draws ended while it started (exit code {process.exitcode})"
                ) from None
            raise
        assert isinstance(opened, Opened)
        return process, ours, opened


def _shake_hands(line: Connection, authkey: bytes) -> Connection:
    """As `Client` does with a key, but not for ever. Raises: OSError, EOFError, AuthenticationError."""
    try:
        if not line.poll(HANDSHAKE_WITHIN_S):
            raise TimeoutError
        answer_challenge(line, authkey)
        deliver_challenge(line, authkey)
    except BaseException:
        line.close()
        raise
    return line


def _end(process: BaseProcess, pipe: Connection) -> None:
    """Of one that was killed; one that hangs in a driver cannot be waited for."""
    process.join(STOP_WITHIN_S)
    with contextlib.suppress(OSError):
        pipe.close()
