"""docs/http.md in pieces, and one server for each thing it says."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

import cv2
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection
from documents import ROOT, sections_of, table_of
from streaming.fakes import FakeEngine, fake_avatar, still, tone_clip
from streaming.server.test_face_store import Enroller
from streaming.sources.fake_portaudio import FakeDevice, Machine

from s2v.errors import ModelError
from s2v.streaming.broadcast.broadcast import BroadcastSource
from s2v.streaming.server.access import Access
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.face_store import FaceOptions, UploadLimits
from s2v.streaming.sources.microphone import MicrophoneSource
from s2v.streaming.sources.push import PushSource
from s2v.streaming.webrtc.ice import IceServer

DOCUMENT = ROOT / "docs" / "http.md"
SECTIONS = sections_of(DOCUMENT.read_text(encoding="utf-8"))
ROUTES = [name for name in SECTIONS if re.match(r"(GET|POST|PUT|PATCH|DELETE) /", name)]
JPEG = cv2.imencode(".jpg", still())[1].tobytes()
TOKEN = "a-token-for-the-tests"


class _NoRuntime:
    batches = rows = 0
    pid = os.getpid()
    trouble: str | None = None
    restart_failed = False
    shortage: str | None = None


class _Restarting(_NoRuntime):
    trouble = "the process that draws stands still, another is being started"


class _NotStarting(_Restarting):
    restart_failed = True


def _refuse() -> FakeEngine:
    raise ModelError("no such model: export it again")


def _fails_later() -> FakeEngine:
    def fail() -> None:
        raise ModelError("the model was taken away: put it back")

    return FakeEngine(fail)


def uploads(limits: UploadLimits | None = None) -> FaceOptions:
    return FaceOptions(Enroller(), (), limits or UploadLimits())


def live(make_engine: Callable[[], FakeEngine], **options: Any) -> LiveOptions:
    """A server's options, with this engine for its sessions."""
    return LiveOptions(fake_avatar(make_engine), **options)


PUSH = BroadcastSource("push", PushSource)
MIC = BroadcastSource("mic", lambda: MicrophoneSource("", Machine([FakeDevice("Array")]).make_system))
ICE = (IceServer(("turn:turn.example.org",), "ada", "secret"),)
# Made for each use: an application serves once.
SERVERS: dict[str, Callable[[], LiveOptions]] = {
    "plain": lambda: live(FakeEngine),
    "voice": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), runtime=_NoRuntime()),
    "long voice": lambda: live(FakeEngine, sample_clip=tone_clip(60.0)),
    "uploads": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), faces=uploads(), ice_servers=ICE),
    "soft": lambda: live(FakeEngine, articulation=0.75),
    "pixels": lambda: live(FakeEngine, articulation=None),
    "calm": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), liveliness=0.5, mood="friendly", listens=True),
    "still": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), liveliness=None, mood=None),
    "no room": lambda: live(FakeEngine, faces=uploads(UploadLimits(max_faces=0))),
    "token": lambda: live(FakeEngine, access=Access(TOKEN)),
    "push": lambda: live(FakeEngine, broadcast_source=PUSH),
    "mic": lambda: live(FakeEngine, broadcast_source=MIC),
    "broken": lambda: live(_refuse, sample_clip=tone_clip(1.0)),
    "broken push": lambda: live(
        _refuse, broadcast_source=BroadcastSource("push", PushSource, waits_for_subscribers=True)
    ),
    "failing": lambda: live(_fails_later, sample_clip=tone_clip(60.0)),
    "restarting": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), runtime=_Restarting()),
    "not starting": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), runtime=_NotStarting()),
    "full": lambda: live(FakeEngine, sample_clip=tone_clip(1.0), max_sessions=0),
}


def visit(server: str, test: Callable[[TestClient[Any, Any]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), TestClient(TestServer(create_app(SERVERS[server]()))) as client:
            await test(client)

    asyncio.run(run())


async def offer_body(**changes: object) -> dict[str, object]:
    """What a page without a microphone posts."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    body = {"type": "offer", "sdp": peer.localDescription.sdp, "input": "voice", **changes}
    await peer.close()
    return body


def rows(heading: str, first_column: str) -> dict[str, str]:
    """A table of two columns, or the first two of it."""
    return {row[0]: row[1] for row in table_of(SECTIONS[heading], first_column)}
