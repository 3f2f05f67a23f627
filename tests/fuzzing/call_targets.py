"""What peers send to a server: offers, photos, speech, and the little that a page says in a call."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection
from fuzzing.file_targets import PHOTO_TOKENS
from fuzzing.target import Target
from streaming.client import Client
from streaming.fakes import fake_avatar, tone_clip
from streaming.server.test_face_store import Enroller, photo

from s2v.engine.avatar import Avatar, Photo
from s2v.engine.face.photo import decode_photo
from s2v.errors import StreamError
from s2v.streaming.broadcast.broadcast import BroadcastSource
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.server.face_store import FaceOptions, UploadLimits
from s2v.streaming.session.wishes import AS_IT_IS, Wishes
from s2v.streaming.sources.push import PushSource
from s2v.streaming.webrtc.aiortc_internals import change_host_addresses

ANSWER_WITHIN_S = 8.0
MOST_CALLS = 24
LAST_WORD = "what is no command"  # the answer to it comes after all others


class _Tracebacks(logging.Handler):
    """What is logged with a traceback nobody has foreseen."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])


class _DecodingEnroller(Enroller):
    """Takes every picture that the engine can read."""

    def enrol(self, photo: Photo, name: str = "the photo", face_index: int | None = None) -> Avatar:
        assert isinstance(photo, bytes)
        decode_photo(photo, name)
        return fake_avatar()


class _Servers:
    """Two servers on loopback in this process, and the client of both: one takes calls and photos, one speech."""

    def __init__(self) -> None:
        assert change_host_addresses(lambda _: ["127.0.0.1"])
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.tracebacks = _Tracebacks()
        logging.getLogger().addHandler(self.tracebacks)
        limits = UploadLimits(max_bytes=1 << 20, max_px=1 << 22, max_faces=4, max_waiting=4, least_s=0.0)
        faces = FaceOptions(_DecodingEnroller(), (), limits)
        calls = LiveOptions(
            fake_avatar(), sample_clip=tone_clip(0.2), max_sessions=1000, connect_within_s=0.4, faces=faces
        )
        pushed = BroadcastSource("push", PushSource, waits_for_subscribers=True)
        self.calls = self.run(self._client(calls))
        self.speech = self.run(self._client(LiveOptions(fake_avatar(), broadcast_source=pushed)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it; raises what was logged with a traceback meanwhile."""
        self.tracebacks.found.clear()
        result = self.loop.run_until_complete(asyncio.wait_for(work, ANSWER_WITHIN_S))
        for error in self.tracebacks.found:
            raise error
        return result

    async def _client(self, options: LiveOptions) -> Client:
        client = TestClient(TestServer(create_app(options)))
        await client.start_server()
        return client


@cache
def _servers() -> _Servers:
    return _Servers()


async def _check(reply: Any) -> None:
    """Raises: StreamError, it was refused in one line."""
    if reply.status < 300:
        return
    text = await reply.text()
    error = json.loads(text)["error"]
    assert isinstance(error, str) and 0 < len(error) < 400 and "\n" not in error, text
    assert 400 <= reply.status < 500 or reply.status == 503, f"{reply.status}: {text}"
    raise StreamError(error)


# --- offers ---------------------------------------------------------------------------------------------------


async def _sdp(direction: str, channel: bool) -> str:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if channel:
        pc.createDataChannel("state")
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction=direction if kind == "audio" else "recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = pc.localDescription.sdp
    await pc.close()
    return sdp


def _sdps() -> list[bytes]:
    assert change_host_addresses(lambda _: ["127.0.0.1"])
    return [asyncio.run(_sdp(*form)).encode() for form in (("sendrecv", True), ("sendonly", False))]


def _offers() -> list[bytes]:
    sdp = _sdps()[0].decode()
    offer = {"sdp": sdp, "type": "offer", "input": "mic"}
    more = {"input": "voice", "face": "default", "articulation": 1.2, "liveliness": 0.5, "mood": "neutral"}
    return [json.dumps(offer).encode(), json.dumps(offer | more).encode()]


def _session_description(data: bytes, _: Path) -> None:
    _offer(json.dumps({"sdp": data.decode(errors="replace"), "type": "offer", "input": "mic"}).encode(), _)


def _offer(data: bytes, _: Path) -> None:
    _servers().run(_post_offer(_servers().calls, data))


async def _post_offer(client: Client, data: bytes) -> None:
    async with client.post("/offer", data=data, headers={"Content-Type": "application/json"}) as reply:
        await _check(reply)
        answer = await reply.json()
        assert answer["type"] == "answer" and answer["sdp"].startswith("v=0")
    while len(client.app[CALL_MANAGER]) > MOST_CALLS:
        await asyncio.sleep(0.02)


SDP_TOKENS: tuple[bytes, ...] = (
    b"audio",
    b"video",
    b"application",
    b"0",
    b"-1",
    b"65536",
    b"9" * 30,
    b"BUNDLE 0 1 2",
    b"actpass",
    b"holdconn",
)
SDP_TOKENS += (
    b"passive",
    b"sha-256 00:11",
    b"sha-1 " + b"AA:" * 19 + b"AA",
    b"opus/48000/2",
    b"VP8/90000",
    b"H264/90000",
)
SDP_TOKENS += (b"1 1 udp 2130706431 127.0.0.1 9 typ host", b"1 1 udp 1 x.local 9 typ host", b"sendrecv", b"inactive")


# --- photos and speech ----------------------------------------------------------------------------------------


def _uploads() -> list[bytes]:
    return [photo(32, 24), photo(48, 48, 90)]


def _upload(data: bytes, _: Path) -> None:
    kind = ("image/jpeg", "image/png", "image/webp", "text/plain", "")[len(data) % 5]
    _servers().run(_post_photo(_servers().calls, data, kind))


async def _post_photo(client: Client, data: bytes, kind: str) -> None:
    name = data[:9].decode("latin-1")
    async with client.post("/faces", params={"name": name}, data=data, headers={"Content-Type": kind}) as reply:
        await _check(reply)
        face = (await reply.json())["id"]
    assert (await client.get(f"/faces/{face}/still.jpg")).status == 200


_FRAME = struct.Struct(">BH")


def _framed(*frames: tuple[int, bytes]) -> bytes:
    return b"".join(_FRAME.pack(kind, len(content)) + content for kind, content in frames)


def _speeches() -> list[bytes]:
    """Frames as a program sends them: 0 text, 1 binary, each with its length."""
    return [
        _framed((1, bytes(640)), (1, b"\x10\x20" * 300), (0, b'{"type": "flush"}')),
        _framed((0, b'{"type": "clear"}'), (1, b"\xff\x7f" * 9), (0, b'{"type": "flush"}'), (1, b"\x01")),
    ]


def _speak(data: bytes, _: Path) -> None:
    _servers().run(_say(_servers().speech, data))


async def _say(client: Client, data: bytes) -> None:
    rate = ("8000", "16000", "24000", "48000", "44100", "11025", "7999", "x")[data[0] % 8 if data else 0]
    refused: list[str] = []
    async with client.get(f"/audio?rate={rate}", headers={"Connection": "keep-alive"}) as reply:
        assert reply.status in (400, 426), "no WebSocket was asked for"
    if rate in ("7999", "x"):
        raise StreamError("no such rate")
    async with client.ws_connect(f"/audio?rate={rate}") as socket:
        at = 0
        while at + _FRAME.size <= len(data):
            kind, length = _FRAME.unpack_from(data, at)
            content = data[at + _FRAME.size : at + _FRAME.size + length]
            at += _FRAME.size + length
            if kind % 3 == 0:
                await socket.send_str(content.decode(errors="replace"))
            elif kind % 3 == 1:
                await socket.send_bytes(content)
            else:
                await socket.ping(content[:125])
        await socket.send_str(LAST_WORD)
        while not (refused and LAST_WORD in refused[-1]):
            message = await socket.receive(timeout=ANSWER_WITHIN_S / 2)
            assert message.type == WSMsgType.TEXT, f"the socket ends with {message.type}: {message.extra}"
            answer = json.loads(message.data)
            refused += [answer["error"]] if answer["type"] == "error" else []
            assert all(isinstance(text, str) and "\n" not in text for text in refused)
    if len(refused) > 1:
        raise StreamError(refused[0])


SPEECH_TOKENS: tuple[bytes, ...] = (
    b'{"type": "flush"}',
    b'{"type": "clear"}',
    b"\x00\x00\x11",
    b"\x01\x00\x02",
    b"\x02\x00\x04",
    b"[" * 300,
)


# --- in a call ------------------------------------------------------------------------------------------------


def _messages() -> list[bytes]:
    return [b'{"articulation": 1.2}', b'{"liveliness": 0.3, "articulation": 0.9}', b'{"liveliness": null}']


def _message(data: bytes, _: Path) -> None:
    wishes = Wishes.in_message(data.decode(errors="replace")).after(AS_IT_IS)
    assert wishes.articulation is None or 0.5 <= wishes.articulation <= 1.5
    assert wishes.liveliness is None or 0 <= wishes.liveliness <= 1.5


CALL_TARGETS = (
    Target("sdp", _sdps, _session_description, lambda mutator, data, _: mutator.lines(data), SDP_TOKENS),
    Target("offer", _offers, _offer, lambda mutator, data, _: mutator.json(data), SDP_TOKENS),
    Target("face", _uploads, _upload, tokens=PHOTO_TOKENS),
    Target("speech", _speeches, _speak, tokens=SPEECH_TOKENS),
    Target("message", _messages, _message, lambda mutator, data, _: mutator.json(data)),
)
