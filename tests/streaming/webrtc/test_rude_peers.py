"""Callers who behave badly, and what is left of them: no task, thread, open file or object of ours.

S2V_CALLS=200 makes more of them than the usual 20.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription
from streaming.client import Client
from streaming.fakes import FakeEngine, fake_avatar, tone_clip
from streaming.webrtc.test_loopback_peer import Peer, serving, until

from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.session.engine_worker import EngineWorker
from s2v.streaming.session.session import Session
from s2v.streaming.session.tracks import FaceTrack, VoiceTrack
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.peer import PeerSource
from s2v.streaming.webrtc.aiortc_internals import intercept
from s2v.streaming.webrtc.call import Call

pytestmark = pytest.mark.usefixtures("loopback_ice")

CALLS = int(os.environ.get("S2V_CALLS", "20"))
FILES = Path("/proc/self/fd")
OURS = (Call, Session, EngineWorker, VoiceTrack, FaceTrack, PeerSource, FileSource, RTCPeerConnection)


async def polite(peer: Peer) -> None:
    await connected(peer)
    await peer.tracks["video"].recv()
    await peer.pc.close()


async def connected(peer: Peer) -> None:
    await peer.call()
    await until(lambda: peer.pc.connectionState == "connected", 20)


async def impatient(peer: Peer) -> None:
    """Hangs up while still connecting."""
    await peer.call()
    await peer.pc.close()


async def vanished(peer: Peer) -> None:
    """The network is gone, and so is the goodbye."""
    await connected(peer)
    intercept(peer.pc, lambda _, recv: (swallow, recv))
    await peer.pc.close()


async def swallow(data: bytes) -> None:
    pass


async def never_there(peer: Peer) -> None:
    """Asks for a call and does nothing with the answer."""
    peer.pc.setRemoteDescription = swallow_description  # type: ignore[method-assign]
    await peer.call()
    await peer.pc.close()


async def swallow_description(sessionDescription: RTCSessionDescription) -> None:  # noqa: N803 - aiortc's name
    pass


async def talkative(peer: Peer) -> None:
    """Opens channels that nobody asked for and writes into them."""
    await connected(peer)
    for number in range(5):
        channel = peer.pc.createDataChannel(f"more {number}")
        channel.on("open", lambda channel=channel: [channel.send("x" * 1000) for _ in range(20)])
    await asyncio.sleep(0.2)
    await peer.pc.close()


async def hung_up(peer: Peer) -> None:
    """The server's goodbye is one packet, which the flood may crowd out: then ICE's consent runs out, within 30 s."""
    await until(lambda: peer.pc.connectionState in ("closed", "failed"), 60)


async def flooding(peer: Peer) -> None:
    """Pours into its data channel; the server hangs up."""
    await connected(peer)
    channel = peer.pc.createDataChannel("flood")

    def pour() -> None:
        for _ in range(2000):
            channel.send("x" * 1000)

    channel.on("open", pour)
    await hung_up(peer)


async def many_channels(peer: Peer) -> None:
    """Opens more of them than any page; the server hangs up."""
    await connected(peer)
    for number in range(1000):
        peer.pc.createDataChannel(f"more {number}")
    await hung_up(peer)


async def asks_again(peer: Peer) -> None:
    """Offers the same connection a second time: a call of its own, which cannot come about."""
    await connected(peer)
    offer = {"sdp": peer.pc.localDescription.sdp, "type": "offer", "input": "mic"}
    reply = await peer.client.post("/offer", json=offer)
    assert reply.status in (200, 400)
    await reply.read()
    await peer.pc.close()


async def garbled(peer: Peer) -> None:
    await peer.pc.setLocalDescription(await offer_of(peer))
    sdp = peer.pc.localDescription.sdp
    for changed in (sdp[: len(sdp) // 2], sdp.replace("a=fingerprint", "a=nothing")):
        offer = {"sdp": changed, "type": "offer", "input": "voice"}
        reply = await peer.client.post("/offer", json=offer)
        assert reply.status == 400, await reply.text()
    await peer.pc.close()


async def offer_of(peer: Peer) -> RTCSessionDescription:
    peer.pc.createDataChannel("state")
    for kind in ("audio", "video"):
        peer.pc.addTransceiver(kind, direction="recvonly")
    return await peer.pc.createOffer()


async def half_open(peer: Peer) -> None:
    """Promises a body and leaves."""
    _, writer = await asyncio.open_connection(peer.client.host, peer.client.port)
    head = b"POST /offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    writer.write(head + b"{")
    await writer.drain()
    writer.close()
    await peer.pc.close()


KINDS: tuple[Callable[[Peer], Awaitable[None]], ...] = (
    polite,
    impatient,
    vanished,
    never_there,
    talkative,
    flooding,
    many_channels,
    asks_again,
    garbled,
    half_open,
)


def open_files() -> int:
    return len(list(FILES.iterdir()))


def objects() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in OURS)


def threads() -> int:
    """Without asyncio's own pool, which only grows to its size."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


@pytest.mark.skipif(not FILES.is_dir(), reason="counts open files where Linux lists them")
def test_callers_of_every_kind_leave_nothing_behind() -> None:
    engines: list[FakeEngine] = []

    def make_engine() -> FakeEngine:
        engines.append(FakeEngine())
        return engines[-1]

    async def once(client: Client, number: int) -> None:
        await KINDS[number % len(KINDS)](Peer(client, AudioStreamTrack() if number // len(KINDS) % 2 else None))

    async def calls() -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        options = LiveOptions(
            fake_avatar(make_engine),
            sample_clip=tone_clip(60.0),
            connect_within_s=2.0,
            silent_after_s=2.0,
            max_sessions=20,
        )
        async with serving(options) as client:
            call_manager = client.app[CALL_MANAGER]
            for number in range(2):  # what is made once: pools, the codecs' tables
                await once(client, number)
            await until(lambda: len(call_manager) == 0, 30)
            before = len(asyncio.all_tasks()), threads(), open_files()
            for number in range(CALLS):
                await once(client, number)
                await until(lambda: len(call_manager) < 6, 30)
            await until(lambda: len(call_manager) == 0, 30)
            await until(lambda: (len(asyncio.all_tasks()), threads(), open_files()) <= before, 10)
            after = len(asyncio.all_tasks()), threads(), open_files()
            assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
            assert not unheard
            await until(lambda: not objects(), 20)  # timers of a closed connection may still hold it for a moment
        assert engines and all(engine.closed == 1 for engine in engines)
        assert not unheard

    asyncio.run(asyncio.wait_for(calls(), 60 + 5 * CALLS))


def test_a_full_server_gives_the_place_to_the_next_once_somebody_has_gone() -> None:
    async def calls() -> None:
        options = LiveOptions(fake_avatar(), sample_clip=tone_clip(60.0), max_sessions=1, connect_within_s=2.0)
        async with serving(options) as client:
            first, second = Peer(client, None), Peer(client, None)
            await connected(first)
            with pytest.raises(AssertionError, match="taken by other callers"):
                await second.call()
            await first.pc.close()
            await second.pc.close()
            await until(lambda: len(client.app[CALL_MANAGER]) == 0)
            third = Peer(client, None)
            await connected(third)
            await third.pc.close()

    asyncio.run(asyncio.wait_for(calls(), 60))
