"""The one face of a server that has a voice of its own: drawn once, seen by everybody who looks.

    source -> Session -> two pumps -> Publisher -> the tracks of each Subscriber

A subscriber fills the same surface as a session, so a call does not care which of the two it carries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aiortc import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame

from s2v.errors import S2vError, StreamError
from s2v.logs import in_session
from s2v.streaming.broadcast.subscribers import (
    WAITING_FRAMES,
    WAITING_PACKETS,
    PublishedFrame,
    PublishedPacket,
    Publisher,
    SubscriberTrack,
)
from s2v.streaming.session.heard import HeardVoice
from s2v.streaming.session.session import Session, Stats
from s2v.streaming.session.stage_times import StageTimes
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.source import AudioSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BroadcastSource:
    """What drives the face of a server that asks no caller for a voice."""

    kind: Literal["file", "mic", "push"]
    make_source: Callable[[], AudioSource]
    waits_for_subscribers: bool = (
        False  # begins with the first subscriber and ends with the last; else runs all the time
    )


class BroadcastSession:
    """One session from its beginning to its end, and whoever subscribes to it."""

    def __init__(self, source: AudioSource, session: Session) -> None:
        self.source = source
        self.session = session
        session.face_track.others_encode = True
        self.pictures: Publisher[PublishedFrame] = Publisher()
        self.packets: Publisher[PublishedPacket] = Publisher()
        self._opening = asyncio.create_task(session.open())
        self._life: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises: S2vError, the engine cannot be opened."""
        try:
            await asyncio.shield(self._opening)
        except S2vError:
            await self._release()
            raise

    def start(self) -> asyncio.Task[None]:
        """Begin to play, once; returns the task that ends with it, and raises what ended it."""
        if self._life is None:
            with in_session("shared"):
                self._life = asyncio.create_task(self._run())
            self._life.add_done_callback(_report)
        return self._life

    @property
    def over(self) -> bool:
        failed = self._opening.done() and (self._opening.cancelled() or self._opening.exception() is not None)
        return failed or (self._life is not None and self._life.done())

    async def close(self) -> None:
        """End it and join everything; safe to call twice."""
        self._opening.cancel()
        if self._life is not None:
            self._life.cancel()
        await asyncio.wait([self._opening, *([self._life] if self._life else [])])
        await self._release()

    async def _run(self) -> None:
        try:
            await self.open()
            async with asyncio.TaskGroup() as group:
                pumps = [
                    group.create_task(self._pump(self.session.face_track)),
                    group.create_task(self._pump(self.session.voice_track)),
                ]
                await self.session.run()
                for pump in pumps:
                    pump.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            await self._release()

    async def _pump(self, track: MediaStreamTrack) -> None:
        """The tracks release each frame when it is due: handed on at once, it keeps its stamp and its moment."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if isinstance(frame, VideoFrame):
                if len(self.pictures):
                    self.pictures.put(PublishedFrame.of(frame))
            elif isinstance(frame, AudioFrame) and len(self.packets):
                self.packets.put(PublishedPacket.of(frame))

    async def _release(self) -> None:
        await self.session.close()
        self.pictures.end()
        self.packets.end()


def _report(life: asyncio.Task[None]) -> None:
    """Without a subscriber, nobody else would say it."""
    if not life.cancelled() and (error := life.exception()) is not None:
        log.warning("the shared face has stopped, the next visitor starts it again: %s", error)


class Subscriber:
    """One subscription to the broadcast, with the surface of a `Session`. Life: `open`, `run` once, `close`."""

    def __init__(self, broadcast: Broadcast, broadcast_session: BroadcastSession) -> None:
        self._broadcast = broadcast
        self._session = broadcast_session
        self._times = StageTimes()
        self._left = asyncio.Event()
        self._heard: HeardVoice | None = None
        self.voice_track: SubscriberTrack[PublishedPacket] = SubscriberTrack(
            "audio", broadcast_session.packets, WAITING_PACKETS, broadcast_session.session.clock.now
        )
        self.face_track: SubscriberTrack[PublishedFrame] = SubscriberTrack(
            "video", broadcast_session.pictures, WAITING_FRAMES, broadcast_session.session.clock.now, self._encoded
        )

    async def open(self) -> None:
        """Raises: S2vError, the engine cannot be opened."""
        await self._session.open()

    async def run(self) -> None:
        """Receive until the broadcast ends or `close` is called.

        Raises: S2vError, what ended the broadcast.
        """
        if self._left.is_set():
            return
        life, leaving = self._session.start(), asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait([life, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if life.done() and not life.cancelled():
            life.result()

    def grant(self, wishes: Wishes) -> None:
        """Raises: StreamError, everybody sees this face."""
        for name, value in asdict(wishes).items():
            if value is not None:
                raise StreamError(f"everybody sees this face: its {name} is the server's, leave it out")

    def listen_to(self, source: AudioSource) -> None:
        """Let the face that everybody sees hear this microphone, until `close` at the latest; nobody is sent it."""
        self._heard = self._session.session.heard.join(source)

    async def close(self) -> None:
        """Leave; nobody else notices. Safe to call twice."""
        self._left.set()
        if self._heard is not None:
            await self._heard.close()
        self.voice_track.stop()
        self.face_track.stop()
        await self._broadcast.leave(self)

    def _encoded(self, seconds: float) -> None:
        """For this subscriber's own figures; and the session hands pictures over that much earlier, on the average."""
        self._times.add("encode", seconds)
        self._session.session.face_track.encoded(seconds)

    @property
    def lag_s(self) -> float:
        """See `Session.lag_s`."""
        return self._session.session.lag_s

    def stats(self) -> Stats:
        """The session's, but with what this subscriber alone was sent and lost."""
        stats = self._session.session.stats()
        stats["frames_sent"] = self.face_track.sent
        stats["frames_dropped"] += self.face_track.dropped
        stats["stages_ms"] |= self._times.means_ms()
        stats["stages_p95_ms"] |= self._times.p95_ms()
        return stats


class Broadcast:
    """Keeps a session going and lets subscribers in. When one has failed, the next visitor begins another."""

    def __init__(self, voice: BroadcastSource, make_session: Callable[[AudioSource], Session]) -> None:
        self._voice = voice
        self._make_session = make_session
        self._session: BroadcastSession | None = None
        self._subscribers: set[Subscriber] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def on(self) -> BroadcastSession | None:
        """What is being played, if anything is."""
        return None if self._session is None or self._session.over else self._session

    def subscribe(self) -> Subscriber:
        """A new subscriber of what is on, or of what begins with it."""
        subscriber = Subscriber(self, self._current())
        self._subscribers.add(subscriber)
        self._tell_session()
        return subscriber

    async def start(self) -> BroadcastSession:
        """What is on; begun if nothing is.

        Raises: S2vError, the engine cannot be opened.
        """
        broadcast_session = self._current()
        await broadcast_session.open()
        broadcast_session.start()
        return broadcast_session

    async def start_unless_it_waits(self) -> None:
        """At the server's start.

        Raises: S2vError, the engine cannot be opened.
        """
        if not self._voice.waits_for_subscribers:
            await self.start()

    async def leave(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        self._tell_session()
        if self._voice.waits_for_subscribers and not self._subscribers and self._session is not None:
            await asyncio.shield(self._end(self._session))

    async def close(self) -> None:
        """End the session and join everything; safe to call twice."""
        if self._session is not None:
            self._end(self._session)
        if self._ending:
            await asyncio.wait(self._ending)

    def _end(self, broadcast_session: BroadcastSession) -> asyncio.Task[None]:
        """Whoever comes now begins anew. One that is cancelled while it leaves must not leave this half done."""
        self._session = None
        ending = asyncio.create_task(broadcast_session.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"subscribers": len(self), "on": self.on is not None}
        if (on := self._session) is not None:
            state |= {"heard": len(on.session.heard), **on.session.stats()}
            if callable(counts := getattr(on.source, "stats", None)):
                state["source"] = counts()
        return state

    def _current(self) -> BroadcastSession:
        if self._session is None or self._session.over:
            source = self._voice.make_source()
            with in_session("shared"):  # and not of the visitor with whom it begins
                self._session = BroadcastSession(source, self._make_session(source))
            self._tell_session()
        return self._session

    def _tell_session(self) -> None:
        """A broadcast without subscribers for a night draws nothing all night."""
        if self._session is not None:
            self._session.session.has_subscribers = bool(self._subscribers)
