"""An engine whose frames another process draws: they come through memory that both have, as I420."""

from __future__ import annotations

from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.avatar import CALL_PIXELS, AvatarOptions
from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.options import check_liveliness
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.face.articulation import check_articulation
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.lipsync import DrawnFrame
from s2v.errors import BackendError, S2vError, UnavailableError
from s2v.logs import session_id
from s2v.spec import LipSyncSpec
from s2v.streaming.render.frame_memory import reserve
from s2v.streaming.render.process import Draw, Drawn, OpenEngine, WantsFace, slots_shape

ANSWER_WITHIN_S = 15.0  # an engine; more than `batcher.ANSWER_WITHIN_S`, whose reason is the better one
OPEN_WITHIN_S = 60.0  # a face that is new to the process is prepared first
ENDED = "the process that draws has ended, another is being started: call again"


class RenderProcess(Protocol):
    """What an engine needs to know of the process that draws for it: how to reach it; and it leaves counts there."""

    batches: int
    rows: int
    cpu_s: float

    @property
    def spec(self) -> LipSyncSpec: ...

    @property
    def name(self) -> str: ...  # of the runtime

    def call(self) -> Connection: ...


class RemoteEngine:
    """Fills `Engine`: one thread at a time uses it and waits while the other process draws.

    Args:
        avatar_id: what the process knows this face by; when it does not, or no longer, it is sent there.
        options: what the process draws with; articulation and liveliness begin as they have it.
        pixels: CALL_PIXELS are handed on as they come; for anything else frames are made BGR.
        mood: see `Avatar.engine`.
    """

    def __init__(
        self,
        renderer: RenderProcess,
        face: EnrolledFace,
        avatar_id: str,
        options: AvatarOptions,
        pixels: PixelFormat = CALL_PIXELS,
        mood: Mood | None = None,
    ) -> None:
        self.articulation = options.articulation
        self.liveliness = options.liveliness
        self._renderer = renderer
        self._as_bgr = pixels != CALL_PIXELS
        height_px, width_px = face.photo.shape[:2]
        self.frame_size = width_px, height_px
        slots = slots_shape(self.frame_size)
        memory = reserve(int(np.prod(slots)))
        try:
            self._line = renderer.call()
        except BaseException:
            memory.close()
            memory.unlink()
            raise
        try:
            send(self._line, OpenEngine(avatar_id, memory.name, mood, session_id()))
            said = answer(self._line, OPEN_WITHIN_S)
            if isinstance(said, WantsFace):
                send(self._line, face)
                answer(self._line, OPEN_WITHIN_S)
        except BaseException:
            self._line.close()
            memory.close()
            raise
        finally:
            memory.unlink()  # both have it now: no name is left behind, however either of them ends
        self._memory: SharedMemory | None = memory
        self._slots: NDArray[np.uint8] | None = np.ndarray(slots, np.uint8, memory.buf)

    @property
    def spec(self) -> LipSyncSpec:
        return self._renderer.spec

    @property
    def backend_name(self) -> str:
        return self._renderer.name

    @property
    def articulation(self) -> float:
        """See `LipSyncEngine.articulation`."""
        return self._articulation

    @articulation.setter
    def articulation(self, value: float) -> None:
        self._articulation = check_articulation(value)

    @property
    def liveliness(self) -> float:
        """See `LipSyncEngine.liveliness`."""
        return self._liveliness

    @liveliness.setter
    def liveliness(self, value: float) -> None:
        self._liveliness = check_liveliness(value)

    def push(self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None) -> list[DrawnFrame]:
        """See `LipSyncEngine.push`. Raises: AudioError. BackendError, also when the process has ended."""
        return self._ask(pcm, heard)

    def flush(self) -> list[DrawnFrame]:
        """See `LipSyncEngine.flush`."""
        return self._ask(None)

    def close(self) -> None:
        """Hang up; the other side frees what is this engine's. Safe to call twice."""
        self._line.close()
        self._slots = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _ask(self, pcm: NDArray[np.float32] | None, heard: NDArray[np.float32] | None = None) -> list[DrawnFrame]:
        if self._slots is None:
            raise BackendError("this engine is closed: make another")
        send(self._line, Draw(pcm, heard, self._articulation, self._liveliness))
        frames: list[DrawnFrame] = []
        while True:
            drawn = answer(self._line, ANSWER_WITHIN_S)
            assert isinstance(drawn, Drawn)
            for slot, record in zip(self._slots, drawn.frames, strict=False):
                index, centre_sample, network_s, compose_s = record
                frames.append(DrawnFrame(index, centre_sample, self._pixels(slot), network_s, compose_s))
            if not drawn.more:
                break
            send(self._line, None)
        self._renderer.batches, self._renderer.rows = drawn.batches, drawn.rows
        self._renderer.cpu_s = drawn.cpu_s
        return frames

    def _pixels(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy: the next frame comes to the same place."""
        return np.asarray(cv2.cvtColor(slot, cv2.COLOR_YUV2BGR_I420), np.uint8) if self._as_bgr else slot.copy()


def send(line: Connection, what: Any) -> None:
    try:
        line.send(what)
    except OSError:
        raise UnavailableError(ENDED) from None


def answer(line: Connection, within_s: float) -> Any:
    """Raises: the S2vError that was answered. BackendError, the process has ended or stands still."""
    try:
        if not line.poll(within_s):
            raise BackendError(f"the process that draws has not answered within {within_s:g} s: serve fewer sessions")
        said = line.recv()
    except (EOFError, OSError):
        raise UnavailableError(ENDED) from None
    if isinstance(said, S2vError):
        raise said
    return said
