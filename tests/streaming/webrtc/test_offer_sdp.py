"""Offers as others write them: a real peer connects, or one line says why not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from streaming.client import Client, next_picture
from streaming.fakes import fake_avatar, tone_clip
from streaming.webrtc.test_loopback_peer import serving
from streaming.webrtc.test_offer import real_offer

from s2v.errors import StreamError
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.webrtc.aiortc_internals import SessionDescription
from s2v.streaming.webrtc.offer_sdp import OfferSdp

pytestmark = pytest.mark.usefixtures("loopback_candidates")

SHA1 = ":".join(["AB"] * 20)
EXTRA_VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:9\r\na=sendrecv\r\na=rtpmap:96 VP8/90000\r\n"


def without(sdp: str, start: str) -> str:
    return re.sub(f"{re.escape(start)}[^\r]*\r\n", "", sdp)


def to_session_level(sdp: str) -> str:
    """Fingerprint, set-up and credentials said once for all, as Firefox and some gateways do."""
    names = ("a=fingerprint:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:")
    lines = sdp.split("\r\n")
    first = next(k for k, line in enumerate(lines) if line.startswith("m="))
    said = [next(line for line in lines if line.startswith(name)) for name in names]
    return "\r\n".join(lines[:first] + said + [line for line in lines[first:] if not line.startswith(names)])


def in_video(sdp: str, more: str) -> str:
    return sdp.replace("a=mid:1\r\n", f"a=mid:1\r\n{more}\r\n")


def in_all(sdp: str, more: str) -> str:
    return re.sub("(a=mid:.*\r\n)", rf"\1{more}\r\n", sdp)


WORK: dict[str, Callable[[str], str]] = {
    "as it is": lambda sdp: sdp,
    "newlines alone": lambda sdp: sdp.replace("\r\n", "\n"),
    "no setup": lambda sdp: without(sdp, "a=setup:"),
    "active": lambda sdp: sdp.replace("a=setup:actpass", "a=setup:active"),
    "passive": lambda sdp: sdp.replace("a=setup:actpass", "a=setup:passive"),
    "said once for all sections": to_session_level,
    "a wrong sha-1 beside the right sha-256": lambda sdp: in_all(sdp, f"a=fingerprint:sha-1 {SHA1}"),
    "an unknown hash beside it, in small letters": lambda sdp: in_all(sdp, "a=fingerprint:md5 ab:cd").replace(
        "sha-256", "SHA-256"
    ),
    "a wrong sha-1 for the session, where the sections have theirs": lambda sdp: sdp.replace(
        "t=0 0\r\n", f"t=0 0\r\na=fingerprint:sha-1 {SHA1}\r\n"
    ),
    "no candidates yet": lambda sdp: without(without(sdp, "a=candidate:"), "a=end-of-candidates"),
    "hidden addresses": lambda sdp: sdp.replace("127.0.0.1 ", "9f2c1a7e-1111-4222-8333-444455556666.local "),
    "attributes of extensions, mixed ones, unknown formats' parameters, names of hosts": lambda sdp: in_video(
        sdp.replace("c=IN IP4 127.0.0.1", "c=IN IP4 host.example"),
        "a=extmap-allow-mixed\r\na=extmap:9 urn:example:x with attributes\r\na=fmtp:55 x=1\r\na=tls-id:abc\r\n"
        "a=ssrc:77\r\na=rtcp:9 IN IP4 host.example\r\na=rid:hi send\r\na=simulcast:send hi",
    ),
    "redundancy and repair": lambda sdp: in_video(
        re.sub("(m=video .*)", r"\1 116 117 118", sdp),
        "a=rtpmap:116 red/90000\r\na=rtpmap:117 ulpfec/90000\r\na=rtpmap:118 rtx/90000\r\na=fmtp:118 apt=116",
    ),
    "another video section": lambda sdp: sdp + EXTRA_VIDEO,
    "a section that the caller has rejected": lambda sdp: sdp + EXTRA_VIDEO.replace("video 9", "video 0"),
    "text and a whiteboard": lambda sdp: (
        sdp + "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:t\r\nm=application 9 TCP/TLS/BFCP *\r\na=mid:b\r\n"
    ),
}


async def connect(client: Client, change: Callable[[str], str]) -> None:
    """Call with a changed offer, until a picture has come."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    faces: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    pc.on("track", lambda track: faces.put_nowait(track) if track.kind == "video" else None)
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = pc.localDescription.sdp
    changed = change(sdp)
    reply = await client.post("/offer", json={"sdp": changed, "type": "offer", "input": "voice"})
    body = await reply.json()
    assert reply.status == 200, body
    sections = re.findall(r"^m=(\S+) (\d+)", body["sdp"], re.MULTILINE)
    assert [kind for kind, _ in sections] == re.findall(r"^m=(\S+)", changed, re.MULTILINE)
    assert [port != "0" for _, port in sections] == [k < 2 for k in range(len(sections))], "the others are rejected"
    assert re.findall("a=group:.*", body["sdp"]) == ["a=group:BUNDLE 0 1\r"]
    ours = "m=".join(body["sdp"].split("m=")[:3])
    await pc.setRemoteDescription(RTCSessionDescription(ours, "answer"))
    async with asyncio.timeout(15):
        await next_picture(await faces.get())
    await pc.close()


@pytest.mark.usefixtures("loopback_ice")
def test_offers_of_others_are_answered_and_connect() -> None:
    async def call() -> None:
        options = LiveOptions(fake_avatar(), sample_clip=tone_clip(20.0), max_sessions=len(WORK))
        async with serving(options) as client:
            for change in WORK.values():
                await connect(client, change)

    asyncio.run(asyncio.wait_for(call(), 100))


REFUSED: dict[str, tuple[Callable[[str], str], str]] = {
    "no bundle": (lambda sdp: without(sdp, "a=group:"), "does not bundle .* send a=group:BUNDLE 0 1 2"),
    "a bundle of some": (lambda sdp: sdp.replace("BUNDLE 0 1 2", "BUNDLE 0 1"), "does not bundle"),
    "a bundle of what is not there": (lambda sdp: sdp.replace("BUNDLE 0 1 2", "BUNDLE 7 1 2"), "sections that it has"),
    "held": (lambda sdp: sdp.replace("actpass", "holdconn"), "a=setup:holdconn: send actpass"),
    "an unknown setup": (lambda sdp: sdp.replace("actpass", "perhaps"), "a=setup:perhaps"),
    "no fingerprint": (lambda sdp: without(sdp, "a=fingerprint:"), "without a fingerprint"),
    "a fingerprint that is none": (lambda sdp: re.sub("(a=fingerprint:sha-256) .*", r"\1 xyz", sdp), "a fingerprint"),
    "sha-1 alone": (
        lambda sdp: in_all(without(sdp, "a=fingerprint:"), f"a=fingerprint:sha-1 {SHA1}"),
        "are sha-1: send one of sha-256",
    ),
    "half a fingerprint": (
        lambda sdp: in_all(without(sdp, "a=fingerprint:"), "a=fingerprint:sha-256 AB:CD"),
        "has not 32 bytes",
    ),
    "two certificates": (
        lambda sdp: in_all(sdp, "a=fingerprint:sha-512 " + ":".join(["AB"] * 64)),
        "2 sha-512 fingerprints",
    ),
    "no credentials": (lambda sdp: without(sdp, "a=ice-pwd:"), "no a=ice-ufrag or no a=ice-pwd"),
    "a short password": (lambda sdp: re.sub("a=ice-pwd:.*", "a=ice-pwd:x", sdp), "has 1 characters of a=ice-pwd"),
    "a data port that is none": (
        lambda sdp: sdp.replace("a=sctp-port:5000", "a=sctp-port:99999"),
        "a=sctp-port is '99999'",
    ),
    "no rtcp-mux": (lambda sdp: without(sdp, "a=rtcp-mux"), "no a=rtcp-mux"),
    "audio alone": (
        lambda sdp: re.sub("m=video.*?(?=m=)", "", sdp, flags=re.DOTALL),
        r"has \['audio', 'application'\]",
    ),
    "data alone": (lambda sdp: re.sub("m=audio.*(?=m=app)", "", sdp, flags=re.DOTALL), r"has \['application'\]"),
    "nothing": (lambda sdp: sdp[: sdp.index("m=")], "has no media"),
    "video rejected": (lambda sdp: re.sub(r"m=video \d+", "m=video 0", sdp), "the video one recvonly"),
    "video only sent": (lambda sdp: in_video(without(sdp, "a=recvonly"), "a=sendonly"), "video is sendonly: make it"),
    "inactive video": (lambda sdp: in_video(without(sdp, "a=recvonly"), "a=inactive"), "video is inactive"),
    "one name twice": (lambda sdp: sdp.replace("a=mid:1", "a=mid:0"), "a=mid of its own"),
    "no names": (lambda sdp: without(sdp, "a=mid:"), "a=mid of its own"),
    "a line that is none": (lambda sdp: sdp.replace("m=video ", "m=video x "), "'m=video x .* cannot be read"),
}


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_no_section_reaches_the_peer_connection_unchecked(end: str) -> None:
    """Whatever ends a line for aiortc ends one here."""
    hidden = EXTRA_VIDEO.replace("m=video", f"a=tool:x{end}m=video")
    offer = OfferSdp.read(asyncio.run(real_offer()) + hidden)
    assert len(offer.sections) == 4 and len(SessionDescription.parse(offer.text).media) == len(offer.answered) == 3


def test_what_would_break_a_connection_later_is_set_right_or_left_out() -> None:
    sdp = without(asyncio.run(real_offer()), "a=sctp-port:")
    read = OfferSdp.read(
        in_video(sdp, "a=extmap:0 urn:none\r\na=extmap:999 urn:large\r\na=extmap:14/sendrecv urn:usual")
    )
    assert read.text.count("a=sctp-port:5000") == 1
    older = in_all(sdp, "a=sctpmap:5001 webrtc-datachannel 1024")
    assert "a=sctp-port:5001" in OfferSdp.read(older).text
    assert "urn:none" not in read.text and "urn:large" not in read.text and "urn:usual" in read.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_connect_is_refused_in_one_line(name: str) -> None:
    change, says = REFUSED[name]
    with pytest.raises(StreamError, match=says) as refusal:
        OfferSdp.read(change(asyncio.run(real_offer())))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


def test_codecs_that_nobody_here_has_are_refused_in_one_line_and_a_telephones_are_not() -> None:
    async def call() -> None:
        async with serving(LiveOptions(fake_avatar(), sample_clip=tone_clip(5.0))) as client:
            sdp = await real_offer()
            foreign = re.sub("VP8|H264", "AV1", sdp)
            reply = await client.post("/offer", json={"sdp": foreign, "type": "offer", "input": "voice"})
            assert reply.status == 400 and "no codec that both know" in (await reply.json())["error"]
            bare = re.sub(r"m=audio (\d+) (\S+) .*", r"m=audio \1 \2 0 8", sdp)
            bare = re.sub(r"a=rtpmap:\d+ (opus|PCMU|PCMA|G722)/.*\r\n", "", bare)
            reply = await client.post("/offer", json={"sdp": bare, "type": "offer", "input": "voice"})
            assert reply.status == 200 and "PCMU/8000" in (await reply.json())["sdp"]

    asyncio.run(asyncio.wait_for(call(), 30))
