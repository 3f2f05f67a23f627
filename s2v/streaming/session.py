"""One live session: a source drives an engine, and two tracks carry the face and the delayed voice."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from s2v.streaming.audio_file import LISTEN_HZ
from s2v.streaming.buffers import FrameQueue, VoiceBuffer
from s2v.streaming.clock import MediaClock
from s2v.streaming.painter import Engine, Painter
from s2v.streaming.sources import RATIO, AudioSource
from s2v.streaming.tracks import FaceTrack, VoiceTrack

MARGIN_S = 0.12  # beyond the look-ahead: 20 ms chunk, 40 ms frame, drawing, encoding, and some network jitter
MAX_BUDGET_S = 0.8  # a machine that needs more than this cannot hold a conversation
ADAPT_EVERY_S = 1.0
TOO_MANY_LATE = 5  # frames late in that time, twice running: hold everything back a little more
TAIL_S = 0.3  # after the last sample: let the players finish


class Stats(TypedDict):
    """Counted since the session began, except the two times, which are current."""

    frames_drawn: int
    frames_sent: int
    frames_late: int  # drawn, but their moment had passed
    frames_dropped: int  # pushed out of a full queue
    audio_skipped_ms: int  # never drawn: the machine was too slow
    underruns: int  # voice packets with audio missing
    stalls: int
    budget_ms: int
    draw_ms: float


class Session:
    """Owns source, engine thread and tracks. Life: `open` (optional), `run` once, `close`.

    A seam on each side: any `AudioSource` feeds it, anything that reads its two tracks shows it.
    """

    def __init__(
        self,
        source: AudioSource,
        make_engine: Callable[[], Engine],
        still_bgr: NDArray[np.uint8],
        margin_s: float = MARGIN_S,
        clock: MediaClock | None = None,
    ) -> None:
        self.clock = clock or MediaClock(margin_s)  # the look-ahead is added once the model is open
        self._margin_s = margin_s
        self._opened = False
        self._source = source
        self._voice = VoiceBuffer(round((MAX_BUDGET_S + 1.0) * LISTEN_HZ))
        self._frames = FrameQueue(math.ceil(MAX_BUDGET_S * 30))  # what can wait at most, at up to 30 fps
        self._painter = Painter(make_engine, self._frames.put)
        self.voice_track = VoiceTrack(self._voice, self.clock)
        self.face_track = FaceTrack(self._frames, self.clock, still_bgr)
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Open the engine ahead of time, while the connection is still being made.

        Raises: S2vError, the model or the runtime cannot be used.
        """
        if not self._opened:
            self._opened = True
            spec = await self._painter.open()
            self.clock.budget_s = spec.look_ahead_s + self._margin_s

    async def run(self) -> None:
        """Carry the source through until it ends and its last frame is due.

        Raises: S2vError, from the source or the engine. CancelledError, also when `close` is called meanwhile.
        """
        if self._closed:
            return
        self._running = asyncio.create_task(self._carry())
        await self._running

    async def close(self) -> None:
        """Stop everything and join it; safe to call at any time and twice."""
        self._closed = True
        self._source.close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self.voice_track.stop()
        self.face_track.stop()
        await self._painter.close()

    def stats(self) -> Stats:
        return Stats(
            frames_drawn=self._painter.drawn,
            frames_sent=self.face_track.counts.sent,
            frames_late=self.face_track.counts.late,
            frames_dropped=self._frames.dropped,
            audio_skipped_ms=self._painter.skipped_samples * 1000 // self.clock.rate_hz,
            underruns=self.voice_track.underruns,
            stalls=self.clock.stalls,
            budget_ms=round(self.clock.budget_s * 1000),
            draw_ms=round(self._painter.draw_s * 1000, 2),
        )

    async def _carry(self) -> None:
        await self.open()
        try:
            async with asyncio.TaskGroup() as group:
                adapting = group.create_task(self._adapt())
                drawing = group.create_task(self._painter.run())
                end = await self._listen()
                await drawing
                await self.clock.sleep_until(end + TAIL_S * self.clock.rate_hz)
                adapting.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None  # the first failure; the others are its consequence

    async def _listen(self) -> int:
        """Put the source's audio where it belongs; returns the timeline sample at which it ended."""
        end = 0
        while (chunk := await self._source.read()) is not None:
            offset = self.clock.arrived(chunk.voice_end // RATIO)
            self._voice.write(chunk.voice_start + RATIO * offset, chunk.voice)
            if len(chunk.engine):
                self._painter.feed(chunk.engine_start + offset, chunk.engine)
            end = chunk.voice_end // RATIO + offset
        self._voice.ends_at = RATIO * end
        self._painter.finish()
        return end

    async def _adapt(self) -> None:
        """On a machine that draws too slowly for the budget, hold back more rather than show nothing."""
        seen, late_before_s = 0, 0.0
        while True:
            await asyncio.sleep(ADAPT_EVERY_S)
            late, seen = self.face_track.counts.late - seen, self.face_track.counts.late
            worst_s = self.face_track.take_lateness() if late >= TOO_MANY_LATE else 0.0
            lasting_s = min(worst_s, late_before_s)  # twice running: one hiccup costs frames, not delay for ever
            late_before_s = worst_s
            room_s = MAX_BUDGET_S - self.clock.budget_s
            if lasting_s > 0 and room_s > 0:
                self.clock.grow_budget(min(lasting_s + 0.02, room_s))
                late_before_s = 0.0
