from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from streaming.client import Client
from streaming.fakes import SIDE_PX, FakeEngine, fake_avatar, tone_clip

from s2v.errors import ModelError, UnavailableError
from s2v.streaming.broadcast.broadcast import BroadcastSource
from s2v.streaming.server.app import OFFER_BYTES, create_app
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.push import PushSource

SECTION = "m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n"
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def visit(options: LiveOptions, test: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with TestClient(TestServer(create_app(options))) as client:
            await test(client)
            assert len(client.app[CALL_MANAGER]) == 0, "a refused offer leaves no call"
            assert len(asyncio.all_tasks()) <= 11

    asyncio.run(asyncio.wait_for(run(), 30))


def test_the_page_and_everything_it_names_is_served_without_foreign_addresses() -> None:
    async def look(client: Client) -> None:
        page = await (await client.get("/")).text()
        assert "https://" not in page and "http://" not in page
        for path in ("/static/page.js", "/static/page.css", "/static/icon.svg", "/favicon.ico", "/still.jpg"):
            reply = await client.get(path)
            assert reply.status == 200 and await reply.read(), path
            assert path == "/still.jpg" or path == "/favicon.ico" or path in page
        assert (await client.get("/")).headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert (await (await client.get("/health")).json()) == {"status": "ok", "sessions": 0}
        assert (await (await client.get("/state")).json()) == {"sessions": 0, "served": 0, "calls": []}

    visit(LiveOptions(fake_avatar()), look)


@pytest.mark.parametrize(
    ("clips", "inputs", "own"),
    [
        ({}, ["mic"], False),
        ({"sample_clip": tone_clip(0.1)}, ["mic", "voice"], False),
        ({"clip": tone_clip(0.1)}, ["shared"], True),
        ({"clip": tone_clip(0.1), "sample_clip": tone_clip(0.1)}, ["shared"], True),
        ({"broadcast_source": BroadcastSource("push", PushSource)}, ["shared"], False),
    ],
)
def test_the_page_offers_what_the_server_can_do(clips: dict[str, Any], inputs: list[str], own: bool) -> None:
    async def look(client: Client) -> None:
        config = await (await client.get("/config")).json()
        size = {"width": SIDE_PX, "height": SIDE_PX}
        faces: dict[str, Any] = {"faces": [{"id": "default", "name": "Default"}], "face": "default"}
        faces |= {"faces_coming": False, "uploads": False, "max_upload_bytes": 0, "max_upload_px": 0}
        settings: dict[str, Any] = {"articulation": 1.0, "liveliness": 1.0, "mood": "neutral"}
        settings["moods"] = ["neutral", "friendly", "serious"]
        if inputs == ["shared"]:  # all see the one face as it is
            settings = {"articulation": None, "liveliness": None, "mood": None, "moods": []}
        mine = {"inputs": inputs, "own_clip": own, "listens": False, "ice_servers": []}
        assert config == {**mine, **size, **faces, **settings}

    visit(LiveOptions(fake_avatar(), **clips), look)


OFFERS: dict[str, Any] = {
    "not JSON": b"\xff\xfe{",
    "deeply nested": b"[" * 50_000,
    "a list": [],
    "no sdp": {"type": "offer", "input": "mic"},
    "an answer": {"type": "answer", "sdp": HEAD, "input": "mic"},
    "an unknown input": {"type": "offer", "sdp": HEAD, "input": "camera"},
    "no media": {"type": "offer", "sdp": HEAD, "input": "mic"},
    "garbage in place of SDP": {"type": "offer", "sdp": "\nm=\nm=x", "input": "mic"},
    "unusable media": {
        "type": "offer",
        "sdp": HEAD + SECTION.format(kind="audio", mid=0) + SECTION.format(kind="video", mid=1),
        "input": "mic",
    },
    "two videos": {
        "type": "offer",
        "sdp": HEAD + SECTION.format(kind="video", mid=0) + SECTION.format(kind="video", mid=1),
        "input": "mic",
    },
    "a hundred sections": {"type": "offer", "sdp": HEAD + SECTION.format(kind="audio", mid=0) * 100, "input": "mic"},
}


@pytest.mark.parametrize("name", OFFERS)
def test_a_bad_offer_is_refused_in_one_line(name: str) -> None:
    async def offer(client: Client) -> None:
        body = OFFERS[name]
        content = (
            {"data": body, "headers": {"Content-Type": "application/json"}}
            if isinstance(body, bytes)
            else {"json": body}
        )
        reply = await client.post("/offer", **content)
        answer = await reply.json()
        assert reply.status == 400, answer
        assert list(answer) == ["error"] and "\n" not in answer["error"] and len(answer["error"]) < 250

    visit(LiveOptions(fake_avatar()), offer)


def test_an_offer_too_large_or_of_another_type_is_refused() -> None:
    async def offer(client: Client) -> None:
        reply = await client.post("/offer", json={"sdp": "x" * OFFER_BYTES})
        assert reply.status == 413 and "more than 64 KiB" in (await reply.json())["error"]
        reply = await client.post("/offer", data="{}", headers={"Content-Type": "text/plain"})
        assert reply.status == 400 and "application/json" in (await reply.json())["error"]
        reply = await client.get("/nothing")
        assert reply.status == 404 and "GET /nothing is nothing" in (await reply.json())["error"]
        reply = await client.delete("/faces")
        assert reply.status == 405 and reply.headers["Allow"] == "POST"
        assert (await reply.json())["error"] == "DELETE /faces is not answered: use POST"
        assert (await client.get("/static/../app.py")).status == 404

    visit(LiveOptions(fake_avatar()), offer)


@pytest.mark.usefixtures("loopback_ice")
def test_real_offers_meet_a_full_server_or_a_broken_engine_with_a_reason() -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection

    def refuse() -> FakeEngine:
        raise ModelError("no such model: export it again")

    async def post(client: Client, kind: str) -> tuple[int, dict[str, str]]:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTransceiver("audio", direction="recvonly")
        pc.addTransceiver("video", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        reply = await client.post("/offer", json={"sdp": pc.localDescription.sdp, "type": "offer", "input": kind})
        await pc.close()
        return reply.status, await reply.json()

    def not_now() -> FakeEngine:
        raise UnavailableError("/dev/shm is full: make it larger")

    async def unavailable(client: Client) -> None:
        assert await post(client, "voice") == (503, {"error": "/dev/shm is full: make it larger"})
        reply = await client.get("/ready")
        assert reply.status == 200 and await reply.json() == {"status": "ready", "sessions": 0}

    async def broken(client: Client) -> None:
        assert await post(client, "voice") == (500, {"error": "no such model: export it again"})

    async def no_microphone(client: Client) -> None:
        status, answer = await post(client, "mic")
        assert status == 400 and "no audio" in answer["error"]

    async def no_voice(client: Client) -> None:
        status, answer = await post(client, "voice")
        assert status == 400 and "--audio" in answer["error"]
        status, answer = await post(client, "shared")
        assert status == 400 and "ask for mic" in answer["error"]

    async def shared_only(client: Client) -> None:
        status, answer = await post(client, "mic")
        assert status == 400 and "ask for shared" in answer["error"]

    async def full(client: Client) -> None:
        status, answer = await post(client, "voice")
        assert status == 503 and "try again" in answer["error"]

    async def strained(client: Client) -> None:
        """A call whose engine takes twice as long as its audio lasts, and another caller."""
        assert (await post(client, "shared"))[0] == 200
        for _ in range(600):
            if client.app[CALL_MANAGER].refusal():
                break
            await asyncio.sleep(0.02)
        status, answer = await post(client, "shared")
        assert status == 503 and "behind" in answer["error"]
        await client.app[CALL_MANAGER].close()

    visit(LiveOptions(fake_avatar(not_now), sample_clip=tone_clip(1.0)), unavailable)
    visit(LiveOptions(fake_avatar(refuse), sample_clip=tone_clip(1.0)), broken)
    clip, slow = tone_clip(30.0), partial(FakeEngine, lambda: time.sleep(0.16))
    visit(LiveOptions(fake_avatar(slow), broadcast_source=BroadcastSource("file", lambda: FileSource(clip))), strained)
    visit(LiveOptions(fake_avatar(), sample_clip=tone_clip(1.0)), no_microphone)
    visit(LiveOptions(fake_avatar(), tone_clip(1.0)), shared_only)
    visit(LiveOptions(fake_avatar()), no_voice)
    visit(LiveOptions(fake_avatar(), tone_clip(1.0), max_sessions=0), full)
