"""A session's engine on a thread of its own: audio goes in from the event loop, finished frames come out there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.lipsync import Engine
from s2v.logs import enter_session, session_id
from s2v.media.audio_file import ENGINE_HZ
from s2v.streaming.session.buffers import DueFrame
from s2v.streaming.session.stage_times import StageTimes
from s2v.streaming.session.wishes import AS_IT_IS

if TYPE_CHECKING:
    from s2v.engine.lipsync import DrawnFrame
    from s2v.spec import LipSyncSpec

# What is not yet drawn; beyond it the oldest is dropped and counted. A network may hand over so much at once.
MAX_PENDING_SAMPLES = ENGINE_HZ * 4 // 10
# What has waited longer is dropped too. On a machine that is too slow something always has: with look-ahead, drawing
# and encoding it must stay well within the longest playout delay, or every frame comes too late to be shown.
MAX_WAIT_S = 0.16
BATCH_SAMPLES = ENGINE_HZ * 40 // 1000  # one frame a call: the first would be kept for the next, and save nothing

LAG_MEMORY = 0.93  # of the running mean, a draw: about half a second

Pcm = NDArray[np.float32]


class _Waiting(NamedTuple):
    """Audio that is not drawn yet."""

    at: int  # timeline sample
    pcm: Pcm
    heard: Pcm | None  # as long
    came_s: float


class TimelineMap:
    """From the engine's own sample count to the timeline: straight pieces, a new one after every cut or stall."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, int]] = deque()  # (engine sample, timeline sample), ascending
        self._engine_end = 0

    def append(self, at: int, length: int) -> None:
        """The engine's next `length` samples lie at timeline sample `at`."""
        if not self._pieces or self._pieces[-1][1] + self._engine_end - self._pieces[-1][0] != at:
            self._pieces.append((self._engine_end, at))
        self._engine_end += length

    def locate(self, sample: int) -> int:
        """Timeline sample of engine sample `sample`; asked in ascending order, so old pieces are forgotten."""
        while len(self._pieces) > 1 and self._pieces[1][0] <= sample:
            self._pieces.popleft()
        engine_start, at = self._pieces[0] if self._pieces else (0, 0)
        return at + sample - engine_start


class EngineWorker:
    """Owns the engine, its thread and the audio that waits for it.

    When the machine cannot draw as fast as audio comes, the oldest waiting audio is dropped and counted in
    `skipped_samples`; the frames after it still land on their own audio.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        emit: Callable[[DueFrame], None],
        now: Callable[[], float],
        times: StageTimes | None = None,
    ) -> None:
        """`now` is read on the event loop and on the engine's thread."""
        self.wishes = AS_IT_IS  # of the frames drawn next, set from anywhere; what they leave out is the engine's own
        self.drawn = 0
        self.skipped_samples = 0
        self.draw_s = 0.0  # running mean of the seconds per frame
        self.lag_s = 0.0  # running mean, from audio being handed over until it is drawn: grows with the queue only
        self._make_engine = make_engine
        self._emit = emit
        self._now = now
        self._times = times or StageTimes()
        self._fed: deque[tuple[int, float]] = deque(maxlen=500)  # (timeline end, moment) of the audio handed over
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, "s2v-engine", enter_session, (session_id(),))
        self._map = TimelineMap()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_samples = 0
        self._finishing = False
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def feed(self, at: int, pcm: Pcm, heard: Pcm | None = None) -> None:
        """Audio of timeline sample `at` and following, mono float32 at 16 kHz, shape (n,). Never waits.

        Args: heard: (n,) what is said to the face meanwhile; None: nobody speaks to it.
        """
        now_s = self._now()
        for start in range(0, len(pcm), BATCH_SAMPLES):  # a long gap, filled with silence, comes as one chunk
            part = slice(start, start + BATCH_SAMPLES)
            self._waiting.append(_Waiting(at + start, pcm[part], None if heard is None else heard[part], now_s))
        self._waiting_samples += len(pcm)
        self._fed.append((at + len(pcm), now_s))
        while self._waiting_samples > MAX_PENDING_SAMPLES and len(self._waiting) > 1:
            self._skip()
        self._changed.set()

    def finish(self) -> None:
        """No more audio will come: `run` draws what is left and returns."""
        self._finishing = True
        self._changed.set()

    async def open(self) -> LipSyncSpec:
        """Open the engine, once; returns what its model was trained for.

        Raises: S2vError, what the factory raised.
        """
        engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._open_engine)
        return engine.spec

    async def run(self) -> None:
        """Draw until `finish` has been called and everything is drawn.

        Raises: S2vError, the engine cannot be opened or refuses its input.
        """
        await self.open()
        while self._waiting or not self._finishing:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                pcm, heard, came_s = self._take()
                await self._draw(pcm, heard)
                self.lag_s += (1 - LAG_MEMORY) * (self._now() - came_s - self.lag_s)
        await self._draw(None, None)

    async def close(self) -> None:
        """Close the engine on its own thread and join the thread; safe to call twice and after a cancelled `run`."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_engine)
        self._thread.shutdown()  # nothing is queued behind the close: returns at once

    def _open_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._make_engine()
        return self._engine

    def _close_engine(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _skip(self) -> None:
        lost = len(self._waiting.popleft().pcm)
        self._waiting_samples -= lost
        self.skipped_samples += lost

    def _take(self) -> tuple[Pcm, Pcm | None, float]:
        """The oldest waiting audio that is young enough, up to one batch, what is heard with it, and when it came."""
        while len(self._waiting) > 1 and self._now() - self._waiting[0].came_s > MAX_WAIT_S:
            self._skip()
        came_s = self._waiting[0].came_s
        parts: list[_Waiting] = []
        length = 0
        while self._waiting and (not parts or length + len(self._waiting[0].pcm) <= BATCH_SAMPLES):
            part = self._waiting.popleft()
            self._map.append(part.at, len(part.pcm))
            parts.append(part)
            length += len(part.pcm)
        self._waiting_samples -= length
        heard = None
        if any(part.heard is not None for part in parts):
            heard = np.concatenate([np.zeros_like(part.pcm) if part.heard is None else part.heard for part in parts])
        return np.concatenate([part.pcm for part in parts]), heard, came_s

    async def _draw(self, pcm: Pcm | None, heard: Pcm | None) -> None:
        """Push one batch, or flush for None, and hand its frames on."""
        drawing = asyncio.get_running_loop().run_in_executor(self._thread, self._draw_now, pcm, heard)
        frames, began_s, done_s = await drawing
        for frame in frames:
            at = self._map.locate(frame.centre_sample)
            self._time(frame, at, began_s)
            self._emit(DueFrame(at, frame.pixels, done_s))
        if frames:
            self.drawn += len(frames)
            each_s = (done_s - began_s) / len(frames)
            self.draw_s = each_s if not self.draw_s else 0.95 * self.draw_s + 0.05 * each_s

    def _time(self, frame: DrawnFrame, at: int, began_s: float) -> None:
        while len(self._fed) > 1 and self._fed[0][0] <= at:
            self._fed.popleft()
        if self._fed:
            self._times.add("window", max(began_s - self._fed[0][1], 0.0))
        self._times.add("network", frame.network_s)
        self._times.add("compose", frame.compose_s)

    def _draw_now(self, pcm: Pcm | None, heard: Pcm | None) -> tuple[list[DrawnFrame], float, float]:
        began_s = self._now()
        engine, wishes = self._open_engine(), self.wishes
        if wishes.articulation is not None:
            engine.articulation = wishes.articulation
        if wishes.liveliness is not None:
            engine.liveliness = wishes.liveliness
        frames = engine.flush() if pcm is None else engine.push(pcm, heard)
        return frames, began_s, self._now()
