"""A program speaks through a real WebSocket; what subscribers would be sent is listened to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from streaming.client import Client
from streaming.fakes import FakeEngine, fake_avatar
from streaming.sources.test_speech_buffer import resampled, speech

from s2v.errors import ModelError
from s2v.streaming.broadcast.broadcast import Broadcast, BroadcastSource
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.sources.push import PushSource
from s2v.streaming.sources.resampler import VoiceResampler

PUSHED = BroadcastSource("push", PushSource, waits_for_subscribers=True)


def visit(
    test: Callable[[Client], Awaitable[None]],
    voice: BroadcastSource | None = PUSHED,
    engine: FakeEngine | None = None,
    make_engine: Callable[[], FakeEngine] = FakeEngine,
) -> None:
    async def run() -> None:
        options = LiveOptions(fake_avatar(lambda: engine or make_engine()), broadcast_source=voice)
        async with asyncio.timeout(60), TestClient(TestServer(create_app(options))) as client:
            await test(client)

    asyncio.run(run())


@asynccontextmanager
async def speaking(client: Client, rate_hz: int = 24_000) -> AsyncIterator[ClientWebSocketResponse]:
    async with client.ws_connect(f"/audio?rate={rate_hz}") as socket:
        assert await socket.receive_json() == {"type": "ready", "rate": rate_hz, "max_buffered_s": 60.0}
        yield socket


def broadcast_of(client: Client) -> Broadcast:
    broadcast = client.app[CALL_MANAGER].broadcast
    assert broadcast is not None
    return broadcast


async def answer(socket: ClientWebSocketResponse) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.receive_str(timeout=20))
    return message


def test_what_is_sent_is_drawn_and_heard_whole_and_the_sender_is_told_afterwards() -> None:
    pcm = speech(12_000, 24_000)
    meant = resampled(pcm, 24_000)

    async def listen(client: Client, heard: list[int]) -> None:
        """How many samples that are not silent have been sent to a subscriber."""
        subscriber = broadcast_of(client).subscribe()
        running = asyncio.create_task(subscriber.run())
        try:
            while True:
                heard[0] += int(np.count_nonzero((await subscriber.voice_track.recv()).to_ndarray()[0, ::2]))
        finally:
            await subscriber.close()
            await running

    async def say(client: Client) -> None:
        heard = [0]
        listening = asyncio.create_task(listen(client, heard))
        async with speaking(client) as socket:
            data = pcm.astype("<i2").tobytes()
            for start in range(0, len(data), 1401):  # every other frame begins within a sample
                await socket.send_bytes(data[start : start + 1401])
            await socket.send_json({"type": "flush"})
            assert await answer(socket) == {"type": "played", "utterance": 1, "heard_ms": 500}
            assert heard[0] > 0.8 * len(meant), "a busy machine may lose some packets"
        listening.cancel()
        await asyncio.wait([listening])

    engine = FakeEngine()
    visit(say, engine=engine)
    frame = av.AudioFrame.from_ndarray(np.pad(meant, (0, 4800))[None, :], format="fltp", layout="mono")
    frame.sample_rate = 48_000
    expected, drawn = (
        pcm[np.argmax(np.abs(pcm) > 0.01) :] for pcm in (VoiceResampler().push(frame).engine, engine.heard)
    )
    length = min(len(expected), len(drawn))
    apart = np.abs(drawn[:length] - expected[:length])  # the filter begins otherwise where nothing came before
    assert length > 8000 and apart.max() < 1e-3 and apart[200:].max() < 1e-5, "every sample, once"


def test_clear_forgets_and_no_end_is_told() -> None:
    async def say(client: Client) -> None:
        async with speaking(client, 16_000) as socket:
            await socket.send_bytes(bytes(2 * 16_000 * 20))
            await socket.send_json({"type": "flush"})
            await socket.send_json({"type": "clear"})
            cleared = await answer(socket)
            assert cleared["type"] == "cleared" and 18_000 < cleared["forgotten_ms"] <= 20_000
            await socket.send_json({"type": "flush"})
            second = {"type": "played", "utterance": 2, "heard_ms": 0}
            assert await answer(socket) == second, "the first was cleared"

    visit(say)


def test_whoever_interrupts_is_told_how_much_had_been_heard_once_it_has() -> None:
    async def say(client: Client) -> None:
        async with speaking(client, 16_000) as socket:
            await socket.send_bytes(b"\x01" + bytes(2 * 16_000 * 5))
            on = broadcast_of(client).on
            assert on is not None and isinstance(on.source, PushSource)
            async with asyncio.timeout(20):
                while on.source.buffered_s == 0 or on.source.buffered_s > 4.5:
                    await asyncio.sleep(0.01)
            await socket.send_json({"type": "clear"})
            cleared = await answer(socket)
            assert cleared["heard_ms"] + cleared["forgotten_ms"] == pytest.approx(5005, abs=2), "the fade is both"
            assert cleared["heard_ms"] >= 500
            assert on.session.clock.due_of(16 * cleared["heard_ms"]) <= on.session.clock.position()
            await socket.send_bytes(bytes(3200))  # half a sample that was cleared does not shift what follows
            await socket.send_json({"type": "flush"})
            assert await answer(socket) == {"type": "played", "utterance": 1, "heard_ms": 100}

    visit(say)


BAD: dict[str, Any] = {
    "half a sample": b"\x00",
    "text": "hello",
    "a list": "[]",
    "deep nesting": "[" * 900,
    "an unknown type": '{"type": "sing"}',
    "a type that is no text": '{"type": {}}',
    "much text": json.dumps({"type": "flush", "x": "y" * 5000}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_malformed_is_answered_in_one_line_and_the_connection_stays(name: str) -> None:
    async def say(client: Client) -> None:
        async with speaking(client) as socket:
            await (socket.send_bytes if isinstance(BAD[name], bytes) else socket.send_str)(BAD[name])
            if isinstance(BAD[name], bytes):
                await socket.send_json({"type": "flush"})  # its other half will not come
            reply = await answer(socket)
            assert reply["type"] == "error" and "\n" not in reply["error"] and len(reply["error"]) < 200
            await socket.send_json({"type": "flush"})
            assert (await answer(socket))["type"] == "played"

    visit(say)


def test_more_than_a_minute_ahead_is_refused() -> None:
    async def say(client: Client) -> None:
        async with speaking(client, 8_000) as socket:
            for _ in range(8):
                await socket.send_bytes(bytes(2 * 8_000 * 10))
            assert "60 s ahead" in (await answer(socket))["error"]
            await socket.send_json({"type": "clear"})
            while (reply := await answer(socket))["type"] == "error":
                assert "60 s ahead" in reply["error"]
            assert reply["forgotten_ms"] > 50_000

    visit(say)


@pytest.mark.parametrize("query", ["", "?rate=", "?rate=7999", "?rate=48001", "?rate=fast", "?rate=24000&session=1"])
def test_a_rate_that_cannot_be_used_is_refused_before_anything_is_opened(query: str) -> None:
    async def say(client: Client) -> None:
        reply = await client.get(f"/audio{query}")
        assert reply.status == 400 and "\n" not in (await reply.json())["error"]

    visit(say)


def test_a_server_without_push_says_how_to_get_one() -> None:
    async def say(client: Client) -> None:
        reply = await client.get("/audio?rate=24000")
        assert reply.status == 400 and "--push" in (await reply.json())["error"]

    visit(say, None)


def test_one_program_speaks_at_a_time_and_the_next_follows_it() -> None:
    async def say(client: Client) -> None:
        subscriber = broadcast_of(client).subscribe()
        async with speaking(client) as first:
            async with client.ws_connect("/audio?rate=24000") as second:
                assert "another program" in (await second.receive_json())["error"]
                message = await second.receive(timeout=10)
                assert message.type == WSMsgType.CLOSE and message.data == WSCloseCode.TRY_AGAIN_LATER
            await first.send_bytes(bytes(2 * 24_000))
        on = broadcast_of(client).on
        assert on is not None and isinstance(on.source, PushSource)
        assert on.source.buffered_s > 0.5, "what the first has sent is still said"
        async with asyncio.timeout(10):
            while True:
                async with client.ws_connect("/audio?rate=48000") as third:
                    if (await third.receive_json())["type"] == "ready":
                        break
                await asyncio.sleep(0.02)
        await subscriber.close()

    visit(say)


def test_without_viewers_the_avatar_is_there_as_long_as_somebody_speaks() -> None:
    async def say(client: Client) -> None:
        broadcast = broadcast_of(client)
        for _ in range(2):
            assert broadcast.on is None
            async with speaking(client) as socket:
                await socket.send_json({"type": "flush"})
                assert (await answer(socket))["type"] == "played"
                assert broadcast.on is not None
            async with asyncio.timeout(10):
                while broadcast.on is not None or len(broadcast):
                    await asyncio.sleep(0.02)

    visit(say)


def test_a_program_is_told_why_no_engine_can_be_opened() -> None:
    def refuse() -> FakeEngine:
        raise ModelError("no such model: export it again")

    async def say(client: Client) -> None:
        for _ in range(2):  # its place is free again
            async with client.ws_connect("/audio?rate=24000") as socket:
                assert await socket.receive_json() == {"type": "error", "error": "no such model: export it again"}
                message = await socket.receive(timeout=10)
                assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.INTERNAL_ERROR)

    visit(say, make_engine=refuse)


def test_the_server_ends_while_a_program_speaks() -> None:
    async def say(client: Client) -> None:
        async with client.ws_connect("/audio?rate=24000") as socket:
            await socket.receive_json()
            closing = asyncio.create_task(client.server.close())
            assert (await socket.receive(timeout=10)).data == WSCloseCode.GOING_AWAY
            await closing

    visit(say)
