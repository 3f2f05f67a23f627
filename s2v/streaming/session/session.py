"""One live session: a source drives an engine, and two tracks carry the face and the delayed voice."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from s2v.engine.lipsync import Engine
from s2v.errors import StreamError
from s2v.media.audio_file import PLAYBACK_HZ
from s2v.streaming.session.buffers import DueFrame, FrameQueue, VoiceBuffer
from s2v.streaming.session.clock import MediaClock
from s2v.streaming.session.engine_feed import EngineFeed, Fed
from s2v.streaming.session.engine_worker import EngineWorker
from s2v.streaming.session.heard import HeardVoices
from s2v.streaming.session.playout_delay import LASTING_S, PlayoutDelay
from s2v.streaming.session.stage_times import Stage, StageTimes
from s2v.streaming.session.tracks import PACKET_SAMPLES, FaceTrack, VoiceTrack
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.source import RATIO, AudioChunk, AudioSource

MARGIN_S = 0.08  # beyond the look-ahead, at first; then what is needed
MIN_MARGIN_S = 0.02  # a packet
MAX_PLAYOUT_DELAY_S = 0.8  # a machine that needs more than this cannot hold a conversation
ADAPT_EVERY_S = 1.0
OVERSLEPT_S = 0.01
TOO_MANY_LATE = 0.2  # of the frames of that time: where most needed longer, hold everything back at once
TAIL_S = 0.3  # after the last sample: let the players finish


class Stats(TypedDict):
    """Counted since the session began, except the times, which are current."""

    frames_drawn: int
    frames_sent: int
    frames_late: int  # drawn, but their moment had passed
    frames_dropped: int  # pushed out of a full queue
    audio_skipped_ms: int  # never drawn: the machine was too slow
    underruns: int  # voice packets with audio missing
    stalls: int
    playout_delay_ms: int
    draw_ms: float
    stages_ms: dict[str, float]  # mean of each stage over the last seconds, see `StageTimes`
    stages_p95_ms: dict[str, float]


class SessionMonitor(Protocol):
    """Somebody who keeps count of sessions; called on the event loop."""

    def began(self, session: Session) -> None: ...

    def observe(self, stage: Stage, seconds: float) -> None: ...

    def ended(self, session: Session) -> None:
        """It has been closed and its counters will not change; perhaps told twice."""


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
        monitor: SessionMonitor | None = None,
        moves: bool = True,
    ) -> None:
        """Args: moves: the engine moves more of the face than its lips."""
        self.heard = HeardVoices()  # what is said to the face; nobody is sent it
        self.clock = clock or MediaClock(margin_s)  # the look-ahead is added once the model is open
        self.has_subscribers = True  # while it has none, nothing is drawn, but time goes on
        self._margin_s = margin_s
        self._opened = False
        self._scales_motion = False  # known once it is open
        self._moves = moves
        self._source = source
        self._voice = VoiceBuffer(round((MAX_PLAYOUT_DELAY_S + 1.0) * PLAYBACK_HZ))
        self._frames = FrameQueue(math.ceil(MAX_PLAYOUT_DELAY_S * 30))  # what can wait at most, at up to 30 fps
        self._monitor = monitor
        self._times = StageTimes(monitor.observe if monitor is not None else None)
        self._playout_delay = PlayoutDelay()
        self._worker = EngineWorker(make_engine, self._frame_ready, self.clock.now, self._times)
        self._feed = EngineFeed(self.clock, self._worker, self.heard)
        self._holes = 0  # voice packets with silence in them for audio that came too late or was lost
        self.voice_track = VoiceTrack(self._voice, self.clock)
        self.face_track = FaceTrack(self._frames, self.clock, still_bgr, self._times)
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Open the engine ahead of time, while the connection is still being made.

        Raises: S2vError, the model or the runtime cannot be used.
        """
        if not self._opened:
            self._opened = True
            if self._monitor is not None:
                self._monitor.began(self)
            spec = await self._worker.open()
            self._scales_motion = spec.network != "speech2vid"
            self.clock.playout_delay_s = spec.look_ahead_s + self._margin_s
            self._feed.look_ahead_s = spec.look_ahead_s
            self._playout_delay.lowest_s, self._playout_delay.highest_s = (
                spec.look_ahead_s + MIN_MARGIN_S,
                MAX_PLAYOUT_DELAY_S,
            )

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
        await self.heard.close()
        self.voice_track.stop()
        self.face_track.stop()
        try:
            await self._worker.close()
            await self._source.wait_closed()
        finally:
            if self._monitor is not None:
                self._monitor.ended(self)

    def listen_to(self, source: AudioSource) -> None:
        """Let the face hear this microphone, which is closed with the session at the latest."""
        self.heard.join(source)

    def grant(self, wishes: Wishes) -> None:
        """Let the frames drawn next be as asked for; after `open`.

        Raises: StreamError, the model puts out pixels, which no articulation scales, or only the lower face moves.
        """
        if wishes.articulation is not None and not self._scales_motion:
            raise StreamError("this server's faces cannot speak more or less strongly: leave articulation out")
        if wishes.liveliness is not None and not self._moves:
            raise StreamError("this server's faces hold still but for their lips: leave liveliness out")
        self._worker.wishes = wishes.after(self._worker.wishes)

    async def wait_until_heard(self, source_sample: int) -> None:
        """Return when this sample of the source, counted at ENGINE_HZ, is released to the listeners."""
        while self.clock.due_of(source_sample) > self.clock.position():  # it may be held back more meanwhile
            await self.clock.sleep_until(self.clock.due_of(source_sample))

    @property
    def lag_s(self) -> float:
        """How far the drawing is behind the audio, whatever the network does; a draw's length on an idle machine."""
        return self._worker.lag_s

    def stats(self) -> Stats:
        return Stats(
            frames_drawn=self._worker.drawn,
            frames_sent=self.face_track.counts.sent,
            frames_late=self.face_track.counts.late,
            frames_dropped=self._frames.dropped,
            audio_skipped_ms=self._worker.skipped_samples * 1000 // self.clock.rate_hz,
            underruns=self.voice_track.underruns + self._holes,
            stalls=self.clock.stalls,
            playout_delay_ms=round(self.clock.playout_delay_s * 1000),
            draw_ms=round(self._worker.draw_s * 1000, 2),
            stages_ms=self._times.means_ms(),
            stages_p95_ms=self._times.p95_ms(),
        )

    async def _carry(self) -> None:
        await self.open()
        try:
            async with asyncio.TaskGroup() as group:
                adapting = group.create_task(self._adapt())
                drawing = group.create_task(self._worker.run())
                end = await self._listen()
                await drawing
                await self.clock.sleep_until(end + TAIL_S * self.clock.rate_hz)
                adapting.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None  # the first failure; the others are its consequence

    async def _listen(self) -> int:
        """Put the source's audio where it belongs; returns the timeline sample at which it ended."""
        end = 0
        while (chunk := await self._next_chunk()) is not None:
            if chunk.came_s is not None:
                self._times.add("capture", self.clock.now() - chunk.came_s)
            offset = self.clock.arrived(chunk.voice_end // RATIO)
            waits_s = self.clock.until(chunk.voice_end // RATIO + offset)
            self._playout_delay.packet_needed(self.clock.actual_delay_s - waits_s + PACKET_SAMPLES / PLAYBACK_HZ)
            at = chunk.voice_start + RATIO * offset
            self._voice.stand_in(at - chunk.pause, at)
            self._voice.write(at, chunk.voice)
            fed = self._feed.put(chunk.engine_start, offset, chunk.engine, self.has_subscribers)
            if not chunk.pause:
                self._came_late(fed)
            end = chunk.voice_end // RATIO + offset
        self._voice.ends_at = RATIO * end
        self._worker.finish()
        return end

    async def _next_chunk(self) -> AudioChunk | None:
        """What the source says next, silence standing in for it meanwhile; None at its end."""
        reading = asyncio.ensure_future(self._source.read())
        try:
            while not reading.done():
                lead_s = self.face_track.lead_s
                await asyncio.wait([reading], timeout=self._feed.patience_s(lead_s))
                overdue_s = -(self._feed.patience_s(lead_s) or 0.0)
                if not reading.done() and overdue_s > OVERSLEPT_S:  # we are late ourselves: it may be there already
                    await asyncio.wait([reading], timeout=OVERSLEPT_S)
                if not reading.done() and overdue_s >= 0:
                    begin, end = self._feed.conceal(lead_s, self.has_subscribers)
                    self._voice.stand_in(RATIO * begin, RATIO * end)
            return reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait([reading])

    def _came_late(self, fed: Fed) -> None:
        """Count what came after silence had stood in for it, or never: silence that nobody meant."""
        begin, end = RATIO * fed.stood_in[0], min(RATIO * fed.stood_in[1], self._voice.position)
        self._holes += math.ceil(max(end - begin, 0) / PACKET_SAMPLES)
        late_s = self._worker.draw_s + self.face_track.lead_s
        late_s -= self.clock.until(fed.end - round(self._feed.look_ahead_s * self.clock.rate_hz))
        if fed.late:
            self._playout_delay.frame_needed(self.clock.actual_delay_s + late_s)

    def _frame_ready(self, frame: DueFrame) -> None:
        spare_s = self.clock.until(frame.at) - self.face_track.lead_s
        if not self._feed.was_silent(frame.at):
            self._playout_delay.frame_needed(self.clock.actual_delay_s - spare_s)
        self._frames.put(frame)

    async def _adapt(self) -> None:
        """Follow the need with the playout delay; where much comes late, hold back more at once: late beats nothing."""
        seen, drawn = 0, deque([0], maxlen=1 + round(LASTING_S / ADAPT_EVERY_S))
        while True:
            await self.clock.sleep(ADAPT_EVERY_S)
            late, seen = self.face_track.counts.late - seen, self.face_track.counts.late
            drawn.append(self._worker.drawn)
            lasting = drawn[-1] - drawn[0] if len(drawn) == drawn.maxlen else 0
            missing_s = self._playout_delay.lasting_s(lasting) - self.clock.actual_delay_s
            room_s = MAX_PLAYOUT_DELAY_S - self.clock.playout_delay_s
            if late > max(TOO_MANY_LATE * (drawn[-1] - drawn[-2]), 1) and missing_s > 0 and room_s > 0:
                self.clock.grow_playout_delay(min(missing_s, room_s))
            else:
                self.clock.playout_delay_s = self._playout_delay.next(self.clock.playout_delay_s)
