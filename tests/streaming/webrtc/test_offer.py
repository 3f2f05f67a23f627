"""Descriptions that no page of ours sends are refused before aiortc has begun to apply them."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from streaming.fakes import fake_avatar, tone_clip
from streaming.webrtc.test_loopback_peer import serving, until
from streaming.webrtc.test_rude_peers import FILES, open_files

from s2v.errors import StreamError
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.webrtc.aiortc_internals import SessionDescription
from s2v.streaming.webrtc.offer import MAX_CANDIDATES, refuse_unusable

pytestmark = pytest.mark.usefixtures("loopback_candidates")

MUTATED = 40
BARE = (
    "a=",
    "m=audio 9 UDP/TLS/RTP/SAVPF",
    "a=candidate:",
    "a=setup:",
    "a=mid:",
    "a=group:BUNDLE",
    "a=ssrc:",
    "a=fmtp:96",
)


async def real_offer() -> str:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.createDataChannel("state")
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = pc.localDescription.sdp
    await pc.close()
    return sdp


def with_candidates(sdp: str, count: int) -> str:
    line = "a=candidate:{0} 1 udp 2130706431 192.0.2.{0} 9 typ host\r\n"
    return sdp + "".join(line.format(number) for number in range(count))


def test_a_peer_may_have_many_addresses_but_not_any_number() -> None:
    sdp = asyncio.run(real_offer())
    refuse_unusable(SessionDescription.parse(with_candidates(sdp, MAX_CANDIDATES - 10)))
    with pytest.raises(StreamError, match="candidates: send at most"):
        refuse_unusable(SessionDescription.parse(with_candidates(sdp, MAX_CANDIDATES + 1)))
    with pytest.raises(StreamError, match="port 70000"):
        refuse_unusable(SessionDescription.parse(with_candidates(sdp, 1).replace("192.0.2.0 9", "192.0.2.0 70000")))


def accident(line: str, other: str, rng: random.Random) -> list[str]:
    accidents: tuple[Callable[[], list[str]], ...] = (
        lambda: [],
        lambda: [line, line],
        lambda: [line[: len(line) // 2]],
        lambda: [other],
        lambda: [re.sub(r"\d+", lambda _: rng.choice(("-1", "99999999999", "65536", "")), line)],
        lambda: [rng.choice(BARE)],
    )
    return rng.choice(accidents)()


def mutated(sdp: str, rng: random.Random) -> str:
    """The description after one to three accidents: a line lost, doubled, cut, swapped, renumbered or replaced."""
    lines = sdp.split("\r\n")
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[at : at + 1] = accident(lines[at], lines[other], rng)
    return "\r\n".join(lines)


@pytest.mark.usefixtures("loopback_ice")
@pytest.mark.skipif(not FILES.is_dir(), reason="counts open files where Linux lists them")
def test_mutated_offers_are_answered_or_refused_and_leave_no_socket(caplog: pytest.LogCaptureFixture) -> None:
    async def offers() -> None:
        options = LiveOptions(fake_avatar(), sample_clip=tone_clip(5.0), max_sessions=MUTATED + 1, connect_within_s=0.2)
        async with serving(options) as client:
            call_manager, rng, sdp = client.app[CALL_MANAGER], random.Random(7), await real_offer()
            await (await client.get("/health")).read()
            before = open_files()
            statuses = set()
            for number in range(MUTATED):
                text = mutated(sdp, rng) if number else sdp.replace("BUNDLE 0 1 2", "BUNDLE 7 1 2")
                reply = await client.post("/offer", json={"sdp": text, "type": "offer", "input": "voice"})
                assert "sdp" in (answer := await reply.json()) or "error" in answer
                statuses.add(reply.status)
            assert statuses == {200, 400}
            await until(lambda: len(call_manager) == 0, 20)
            await until(lambda: open_files() <= before, 10)

    asyncio.run(asyncio.wait_for(offers(), 60))
    assert "Traceback" not in caplog.text
