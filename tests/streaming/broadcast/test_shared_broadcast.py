"""Real WebRTC subscribers of one broadcast over loopback."""

from __future__ import annotations

import asyncio
import gc
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamError, MediaStreamTrack
from streaming.client import Client, next_picture
from streaming.fakes import FakeEngine, fake_avatar, tone_clip
from streaming.webrtc.test_loopback_peer import Microphone, Peer, listen, pitch_hz, run, serving, until

from s2v.streaming.broadcast.subscribers import SubscriberTrack
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions

pytestmark = pytest.mark.usefixtures("loopback_ice")


class Engines:
    def __init__(self) -> None:
        self.made: list[FakeEngine] = []

    def __call__(self) -> FakeEngine:
        self.made.append(FakeEngine())
        return self.made[-1]


async def subscriber(client: Client, microphone: MediaStreamTrack | None = None) -> Peer:
    peer = Peer(client, microphone, asks="shared")
    await peer.call()
    await until(lambda: peer.pc.connectionState == "connected")
    return peer


def told_the_end(peer: Peer) -> bool:
    return any('"ended"' in message for message in peer.messages)


async def drain(track: MediaStreamTrack, seen: list[float]) -> None:
    """Moments on the sender's own axis, as RTP carries it, of what is received."""
    try:
        while True:
            time_s = (await next_picture(track)).time
            assert time_s is not None
            seen.append(time_s)
    except MediaStreamError:
        pass


def test_two_subscribers_see_one_drawing_in_step_and_one_leaves_without_the_other_noticing() -> None:
    async def subscribe() -> None:
        engines = Engines()
        async with serving(LiveOptions(fake_avatar(engines), tone_clip(10.0), loop=True)) as client:
            one, two = await subscriber(client), await subscriber(client)
            seen: tuple[list[float], list[float]] = ([], [])
            draining = [
                asyncio.create_task(drain(peer.tracks["video"], its))
                for peer, its in zip((one, two), seen, strict=True)
            ]
            heard = await asyncio.gather(listen(one.tracks["audio"], 2.0), listen(two.tracks["audio"], 2.0))
            for pcm in heard:
                assert pitch_hz(pcm[-48_000:]) == pytest.approx(220, abs=2)
            await two.pc.close()
            await until(lambda: len(client.app[CALL_MANAGER]) == 1)
            count = len(seen[0])
            await until(lambda: len(seen[0]) > count + 25)
            for stamps in seen:
                assert np.median(np.diff(stamps)) == pytest.approx(0.04, abs=1e-3)
            state = await (await client.get("/state")).json()
            assert state["broadcast"]["subscribers"] == 1 and len(engines.made) == 1
            assert state["broadcast"]["frames_drawn"] >= 50
            await one.pc.close()
            await asyncio.gather(*draining)
        assert engines.made[0].closed == 1

    run(subscribe)


def test_a_file_starts_with_the_first_subscriber_and_all_are_told_that_it_has_ended() -> None:
    async def subscribe() -> None:
        engines = Engines()
        async with serving(LiveOptions(fake_avatar(engines), tone_clip(2.0))) as client:
            await asyncio.sleep(0.3)
            assert engines.made == []
            peers = [await subscriber(client), await subscriber(client)]
            for peer in peers:
                await until(partial(told_the_end, peer))
            assert len(engines.made) == 1 and 24_000 < len(engines.made[0].heard) <= 32_000
            await asyncio.gather(*(peer.pc.close() for peer in peers))
            await until(lambda: len(client.app[CALL_MANAGER]) == 0)
            again = await subscriber(client)
            await until(lambda: len(engines.made) == 2)
            await again.pc.close()

    run(subscribe)


@pytest.mark.parametrize("listens", [True, False])
def test_the_shared_face_hears_who_speaks_to_it_if_it_listens_and_nobody_else_ever_does(listens: bool) -> None:
    async def subscribe() -> None:
        engines = Engines()
        options = LiveOptions(fake_avatar(engines), tone_clip(30.0, 440), loop=True, listens=listens)
        async with serving(options) as client:
            silent, speaker = await subscriber(client), await subscriber(client, Microphone())
            if listens:
                await until(lambda: bool(engines.made[0].said_to_it.any()))
            sounds = await asyncio.gather(*(listen(peer.tracks["audio"], 2.0) for peer in (silent, speaker)))
            state = await (await client.get("/state")).json()
            assert state["broadcast"]["heard"] == listens
            for sound in sounds:
                spectrum = np.abs(np.fft.rfft(sound[-48_000:] * np.hanning(48_000)))
                assert np.argmax(spectrum) == pytest.approx(440, rel=0.04), "the clock may bend it as much"
                assert spectrum[200:240].max() < 0.01 * spectrum.max(), "nothing of the caller's 220 Hz"
            (engine,) = engines.made
            if listens:
                assert pitch_hz(np.repeat(engine.said_to_it[-8000:], 3)) == pytest.approx(220, abs=3)
            else:
                assert engine.alone == len(engine.heard)
            await speaker.pc.close()
            await until(lambda: len(client.app[CALL_MANAGER]) == 1)
            alone, drawn = engine.alone, len(engine.articulations)
            await until(lambda: len(engine.articulations) > drawn + 15)
            assert engine.alone > alone + 8_000, "nobody speaks to it any more"
            await silent.pc.close()

    run(subscribe)


class Garbage(MediaStreamTrack):
    """A microphone whose Opus packets are noise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self._random = np.random.default_rng(0)

    async def recv(self) -> av.Packet[Any]:
        await asyncio.sleep(0.02)
        packet: av.Packet[Any] = av.Packet(self._random.bytes(60))
        packet.pts = packet.dts = 960 * self.sent
        packet.time_base = Fraction(1, 48_000)
        self.sent += 1
        return packet


class Stalling(Microphone):
    """A microphone that says half a second and then nothing for ever."""

    async def recv(self) -> av.AudioFrame:
        frame = await super().recv()
        if frame.pts is not None and frame.pts > 24_000:
            await asyncio.Event().wait()
        return frame


def test_callers_who_send_garbage_or_stall_do_not_slow_the_shared_face() -> None:
    async def subscribe() -> None:
        engines = Engines()
        options = LiveOptions(fake_avatar(engines), tone_clip(30.0, 440), loop=True, listens=True)
        async with serving(options) as client:
            garbage = Garbage()
            rude = [await subscriber(client, garbage), await subscriber(client, Stalling())]
            watching = await subscriber(client)
            seen: list[float] = []
            draining = asyncio.create_task(drain(watching.tracks["video"], seen))
            await until(lambda: garbage.sent > 150, 20)
            steps = np.diff(seen[5:])
            assert np.median(steps) == pytest.approx(0.04, abs=1e-3) and len(steps) > 40
            state = (await (await client.get("/state")).json())["broadcast"]
            assert state["audio_skipped_ms"] == 0 and state["stalls"] == 0 and state["heard"] == 2
            (engine,) = engines.made
            assert np.abs(engine.said_to_it).max() <= 1 and np.isfinite(engine.said_to_it).all()
            for peer in (*rude, watching):
                await peer.pc.close()
            await draining
            await until(lambda: len(client.app[CALL_MANAGER]) == 0)

    run(subscribe)


def test_subscribers_come_and_go_and_leave_nothing() -> None:
    async def subscribe() -> None:
        async with serving(LiveOptions(fake_avatar(Engines()), tone_clip(10.0), loop=True, listens=True)) as client:
            call_manager = client.app[CALL_MANAGER]
            await (await subscriber(client)).pc.close()
            await until(lambda: len(call_manager) == 0)
            await asyncio.sleep(0.1)
            tasks = len(asyncio.all_tasks())
            for number in range(10):
                peer = await subscriber(client, Microphone() if number % 2 else None)
                await peer.tracks["video"].recv()
                await peer.pc.close()
            await until(lambda: len(call_manager) == 0)
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            broadcast = call_manager.broadcast
            assert broadcast is not None and broadcast.on is not None
            assert len(broadcast) == 0 and len(broadcast.on.pictures) == 0 and len(broadcast.on.session.heard) == 0
            gc.collect()
            assert not [track for track in gc.get_objects() if type(track) is SubscriberTrack]

    run(subscribe)
