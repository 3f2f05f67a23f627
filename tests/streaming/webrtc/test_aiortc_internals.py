"""What we rely on in aiortc and aioice beyond their documentation: fails when another version breaks it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from fractions import Fraction

import aioice.ice
import av
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCTransportStats,
    VideoStreamTrack,
)
from aiortc.rtp import RtcpByePacket
from hypothesis import given
from hypothesis import strategies as st
from streaming.fakes import still, tone

from s2v.streaming.session.tracks import voice_frame
from s2v.streaming.sources.peer import PeerSource
from s2v.streaming.webrtc import aiortc_internals
from s2v.streaming.webrtc.aiortc_internals import (
    BUFFER,
    JitterFrame,
    MarkerJitterBuffer,
    OpusDecoder,
    OpusEncoder,
    Recv,
    RtpPacket,
    Send,
    SessionDescription,
    Vp8Decoder,
    Vp8Encoder,
    candidate_from_sdp,
    change_host_addresses,
    host_addresses,
    ice_arguments,
    ignore_goodbyes,
    intercept,
    replace_jitter_buffer,
    vp8_depayload,
)
from s2v.streaming.webrtc.ice import IceServer, configuration
from s2v.streaming.webrtc.jitter_buffer import InOrderJitterBuffer

ALONE = RTCConfiguration(iceServers=[])


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


class ToneTrack(MediaStreamTrack):
    """A 220 Hz tone, a packet of 20 ms every 20 ms."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.02)
        self._count += 1
        return voice_frame((32767 * tone(0.02)).astype(np.int16), 960 * self._count)


@asynccontextmanager
async def connected(
    on_track: Callable[[RTCRtpReceiver], None], *tracks: MediaStreamTrack
) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """Two real peers over loopback; the first sends the tracks, `on_track` gets the receiver of each."""
    sender, receiver = RTCPeerConnection(ALONE), RTCPeerConnection(ALONE)
    receiver.on("track", lambda track: on_track(next(r for r in receiver.getReceivers() if r.track is track)))
    sender.createDataChannel("state")
    for track in tracks:
        sender.addTrack(track)
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)
    try:
        while "connected" not in (sender.connectionState, receiver.connectionState):
            await asyncio.sleep(0.02)
        yield sender, receiver
    finally:
        await sender.close()
        await receiver.close()


@pytest.mark.usefixtures("loopback_ice")
def test_a_receiver_takes_our_buffer_and_gives_frames_stamps_by_which_it_knows_their_arrival() -> None:
    async def listen() -> None:
        loop = asyncio.get_running_loop()
        receivers: list[RTCRtpReceiver] = []
        buffer = InOrderJitterBuffer(loop.time)

        def on_track(receiver: RTCRtpReceiver) -> None:
            receivers.append(receiver)
            assert replace_jitter_buffer(receiver, buffer) and ignore_goodbyes(receiver)

        async with connected(on_track, ToneTrack()):
            source = PeerSource(receivers[0].track, buffer)
            chunks = [await source.read() for _ in range(10)]
            await receivers[0]._handle_rtcp_packet(RtcpByePacket(sources=[1]))  # as a browser that is muted
            chunks += [await source.read() for _ in range(10)]
            assert None not in chunks
            now_s = loop.time()
        came_s = [chunk.came_s for chunk in chunks if chunk is not None]
        assert all(moment is not None and now_s - 5 < moment <= now_s for moment in came_s), (
            "each one's packet is known"
        )
        assert np.abs(np.concatenate([chunk.voice for chunk in chunks if chunk is not None])).max() > 0.25

    run(listen)


@pytest.mark.usefixtures("loopback_ice")
def test_what_has_come_is_counted_by_the_transport_and_stops_counting_when_the_network_is_gone() -> None:
    async def count(pc: RTCPeerConnection) -> int:
        return sum(s.packetsReceived for s in (await pc.getStats()).values() if isinstance(s, RTCTransportStats))

    async def vanish() -> None:
        async def lose(_: bytes) -> None:
            pass

        tracks: list[MediaStreamTrack] = []
        async with connected(lambda receiver: tracks.append(receiver.track), ToneTrack()) as (sender, receiver):
            await tracks[0].recv()
            before = await count(receiver)
            await asyncio.sleep(0.3)
            assert await count(receiver) >= before + 5
            intercept(sender, lambda _, recv: (lose, recv))
            await asyncio.sleep(0.1)  # what is on the way
            before = await count(receiver)
            await asyncio.sleep(0.3)
            assert await count(receiver) == before, "what keeps the path open does not count"

    run(vanish)


@pytest.mark.usefixtures("loopback_ice")
def test_every_datagram_of_a_connection_passes_what_is_put_in_between() -> None:
    async def listen() -> None:
        sent: list[bytes] = []
        came: list[bytes] = []
        tracks: list[MediaStreamTrack] = []

        def wrap(send: Send, recv: Recv) -> tuple[Send, Recv]:
            async def count_sent(data: bytes) -> None:
                sent.append(data)
                await send(data)

            async def count_came() -> bytes:
                came.append(await recv())
                return came[-1]

            return count_sent, count_came

        async with connected(lambda receiver: tracks.append(receiver.track), ToneTrack()) as pair:
            for peer in pair:
                intercept(peer, wrap)
            for _ in range(20):
                await tracks[0].recv()
            for datagrams in (sent, came):
                assert sum(data[0] in range(128, 192) for data in datagrams) >= 10, "RTP, by its first byte"

    run(listen)


@pytest.mark.usefixtures("loopback_ice")
def test_a_sender_asks_for_the_next_picture_when_the_last_one_has_been_encoded_and_sent() -> None:
    """From that the session learns how long encoding takes, and when to hand over a picture."""
    asked: list[float] = []

    class Pictures(VideoStreamTrack):
        async def recv(self) -> av.VideoFrame:
            asked.append(asyncio.get_running_loop().time())
            noise = np.random.default_rng(len(asked)).integers(0, 255, (480, 640, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="bgr24")
            frame.pts, frame.time_base = 3000 * len(asked), Fraction(1, 90_000)
            return frame

    async def watch() -> None:
        tracks: list[MediaStreamTrack] = []
        async with connected(lambda receiver: tracks.append(receiver.track), Pictures()):
            while len(asked) < 5:
                await asyncio.sleep(0.01)
        assert np.diff(asked).min() > 0.0005, "a picture of noise is not encoded faster than that"

    run(watch)


def test_without_the_attribute_the_receivers_own_buffer_stays_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class OtherReceiver:
        """As if aiortc had moved its buffer."""

    aiortc_internals._say_once.cache_clear()
    for _ in range(3):
        receiver = OtherReceiver()
        assert not replace_jitter_buffer(receiver, InOrderJitterBuffer(float))  # type: ignore[arg-type]
        assert vars(receiver) == {}
    assert [record.message for record in caplog.records if "80 ms later" in record.message] == [caplog.messages[0]]


def test_aiortcs_own_buffer_is_where_we_replace_it_and_holds_voice_back() -> None:
    """Once it does not, ours is no longer needed."""

    async def listen() -> None:
        pc = RTCPeerConnection(ALONE)
        own = getattr(pc.addTransceiver("audio").receiver, BUFFER)
        out = []
        for k in range(5):
            packet = RtpPacket(sequence_number=k, timestamp=960 * k, payload=bytes([k]))
            packet._data = packet.payload  # type: ignore[attr-defined]  # what the receiver does before `add`
            out.append(own.add(packet)[1] is not None)
        assert out == [False, False, False, False, True]
        await pc.close()

    run(listen)


def picture_packet(sequence: int, timestamp: int, data: bytes, last: bool = True) -> RtpPacket:
    made = RtpPacket(sequence_number=sequence % 65_536, timestamp=timestamp, marker=int(last))
    made._data = data  # type: ignore[attr-defined]
    return made


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), seed=st.integers(0, 999))
def test_a_picture_comes_out_with_its_last_packet_whatever_their_order_within_it(sizes: list[int], seed: int) -> None:
    buffer, sequence = MarkerJitterBuffer(), 65_500
    buffer.add(picture_packet(sequence - 1, 0, b"first"))
    for number, size in enumerate(sizes, start=1):
        parts = [
            picture_packet(sequence + k, 3600 * number, bytes([number, k]), last=k == size - 1) for k in range(size)
        ]
        random.Random(seed).shuffle(parts)
        came = [buffer.add(part)[1] for part in parts]
        assert came[:-1] == [None] * (size - 1)
        assert came[-1] is not None and came[-1].data == b"".join(bytes([number, k]) for k in range(size))
        sequence += size


def test_addresses_are_changed_for_every_call_that_follows_and_given_back() -> None:
    async def candidates() -> set[str]:
        connection = aioice.Connection(ice_controlling=True)
        await connection.gather_candidates()
        found = {candidate.host for candidate in connection.local_candidates}
        await connection.close()
        return found

    before = host_addresses()
    assert "127.0.0.1" not in before, "aioice leaves it out, so that we must add it on a machine without network"
    try:
        assert change_host_addresses(lambda ours: [*ours[:0], "127.0.0.1"])
        assert asyncio.run(candidates()) == {"127.0.0.1"} == set(host_addresses(ipv6=False))
        assert change_host_addresses(lambda ours: [f"{address}!" for address in ours])
        assert host_addresses() == ["127.0.0.1!"], "of what would have been offered"
    finally:
        assert change_host_addresses(None)
    assert host_addresses() == before


def test_where_aioice_lists_addresses_elsewhere_nothing_is_changed_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    aiortc_internals._say_once.cache_clear()
    monkeypatch.delattr(aioice.ice, "get_host_addresses")
    assert host_addresses() == []
    assert not change_host_addresses(lambda _: ["127.0.0.1"]) and not change_host_addresses(None)
    assert not hasattr(aioice.ice, "get_host_addresses")
    assert len(caplog.records) == 1 and "all but the loopback one" in caplog.text


def test_a_configuration_becomes_what_the_connection_takes() -> None:
    servers = [IceServer(("stun:stun.example:7",)), IceServer(("turn:relay.example?transport=tcp",), "me", "secret")]
    arguments = ice_arguments(configuration(servers))
    assert arguments["stun_server"] == ("stun.example", 7) and arguments["turn_server"] == ("relay.example", 3478)
    account = (arguments["turn_username"], arguments["turn_password"])
    assert account == ("me", "secret") and (arguments["turn_transport"], arguments["turn_ssl"]) == ("tcp", False)
    aioice.Connection(ice_controlling=True, **arguments)
    assert ice_arguments(ALONE) == {}
    assert "turn_server" not in ice_arguments(RTCConfiguration([RTCIceServer("turn:x?transport=sctp", "me", "secret")]))


def test_a_description_is_taken_apart_and_a_candidate_read() -> None:
    async def offer() -> str:
        pc = RTCPeerConnection(ALONE)
        for kind in ("audio", "video"):
            pc.addTransceiver(kind, direction="recvonly")
        sdp = str((await pc.createOffer()).sdp)
        await pc.close()
        return sdp

    description = SessionDescription.parse(asyncio.run(offer()))
    assert [section.kind for section in description.media] == ["audio", "video"]
    assert [section.rtp.muxId for section in description.media] == ["0", "1"]
    assert all(section.dtls is not None and section.ice_candidates == [] for section in description.media)
    assert [(group.semantic, [str(item) for item in group.items]) for group in description.group] == [
        ("BUNDLE", ["0", "1"])
    ]
    candidate = candidate_from_sdp("1 1 udp 2122252543 192.0.2.7 50000 typ host")
    assert (candidate.ip, candidate.port, candidate.protocol, candidate.type) == ("192.0.2.7", 50_000, "udp", "host")


def test_the_codecs_take_frames_and_give_payloads_as_they_travel() -> None:
    picture = av.VideoFrame.from_ndarray(still(), format="bgr24")
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    payloads, stamp = Vp8Encoder().encode(picture)
    data = b"".join(vp8_depayload(payload) for payload in payloads)
    (seen,) = Vp8Decoder().decode(JitterFrame(data, stamp))
    assert isinstance(seen, av.VideoFrame) and (seen.width, seen.height) == (128, 128)
    opus, decoder = OpusEncoder(), OpusDecoder()
    heard = []
    for count in range(5):
        packets, stamp = opus.encode(voice_frame((32767 * tone(0.02)).astype(np.int16), 960 * count))
        heard += [frame for packet in packets for frame in decoder.decode(JitterFrame(packet, stamp))]
    assert heard and all(isinstance(frame, av.AudioFrame) and frame.sample_rate == 48_000 for frame in heard)
