from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiortc import MediaStreamError, MediaStreamTrack
from av import VideoFrame
from streaming.fakes import SIDE_PX, FakeEngine, session_of, stamp_of, tone_clip
from streaming.virtual_time import VirtualTime

from s2v.errors import ModelError, StreamError
from s2v.streaming.broadcast.broadcast import Broadcast, BroadcastSource, Subscriber
from s2v.streaming.broadcast.subscribers import WAITING_FRAMES, WAITING_PACKETS, PublishedPacket, Publisher
from s2v.streaming.session.session import Session
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioSource


class ToneBroadcast:
    """A broadcast of a tone, in virtual time, and the engines it has opened."""

    def __init__(self, time: VirtualTime, seconds: float = 30.0, loop: bool = False, waits: bool = True) -> None:
        self.engines: list[FakeEngine] = []
        self._time = time
        clip = tone_clip(seconds)
        self.broadcast = Broadcast(
            BroadcastSource("file", lambda: FileSource(clip, loop, time.now), waits), self._make_session
        )

    def _make_session(self, source: AudioSource) -> Session:
        def make_engine() -> FakeEngine:
            self.engines.append(FakeEngine())
            return self.engines[-1]

        return session_of(source, make_engine, self._time)


def run(test: Callable[[VirtualTime], Awaitable[None]]) -> None:
    time = VirtualTime()

    async def alone() -> None:
        before = asyncio.all_tasks()
        await test(time)
        await asyncio.sleep(0)  # what has been cancelled ends
        assert asyncio.all_tasks() == before, "no task is left"

    time.run(alone())


async def stamps(track: MediaStreamTrack, count: int) -> list[int]:
    return [stamp_of(await track.recv()) for _ in range(count)]


@asynccontextmanager
async def subscribed(tones: ToneBroadcast) -> AsyncIterator[Subscriber]:
    subscriber = tones.broadcast.subscribe()
    await subscriber.open()
    running = asyncio.create_task(subscriber.run())
    try:
        yield subscriber
    finally:
        await subscriber.close()
        await running


def test_subscribers_get_the_same_frames_and_one_that_leaves_disturbs_nobody() -> None:
    async def subscribe(time: VirtualTime) -> None:
        tones = ToneBroadcast(time)
        async with subscribed(tones) as one:
            async with subscribed(tones) as two:
                await asyncio.gather(two.face_track.recv(), two.voice_track.recv())
                faces = await asyncio.gather(stamps(one.face_track, 20), stamps(two.face_track, 20))
                both = set(faces[0]) & set(faces[1])
                assert len(both) >= 19, "of twenty each; one begins a little later than the other"
                voices = await asyncio.gather(stamps(one.voice_track, 20), stamps(two.voice_track, 20))
                assert len(set(voices[0]) & set(voices[1])) >= 20 - WAITING_PACKETS, (
                    "what waited for one of them meanwhile"
                )
                one_sees, two_sees = await asyncio.gather(one.face_track.recv(), two.face_track.recv())
                assert one_sees is not two_sees, "aiortc's encoders write into the frame they are given"
            with pytest.raises(MediaStreamError):
                await two.face_track.recv()
            after = await stamps(one.face_track, 10)
            assert np.diff(after).min() > 0
            assert one.stats()["frames_sent"] >= 30
        assert len(tones.engines) == 1 and tones.engines[0].closed == 1, "drawn once; ended with the last subscriber"

    run(subscribe)


def test_a_subscriber_that_takes_nothing_holds_up_nobody_and_keeps_only_the_newest() -> None:
    async def subscribe(time: VirtualTime) -> None:
        tones = ToneBroadcast(time)
        async with subscribed(tones) as slow, subscribed(tones) as quick:
            first = await asyncio.gather(slow.face_track.recv(), slow.voice_track.recv())
            seen = await asyncio.gather(stamps(quick.face_track, 25), stamps(quick.voice_track, 50))
            assert np.diff(seen[0]).min() > 0 and np.diff(seen[1]).min() > 0
            assert slow.face_track.dropped >= 24 - WAITING_FRAMES and slow.voice_track.dropped >= 49 - WAITING_PACKETS
            assert slow.stats()["frames_dropped"] >= slow.face_track.dropped
            late = await asyncio.gather(slow.face_track.recv(), slow.voice_track.recv())
            skipped = [stamp_of(now) - stamp_of(then) for now, then in zip(late, first, strict=True)]
            assert skipped[0] > 20 * 640 and skipped[1] > 40 * 960

    run(subscribe)


def test_subscribers_are_heard_until_they_leave_and_change_nothing_else() -> None:
    async def subscribe(time: VirtualTime) -> None:
        tones = ToneBroadcast(time)
        async with subscribed(tones) as watching:
            async with subscribed(tones) as speaking:
                speaking.listen_to(FileSource(tone_clip(30.0, 330), now=time.now))
                await stamps(watching.face_track, 40)
                assert tones.broadcast.state()["heard"] == 1
            (engine,) = tones.engines
            began = int(np.argmax(engine.said_to_it != 0)) - 1
            assert began >= 0
            said = engine.said_to_it[began:]
            assert np.array_equal(said, tone_clip(30.0, 330).pcm_16k[: len(said)]) and len(said) > 16_000
            count, alone = len(engine.heard), engine.alone
            await stamps(watching.face_track, 20)
            assert engine.alone - alone >= len(engine.heard) - count - 640 > 5_000, "nobody speaks to it any more"
            assert tones.broadcast.state()["heard"] == 0
            for wish in (Wishes(articulation=1.0), Wishes(liveliness=1.0)):
                with pytest.raises(StreamError, match=r"everybody sees this face: its (articulation|liveliness) is"):
                    watching.grant(wish)
            watching.grant(Wishes())

    run(subscribe)


def test_a_file_begins_with_the_first_subscriber_and_anew_after_the_last() -> None:
    async def subscribe(time: VirtualTime) -> None:
        tones = ToneBroadcast(time, 0.4)
        await tones.broadcast.start_unless_it_waits()
        assert tones.engines == []
        for times in (1, 2):
            async with subscribed(tones) as subscriber:
                await subscriber.run()  # until the file has ended
                assert len(tones.engines[-1].heard) == 6400
            assert len(tones.engines) == times and tones.broadcast.on is None
        assert [engine.closed for engine in tones.engines] == [1, 1]

    run(subscribe)


def test_a_looped_file_or_a_microphone_plays_without_anybody_but_is_drawn_only_for_somebody() -> None:
    async def drawn(tones: ToneBroadcast, more_than: int) -> int:
        async with asyncio.timeout(10):
            while tones.broadcast.state()["frames_drawn"] <= more_than:
                await asyncio.sleep(0.02)
        return int(tones.broadcast.state()["frames_drawn"])

    async def subscribe(time: VirtualTime) -> None:
        tones = ToneBroadcast(time, 0.3, loop=True, waits=False)
        await tones.broadcast.start_unless_it_waits()
        on = tones.broadcast.on
        assert on is not None
        before = on.session.clock.position()
        await asyncio.sleep(0.5)
        assert tones.broadcast.state()["on"] and on.session.clock.position() > before + 4000, "time goes on"
        assert tones.broadcast.state()["frames_drawn"] == 0 and len(tones.engines[0].heard) == 0
        for _ in range(2):
            count = int(tones.broadcast.state()["frames_drawn"])
            async with subscribed(tones) as subscriber:
                first, second = await stamps(subscriber.face_track, 2)
                assert second > first > before, "what they see is of now"
                await drawn(tones, more_than=count + 5)
            heard = len(tones.engines[0].heard)
            await asyncio.sleep(0.3)
            assert len(tones.engines[0].heard) <= heard + 6400, "only what was handed over already"
            before = on.session.clock.position()
        assert len(tones.engines) == 1
        await tones.broadcast.close()
        await tones.broadcast.close()
        assert tones.engines[0].closed == 1

    run(subscribe)


def test_when_it_fails_everybody_is_told_and_the_next_visitor_starts_it_again() -> None:
    engines: list[FakeEngine] = []

    def fail() -> None:
        raise ModelError("the weights are gone")

    def make_engine() -> FakeEngine:
        engines.append(FakeEngine() if engines else FakeEngine(fail))
        return engines[-1]

    async def subscribe(time: VirtualTime) -> None:
        broadcast = Broadcast(
            BroadcastSource("mic", lambda: FileSource(tone_clip(30.0), now=time.now)),
            lambda source: session_of(source, make_engine, time),
        )
        one, two = broadcast.subscribe(), broadcast.subscribe()
        ended = await asyncio.gather(one.run(), two.run(), return_exceptions=True)
        assert [str(error) for error in ended] == ["the weights are gone"] * 2
        await asyncio.gather(one.close(), two.close())
        three = broadcast.subscribe()
        running = asyncio.create_task(three.run())
        face = await three.face_track.recv()
        assert isinstance(face, VideoFrame) and face.width == SIDE_PX
        await three.close()
        await running
        await broadcast.close()
        assert [engine.closed for engine in engines] == [1, 1]

    run(subscribe)


def test_an_engine_that_cannot_be_opened_refuses_every_subscriber_and_leaves_nothing() -> None:
    def refuse() -> FakeEngine:
        raise ModelError("no such model")

    async def subscribe(time: VirtualTime) -> None:
        broadcast = Broadcast(
            BroadcastSource("mic", lambda: FileSource(tone_clip(1.0), now=time.now)),
            lambda source: session_of(source, refuse, time),
        )
        for _ in range(2):
            subscriber = broadcast.subscribe()
            with pytest.raises(ModelError, match="no such model"):
                await subscriber.open()
            await subscriber.close()
        with pytest.raises(ModelError):
            await broadcast.start_unless_it_waits()
        await broadcast.close()

    run(subscribe)


def test_a_queue_keeps_the_newest_and_whoever_comes_after_the_end_hears_so() -> None:
    async def queue_up(_: VirtualTime) -> None:
        publisher: Publisher[PublishedPacket] = Publisher()
        queue = publisher.join(WAITING_PACKETS)
        packets = [PublishedPacket(at, np.zeros((1, 2 * 960), np.int16)) for at in range(8)]
        for packet in packets:
            publisher.put(packet)
        assert queue.dropped == 3
        assert [await queue.get() for _ in range(5)] == packets[3:]
        publisher.end()
        assert await queue.get() is None and await publisher.join(1).get() is None and len(publisher) == 0

    run(queue_up)
