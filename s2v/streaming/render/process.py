"""The render process: a `Renderer` behind a local socket, so that drawing and sending never share an interpreter.

Every connection is one conversation on a thread of its own: a face to be found on a photo, or an engine from its
opening to its close. The parent's end is `s2v.streaming.render.client`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.pixel_format import to_i420
from s2v.errors import BackendError, S2vError

if TYPE_CHECKING:
    from s2v.engine.face.enrolment import EnrolledFace
    from s2v.engine.lipsync import DrawnFrame
    from s2v.spec import LipSyncSpec
    from s2v.streaming.render.renderer import Portrait, Renderer

SLOTS = 2  # frames that an engine hands over at once: as many as a live chunk gives
KEPT_PORTRAITS = 8  # besides those that engines hold
BACKLOG = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderConfig:
    """As of `Renderer`."""

    model: Path | None
    backend: str
    idle_seed: int | None
    max_side_px: int
    log_level: int
    compose: str = "auto"


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
    still_jpeg: bytes


@dataclass(frozen=True)
class OpenEngine:
    """A request: an engine for one session. Answered by None; or by `WantsFace`, which is answered by the face."""

    portrait_id: str
    memory: str  # name of the shared memory: SLOTS frames, I420 each


@dataclass(frozen=True)
class WantsFace:
    """The process does not know this portrait, or no longer."""


@dataclass(frozen=True)
class Drawn:
    """Frames that lie in the shared memory from slot 0 on, as (index, centre sample, network_s, compose_s)."""

    frames: list[tuple[int, int, float, float]]
    more: bool  # the parent shall copy these and ask for the rest
    cpu_s: float  # processor time of the whole process so far
    batches: int
    rows: int


def draw(config: RenderConfig, authkey: bytes, pipe: Connection) -> None:
    """Serve until the parent closes its end of the pipe. Run as the target of a process."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group: the parent hangs up first
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="s2v: %(message)s", level=logging.WARNING)
    logging.getLogger("s2v").setLevel(config.log_level)
    _give_way()
    import cv2

    from s2v.machine import use_few_arenas
    from s2v.streaming.render.renderer import Renderer

    cv2.setNumThreads(1)  # sessions share the cores; its own threads cost a tenth more than they draw
    use_few_arenas()  # before the runtime starts its threads
    try:
        renderer = Renderer(config.model, config.backend, config.idle_seed, config.max_side_px, config.compose)
        listener, address = _listen()
    except S2vError as error:
        pipe.send(error)
        return
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    backend = renderer.backend
    pipe.send(Opened(address, os.getpid(), backend.spec, backend.name, backend.row_s))
    handler = RequestHandler(renderer, authkey)
    while True:
        try:
            line = listener.accept()
        except OSError as error:  # whoever knocks and leaves
            log.debug("nobody was let in: %r", error)
            continue
        threading.Thread(target=handler.serve, args=(line,), name="s2v-engine", daemon=True).start()


class RequestHandler:
    """Answers requests, each on its own thread."""

    def __init__(self, renderer: Renderer, authkey: bytes) -> None:
        self._renderer = renderer
        self._authkey = authkey
        self._lock = threading.Lock()
        self._portraits: OrderedDict[str, Portrait] = OrderedDict()

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
        if isinstance(request.photo, bytes):
            portrait = self._renderer.enrol(request.photo, request.name, request.face_index)
        else:
            portrait = self._renderer.portrait(request.photo, request.face_index)
        return FoundFace(portrait.face, portrait.still_bgr, portrait.still_jpeg)

    def _serve_engine(self, line: Connection, request: OpenEngine) -> None:
        memory = SharedMemory(request.memory)
        try:
            portrait = self._portrait(line, request.portrait_id)
            engine = portrait.make_engine()
            try:
                slots = np.ndarray(slots_shape(portrait.still_bgr), np.uint8, memory.buf)
                line.send(None)
                while True:
                    pcm = line.recv()
                    frames = engine.flush() if pcm is None else engine.push(pcm)
                    self._hand_over(line, slots, frames)
            finally:
                engine.close()
                del slots  # before the memory that it shows
        finally:
            memory.close()

    def _hand_over(self, line: Connection, slots: NDArray[np.uint8], frames: Sequence[DrawnFrame]) -> None:
        backend = self._renderer.backend
        for first in range(0, max(len(frames), 1), SLOTS):
            part = frames[first : first + SLOTS]
            for slot, frame in zip(slots, part, strict=False):
                put(frame.pixels, slot)
            told = [(frame.index, frame.centre_sample, frame.network_s, frame.compose_s) for frame in part]
            more = first + SLOTS < len(frames)
            line.send(Drawn(told, more, time.process_time(), backend.batches, backend.rows))
            if more:
                line.recv()

    def _portrait(self, line: Connection, portrait_id: str) -> Portrait:
        from s2v.streaming.render.renderer import Portrait

        with self._lock:
            portrait = self._portraits.get(portrait_id)
        if portrait is None:
            line.send(WantsFace())
            portrait = Portrait(self._renderer, line.recv())
        with self._lock:
            self._portraits[portrait_id] = portrait
            self._portraits.move_to_end(portrait_id)
            while len(self._portraits) > KEPT_PORTRAITS:
                self._portraits.popitem(last=False)
        return portrait


def slots_shape(still_bgr: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Of the shared memory: SLOTS frames as large as this one, I420."""
    height_px, width_px = still_bgr.shape[:2]
    return SLOTS, height_px * 3 // 2, width_px


def put(pixels: NDArray[np.uint8], slot: NDArray[np.uint8]) -> None:
    """BGR or I420 into a slot; converted on the way, it is half as much to carry."""
    if pixels.ndim == 2:
        slot[:] = pixels
    else:
        to_i420(pixels, slot)


def _end_with_parent(pipe: Connection) -> None:
    """Nothing is worth finishing when there is nobody to draw for; runtimes are slow to leave."""
    with contextlib.suppress(EOFError, ConnectionError):
        pipe.recv()
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
