"""A call whose own upkeep fails: a real peer must be told, and everything released."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from streaming.fakes import FakeEngine, still, tone_clip

from s2v.streaming.session.session import Session, Stats
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioSource
from s2v.streaming.webrtc.call import Call
from s2v.streaming.webrtc.offer import Offer

pytestmark = pytest.mark.usefixtures("loopback_ice")


def test_a_call_that_cannot_be_tended_says_why_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    messages: list[dict[str, object]] = []
    ended: list[Call] = []
    engine = FakeEngine()
    unretrieved: list[object] = []

    async def call() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unretrieved.append(context))
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.createDataChannel("state").on("message", lambda text: messages.append(json.loads(text)))
        for kind in ("audio", "video"):
            peer.addTransceiver(kind, direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())

        class MiscountingSession(Session):
            """Talks as any other, but once the page has heard from it, it cannot say how it goes."""

            def stats(self) -> Stats:
                if messages:
                    raise ZeroDivisionError("no frames yet")
                return super().stats()

        def make_session(source: AudioSource) -> Session:
            return MiscountingSession(source, lambda: engine, still())

        served = Call(make_session, ended.append, connect_within_s=10.0, silent_after_s=10.0)
        answer = await served.answer(Offer(peer.localDescription.sdp, "voice"), FileSource(tone_clip(30.0)))
        await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, answer.type))
        while not ended:
            await asyncio.sleep(0.02)
        await peer.close()
        await served.close()

    with caplog.at_level(logging.ERROR, "s2v.streaming.webrtc.call"):
        asyncio.run(asyncio.wait_for(call(), 30))
    assert messages[0]["state"] == "live"
    assert messages[1:] == [{"state": "failed", "error": "no frames yet"}]
    assert "ZeroDivisionError" in caplog.text
    assert engine.closed == 1
    assert not unretrieved


def test_a_caller_whose_addresses_are_hidden_is_found_by_their_first_check() -> None:
    ended: list[Call] = []

    async def call() -> None:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in ("audio", "video"):
            peer.addTransceiver(kind, direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        lines = peer.localDescription.sdp.splitlines(keepends=True)
        assert "a=end-of-candidates\r\n" in lines
        offer = Offer("".join(line for line in lines if not line.startswith("a=candidate:")), "voice")

        def make_session(source: AudioSource) -> Session:
            return Session(source, FakeEngine, still())

        served = Call(make_session, ended.append, connect_within_s=10.0, silent_after_s=10.0)
        answer = await served.answer(offer, FileSource(tone_clip(30.0)))
        await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, answer.type))
        while served.state != "live":
            assert not ended, "given up before the caller could show an address"
            await asyncio.sleep(0.02)
        await peer.close()
        await served.close()

    asyncio.run(asyncio.wait_for(call(), 30))
    assert len(ended) == 1
