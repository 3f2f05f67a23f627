from __future__ import annotations

import asyncio
import random

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from s2v.streaming.webrtc.jitter_buffer import (
    PLACE,
    REMEMBERED,
    InOrderJitterBuffer,
    MarkerJitterBuffer,
    replace_jitter_buffer,
)


def packet(sequence: int, timestamp: int = 0, data: bytes = b"", last: bool = True) -> RtpPacket:
    made = RtpPacket(sequence_number=sequence % 65_536, timestamp=timestamp % (1 << 32), marker=int(last))
    made._data = data  # type: ignore[attr-defined]  # aiortc hangs it on, as undeclared as here
    return made


@given(start=st.integers(0, 65_535), lost=st.sets(st.integers(0, 199)))
def test_every_packet_of_voice_that_comes_in_order_comes_out_at_once(start: int, lost: set[int]) -> None:
    buffer = InOrderJitterBuffer()
    for k in sorted(set(range(200)) - lost):
        asks_for_picture, frame = buffer.add(packet(start + k, 960 * k, bytes([k])))
        assert frame is not None and frame.data == bytes([k]) and frame.timestamp == 960 * k
        assert not asks_for_picture
    assert buffer.late == 0


def test_a_packet_that_was_overtaken_or_comes_twice_is_left_out() -> None:
    buffer = InOrderJitterBuffer()
    out = [k for k in (0, 1, 3, 2, 3, 4) if buffer.add(packet(65_534 + k, 960 * k))[1] is not None]
    assert out == [0, 1, 3, 4]
    assert buffer.late == 2


def test_a_sender_that_counts_anew_is_heard() -> None:
    buffer = InOrderJitterBuffer()
    buffer.add(packet(30_000))
    assert buffer.add(packet(17))[1] is not None


def test_the_arrival_of_a_packet_is_known_once_under_the_stamp_that_aiortc_gives_its_frame() -> None:
    buffer = InOrderJitterBuffer()
    first = (1 << 32) - 1920  # the stamps wrap
    for k in range(REMEMBERED + 10):
        buffer.add(packet(k, first + 960 * k))
    known = [k for k in range(REMEMBERED + 10) if buffer.came_s(960 * k) is not None]
    assert known == list(range(10, REMEMBERED + 10)), "only so many are kept"
    assert buffer.came_s(960 * 20) is None


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), seed=st.integers(0, 999))
def test_a_picture_comes_out_with_its_last_packet_whatever_their_order_within_it(sizes: list[int], seed: int) -> None:
    buffer, sequence = MarkerJitterBuffer(), 65_500
    buffer.add(packet(sequence - 1, 0, b"first"))
    for number, size in enumerate(sizes, start=1):
        parts = [packet(sequence + k, 3600 * number, bytes([number, k]), last=k == size - 1) for k in range(size)]
        random.Random(seed).shuffle(parts)
        came = [buffer.add(part)[1] for part in parts]
        assert came[:-1] == [None] * (size - 1)
        assert came[-1] is not None and came[-1].data == b"".join(bytes([number, k]) for k in range(size))
        sequence += size


def test_this_version_of_aiortc_keeps_its_buffer_where_we_replace_it() -> None:
    async def replace() -> None:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        receiver, buffer = pc.addTransceiver("audio").receiver, InOrderJitterBuffer()
        assert replace_jitter_buffer(receiver, buffer)
        assert getattr(receiver, PLACE) is buffer
        await pc.close()

    asyncio.run(replace())


def test_another_version_is_left_alone_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Receiver:
        pass

    assert not replace_jitter_buffer(Receiver(), InOrderJitterBuffer())  # type: ignore[arg-type]
    assert "80 ms later" in caplog.text
