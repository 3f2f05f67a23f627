"""The render process: an avatar factory behind a local socket, so that drawing and sending share no interpreter.

Every connection is one conversation on a thread of its own: a face to be found on a photo, or an engine from its
opening to its close. The parent's end is `s2v.streaming.render.client`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.engine.avatar import CALL_PIXELS
from s2v.engine.compositor.pixel_format import to_i420
from s2v.errors import BackendError, S2vError
from s2v.interrupts import ignore_ending
from s2v.logs import LogSettings, enter_session, start_logging
from s2v.streaming.render.heartbeat import Deadlines
from s2v.terminal import guard_streams

if TYPE_CHECKING:
    from s2v.engine.avatar import Avatar, AvatarOptions
    from s2v.engine.avatar_factory import LocalAvatarFactory
    from s2v.engine.backends.batcher import BatchingBackend
    from s2v.engine.behaviour.mood import Mood
    from s2v.engine.face.enrolment import EnrolledFace
    from s2v.engine.lipsync import DrawnFrame
    from s2v.spec import LipSyncSpec

SLOTS = 2  # frames that an engine hands over at once: as many as a live chunk gives
KEPT_AVATARS = 8  # besides those that engines hold
BACKLOG = 64
DRAW_WITHIN_S = 3.0  # some hundred times what a frame takes
PREPARE_WITHIN_S = 45.0  # a face

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """The first word of the process: where it listens, and what it has opened."""

    address: str
    pid: int
    spec: LipSyncSpec
    backend_name: str
    row_s: float


@dataclass(frozen=True)
class FindFace:
    """A request: the face on a photo. The answer is a `FoundFace`."""

    photo: bytes | NDArray[np.uint8]  # the file's bytes, or (h, w, 3) BGR
    name: str
    face_index: int | None


@dataclass(frozen=True)
class FoundFace:
    face: EnrolledFace
    still_bgr: NDArray[np.uint8]


@dataclass(frozen=True)
class OpenEngine:
    """A request: an engine for one session. Answered by None; or by `WantsFace`, which is answered by the face."""

    avatar_id: str
    memory: str  # name of the shared memory: SLOTS frames, I420 each
    mood: Mood | None = None  # of `Avatar.engine`
    session: str = ""  # whose lines in the log these are


@dataclass(frozen=True)
class WantsFace:
    """The process does not know this avatar, or no longer."""


@dataclass(frozen=True)
class Draw:
    """What an engine is asked for, again and again: the frames now due. Answered by `Drawn`."""

    pcm: NDArray[np.float32] | None  # of `Engine.push`; None flushes
    heard: NDArray[np.float32] | None  # the same
    articulation: float
    liveliness: float


@dataclass(frozen=True)
class Drawn:
    """Frames that lie in the shared memory from slot 0 on, as (index, centre sample, network_s, compose_s)."""

    frames: list[tuple[int, int, float, float]]
    more: bool  # the parent shall copy these and ask for the rest
    cpu_s: float  # processor time of the whole process so far
    batches: int
    rows: int


def serve_renderer(options: AvatarOptions, logged: LogSettings, authkey: bytes, pipe: Connection) -> None:
    """Serve until the parent closes its end of the pipe. Run as the target of a process."""
    ignore_ending()  # signals go to the whole group: the parent hangs up first
    guard_streams()
    start_logging(logged)
    _give_way()
    import cv2

    from s2v.engine.avatar_factory import LocalAvatarFactory, open_shared_backend
    from s2v.machine import use_few_arenas

    cv2.setNumThreads(1)  # sessions share the cores; its own threads cost a tenth more than they draw
    use_few_arenas()  # before the runtime starts its threads
    try:
        backend = open_shared_backend(options)
        factory = LocalAvatarFactory(options, backend)
        listener, address = _listen()
    except S2vError as error:
        pipe.send(error)
        return  # whatever is open ends with the process
    handler = RequestHandler(factory, backend, authkey)
    pipe.send(Opened(address, os.getpid(), backend.spec, backend.name, backend.row_s))
    threading.Thread(target=_answer_parent, args=(pipe, handler.deadlines), daemon=True).start()
    while True:
        try:
            line = listener.accept()
        except OSError as error:  # somebody connects and leaves
            log.debug("nobody was let in: %r", error)
            continue
        threading.Thread(target=handler.serve, args=(line,), name="s2v-engine", daemon=True).start()


class RequestHandler:
    """Answers requests, each on its own thread."""

    def __init__(self, factory: LocalAvatarFactory, backend: BatchingBackend, authkey: bytes) -> None:
        self._factory = factory
        self._backend = backend
        self._authkey = authkey
        self.deadlines = Deadlines()
        self._lock = threading.Lock()
        self._avatars: OrderedDict[str, Avatar] = OrderedDict()

    def serve(self, line: Connection) -> None:
        """One conversation, until the parent hangs up."""
        with line, contextlib.suppress(EOFError, ConnectionError, AuthenticationError):
            deliver_challenge(line, self._authkey)  # here and not in `accept`: a stranger keeps nobody else waiting
            answer_challenge(line, self._authkey)
            request = line.recv()
            try:
                if isinstance(request, FindFace):
                    line.send(self._find(request))
                elif isinstance(request, OpenEngine):
                    self._serve_engine(line, request)
            except S2vError as error:
                line.send(error)
            except (EOFError, ConnectionError):
                raise
            except Exception as error:  # a defect: this session ends, the others go on
                log.exception("a session's drawing failed")
                line.send(BackendError(f"drawing failed: {error!r:.300}"))

    def _find(self, request: FindFace) -> FoundFace:
        with self.deadlines.within(PREPARE_WITHIN_S):
            avatar = self._factory.enrol(request.photo, request.name, request.face_index)
            return FoundFace(avatar.face, avatar.still_bgr)

    def _serve_engine(self, line: Connection, request: OpenEngine) -> None:
        enter_session(request.session)
        memory = SharedMemory(request.memory)
        try:
            avatar = self._avatar(line, request.avatar_id)
            with self.deadlines.within(PREPARE_WITHIN_S):
                engine = avatar.engine(CALL_PIXELS, request.mood)
            try:
                slots = np.ndarray(slots_shape(engine.frame_size), np.uint8, memory.buf)
                line.send(None)
                while True:
                    asked: Draw = line.recv()
                    engine.articulation, engine.liveliness = asked.articulation, asked.liveliness
                    with self.deadlines.within(DRAW_WITHIN_S):
                        frames = engine.flush() if asked.pcm is None else engine.push(asked.pcm, asked.heard)
                    self._hand_over(line, slots, frames)
            finally:
                engine.close()
                del slots  # before the memory that it shows
        finally:
            memory.close()

    def _hand_over(self, line: Connection, slots: NDArray[np.uint8], frames: Sequence[DrawnFrame]) -> None:
        for first in range(0, max(len(frames), 1), SLOTS):
            part = frames[first : first + SLOTS]
            for slot, frame in zip(slots, part, strict=False):
                put(frame.pixels, slot)
            records = [(frame.index, frame.centre_sample, frame.network_s, frame.compose_s) for frame in part]
            more = first + SLOTS < len(frames)
            line.send(Drawn(records, more, time.process_time(), self._backend.batches, self._backend.rows))
            if more:
                line.recv()

    def _avatar(self, line: Connection, avatar_id: str) -> Avatar:
        with self._lock:
            avatar = self._avatars.get(avatar_id)
        if avatar is None:
            line.send(WantsFace())
            face = line.recv()
            with self.deadlines.within(PREPARE_WITHIN_S):
                avatar = self._factory.avatar_of(face)
        with self._lock:
            self._avatars[avatar_id] = avatar
            self._avatars.move_to_end(avatar_id)
            while len(self._avatars) > KEPT_AVATARS:
                self._avatars.popitem(last=False)
        return avatar


def slots_shape(frame_size: tuple[int, int]) -> tuple[int, int, int]:
    """Of the shared memory: SLOTS frames of this width and height, I420."""
    width_px, height_px = frame_size
    return SLOTS, height_px * 3 // 2, width_px


def put(pixels: NDArray[np.uint8], slot: NDArray[np.uint8]) -> None:
    """BGR or I420 into a slot; converted on the way, it is half as much to carry."""
    if pixels.ndim == 2:
        slot[:] = pixels
    else:
        to_i420(pixels, slot)


def _answer_parent(pipe: Connection, deadlines: Deadlines) -> None:
    """See `Heartbeat`. Nothing is worth finishing when there is nobody to draw for; runtimes are slow to leave."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.recv()
            pipe.send(deadlines.overdue)
    os._exit(0)


def _listen() -> tuple[Listener, str]:
    """A socket and its address; on Linux without a file that could be left behind."""
    if sys.platform == "linux":
        address = f"\0s2v-{secrets.token_hex(16)}"
        return Listener(address, "AF_UNIX", BACKLOG), address
    listener = Listener(backlog=BACKLOG)
    return listener, str(listener.address)


def _give_way() -> None:
    """Sending comes first: a thread that wakes up to send must not wait until one that draws has had its turn."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
