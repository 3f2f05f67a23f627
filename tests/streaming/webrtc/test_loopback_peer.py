"""A real WebRTC peer calls the real server over loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiortc import (
    AudioStreamTrack,
    MediaStreamError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from numpy.typing import NDArray
from streaming.client import Client, next_picture, next_sound
from streaming.fakes import SIDE_PX, FakeEngine, fake_avatar, tone_clip

from s2v.engine.behaviour.mood import Mood
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.session.tracks import VoiceTrack
from s2v.streaming.sources.file import FileSource
from s2v.streaming.webrtc.aiortc_internals import intercept
from s2v.streaming.webrtc.call import MAX_UNASKED_BYTES, MESSAGE_BYTES

pytestmark = pytest.mark.usefixtures("loopback_ice")


class Microphone(MediaStreamTrack):
    """A peer's microphone that says a 220 Hz tone, in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._source = FileSource(tone_clip(30.0))

    async def recv(self) -> av.AudioFrame:
        chunk = await self._source.read()
        if chunk is None:
            raise MediaStreamError
        s16 = (chunk.voice * 32767).astype(np.int16)[None, :]
        frame = av.AudioFrame.from_ndarray(s16, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, chunk.voice_start
        return frame


class Peer:
    """A caller as the page is one: sends a microphone or nothing, receives face and voice."""

    def __init__(
        self,
        client: Client,
        microphone: MediaStreamTrack | None,
        face: str | None = None,
        asks: str | None = None,
        **wishes: object,
    ) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.messages: list[str] = []
        self.client = client
        self._microphone = microphone
        self._wishes = wishes if face is None else {"face": face, **wishes}
        self._input = asks or ("mic" if microphone is not None else "voice")

    async def call(self) -> None:
        self.channel = self.pc.createDataChannel("state")
        self.channel.on("message", self.messages.append)
        self.pc.on("track", lambda track: self.tracks.__setitem__(track.kind, track))
        if self._microphone is not None:
            self.pc.addTrack(self._microphone)
        else:
            self.pc.addTransceiver("audio", direction="recvonly")
        self.pc.addTransceiver("video", direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        reply = await self.client.post(
            "/offer", json={"sdp": self.pc.localDescription.sdp, "type": "offer", "input": self._input, **self._wishes}
        )
        answer = await reply.json()
        assert reply.status == 200, answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))


@asynccontextmanager
async def serving(options: LiveOptions) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_app(options))) as client:
        yield client


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def listen(track: MediaStreamTrack, seconds: float) -> NDArray[np.float32]:
    """Mono float32 at 48 kHz, what was received in that time."""
    parts: list[NDArray[np.float32]] = []
    async with asyncio.timeout(seconds + 10):
        while sum(map(len, parts)) < seconds * 48_000:
            frame = await next_sound(track)
            parts.append(frame.to_ndarray().reshape(-1, 2).mean(axis=1).astype(np.float32) / 32768)
    return np.concatenate(parts)


def pitch_hz(pcm: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 48_000 / len(pcm))


def test_a_caller_hears_their_own_voice_and_sees_the_mouth_move() -> None:
    async def call() -> None:
        async with serving(LiveOptions(fake_avatar())) as client:
            peer = Peer(client, Microphone())
            await peer.call()
            heard, seen = await asyncio.gather(listen(peer.tracks["audio"], 3.0), watch(peer.tracks["video"], 40))
            assert pitch_hz(heard[-48_000:]) == pytest.approx(220, abs=2)
            assert seen[0].shape == (SIDE_PX, SIDE_PX, 3)
            mouths = [int(frame[85, SIDE_PX // 2].mean()) for frame in seen]
            assert mouths[0] < mouths[-1] - 50, "the still comes first, with a dark mouth; the tone brightens it"
            await until(lambda: any("frames_drawn" in message for message in peer.messages))
            await peer.pc.close()

    async def watch(track: MediaStreamTrack, count: int) -> list[NDArray[np.uint8]]:
        return [np.asarray((await next_picture(track)).to_ndarray(format="bgr24"), np.uint8) for _ in range(count)]

    run(call)


def test_a_played_voice_ends_by_itself_and_says_so() -> None:
    async def call() -> None:
        engine, asked = FakeEngine(), list[PixelFormat]()
        avatar = fake_avatar(lambda: engine, asked=asked)
        async with serving(LiveOptions(avatar, sample_clip=tone_clip(1.0))) as client:
            peer = Peer(client, None)
            await peer.call()
            await until(lambda: any('"ended"' in message for message in peer.messages))
            await until(lambda: len(client.app[CALL_MANAGER]) == 0)
            assert len(engine.heard) == 16_000
            assert engine.closed == 1 and asked == ["i420"], "what calls are encoded from"
            await peer.pc.close()

    run(call)


def test_twenty_callers_come_and_go_and_leave_nothing() -> None:
    async def once(client: Client, number: int) -> None:
        peer = Peer(client, AudioStreamTrack() if number % 2 else None)
        await peer.call()
        if number % 3:  # the others hang up while still connecting
            await until(lambda: peer.pc.connectionState == "connected")
            await peer.tracks["video"].recv()
        await peer.pc.close()

    async def calls() -> None:
        engines: list[FakeEngine] = []

        def make_engine() -> FakeEngine:
            engines.append(FakeEngine())
            return engines[-1]

        options = LiveOptions(fake_avatar(make_engine), sample_clip=tone_clip(5.0), connect_within_s=2.0)
        async with serving(options) as client:
            call_manager = client.app[CALL_MANAGER]
            await once(client, 1)
            await until(lambda: len(call_manager) == 0, 25)
            tasks, threads = len(asyncio.all_tasks()), session_threads()
            for number in range(20):
                await once(client, number)
                await until(lambda: len(call_manager) < 3, 25)
            await until(lambda: len(call_manager) == 0, 25)
            gc.collect()
            await until(lambda: len(asyncio.all_tasks()) <= tasks and session_threads() <= threads)
        assert [engine.closed for engine in engines] == [1] * 21
        assert gc.collect() is not None and not [o for o in gc.get_objects() if type(o) is VoiceTrack]

    run(calls)


def session_threads() -> int:
    """Engine and decoder threads; asyncio's own pool, which only grows to its size, is not ours to count."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_a_peer_that_falls_silent_is_hung_up() -> None:
    async def call() -> None:
        options = LiveOptions(fake_avatar(), sample_clip=tone_clip(60.0), silent_after_s=3.0)
        async with serving(options) as client:
            peer = Peer(client, None)
            await peer.call()
            await until(lambda: peer.pc.connectionState == "connected")
            intercept(peer.pc, lambda _, recv: (swallow, recv))  # the network is gone, nobody says goodbye
            await until(lambda: len(client.app[CALL_MANAGER]) == 0)
            await peer.pc.close()

    async def swallow(data: bytes) -> None:
        pass

    run(call)


def test_a_caller_says_how_strongly_the_face_shall_speak_and_changes_it_in_the_call() -> None:
    async def call() -> None:
        engine = FakeEngine()
        async with serving(LiveOptions(fake_avatar(lambda: engine), sample_clip=tone_clip(60.0))) as client:
            peer = Peer(client, None, articulation=0.75)
            await peer.call()
            await until(lambda: len(engine.articulations) > 5)
            assert set(engine.articulations) == {0.75}
            peer.channel.send(json.dumps({"articulation": 1.5}))
            await until(lambda: engine.articulations[-1] == 1.5)
            for unread in ("", "{", '{"articulation": 1.2, "more": 1}', "[1]", '"articulation"', "x" * 5000):
                peer.channel.send(unread)
            for wrong in (1.6, "loud", True):
                peer.channel.send(json.dumps({"articulation": wrong, "liveliness": 0.5}))
            await until(lambda: sum('"refused"' in message for message in peer.messages) == 3)
            refused = [json.loads(message) for message in peer.messages if '"refused"' in message]
            assert "articulation is 1.6: give a number from 0.5 to 1.5" in refused[0]["error"]
            seen = len(engine.articulations)
            await until(lambda: len(engine.articulations) > seen + 5)
            assert set(engine.articulations[seen:]) == {1.5}, "a wrong wish changes nothing"
            assert set(engine.livelinesses) == {1.0}, "nor what stands beside it"
            peer.channel.send(json.dumps({"liveliness": 0}))
            await until(lambda: engine.livelinesses[-1] == 0)
            assert engine.articulations[-1] == 1.5
            await peer.pc.close()

    run(call)


def test_a_caller_chooses_how_lively_the_face_is_and_its_mood_for_the_call() -> None:
    async def call() -> None:
        engine, moods = FakeEngine(), list[Mood | None]()
        options = LiveOptions(fake_avatar(lambda: engine, moods=moods), sample_clip=tone_clip(60.0))
        async with serving(options) as client:
            peer = Peer(client, None, liveliness=1.25, mood="friendly")
            await peer.call()
            await until(lambda: len(engine.livelinesses) > 5)
            assert set(engine.livelinesses) == {1.25} and moods == ["friendly"]
            await peer.pc.close()

    run(call)


def test_a_face_that_only_listens_hears_its_caller_and_says_nothing() -> None:
    async def call() -> None:
        engine = FakeEngine()
        async with serving(LiveOptions(fake_avatar(lambda: engine), listens=True)) as client:
            peer = Peer(client, Microphone())
            await peer.call()
            sound = await listen(peer.tracks["audio"], 2.0)
            assert not engine.heard.any() and np.abs(sound).max() < 1e-3, "it says nothing, and nothing comes back"
            assert pitch_hz(np.repeat(engine.said_to_it[-8000:], 3)) == pytest.approx(220, abs=3)
            await peer.pc.close()

    run(call)


def test_a_visitor_may_move_a_slider_for_as_long_as_he_likes() -> None:
    async def call() -> None:
        engine = FakeEngine()
        async with serving(LiveOptions(fake_avatar(lambda: engine), sample_clip=tone_clip(60.0))) as client:
            peer = Peer(client, None)
            await peer.call()
            await until(lambda: bool(engine.articulations))
            most = MAX_UNASKED_BYTES // MESSAGE_BYTES
            live = next(iter(client.app[CALL_MANAGER]._calls))
            live._unasked_bytes = MAX_UNASKED_BYTES - 10 * MESSAGE_BYTES  # as after hundreds of them
            for number in range(40):
                peer.channel.send(json.dumps({"articulation": 0.5 + number / 40}))
                await asyncio.sleep(0.1)
            await until(lambda: engine.articulations[-1] == 0.5 + 39 / 40)
            assert most > 500 and live.state == "live"
            await peer.pc.close()

    run(call)
