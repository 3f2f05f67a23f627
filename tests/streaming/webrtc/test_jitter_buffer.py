from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from streaming.virtual_time import VirtualTime

from s2v.streaming.webrtc.aiortc_internals import RtpPacket
from s2v.streaming.webrtc.jitter_buffer import REMEMBERED, InOrderJitterBuffer


def packet(sequence: int, timestamp: int = 0, data: bytes = b"x") -> RtpPacket:
    return RtpPacket(sequence_number=sequence % 65_536, timestamp=timestamp % (1 << 32), payload=data)


def buffer_of(time: VirtualTime | None = None) -> InOrderJitterBuffer:
    return InOrderJitterBuffer((time or VirtualTime()).now)


@given(start=st.integers(0, 65_535), lost=st.sets(st.integers(0, 199)))
def test_every_packet_of_voice_that_comes_in_order_comes_out_at_once(start: int, lost: set[int]) -> None:
    buffer = buffer_of()
    for k in sorted(set(range(200)) - lost):
        asks_for_picture, frame = buffer.add(packet(start + k, 960 * k, bytes([k, 1])))
        assert frame is not None and frame.data == bytes([k, 1]) and frame.timestamp == 960 * k
        assert not asks_for_picture
    assert buffer.late == 0


def test_a_packet_that_was_overtaken_or_comes_twice_is_left_out() -> None:
    buffer = buffer_of()
    out = [k for k in (0, 1, 3, 2, 3, 4) if buffer.add(packet(65_534 + k, 960 * k))[1] is not None]
    assert out == [0, 1, 3, 4]
    assert buffer.late == 2


def test_a_sender_that_counts_anew_is_heard() -> None:
    buffer = buffer_of()
    buffer.add(packet(30_000))
    assert buffer.add(packet(17))[1] is not None


def test_the_arrival_of_a_packet_is_known_once_under_the_stamp_that_aiortc_gives_its_frame() -> None:
    time = VirtualTime()
    buffer, began_s = buffer_of(time), time.now_s
    first = (1 << 32) - 1920  # the stamps wrap
    for k in range(REMEMBERED + 10):
        time.now_s = began_s + 0.02 * k
        buffer.add(packet(k, first + 960 * k))
    arrivals = [buffer.arrival(960 * k) for k in range(REMEMBERED + 10)]
    assert arrivals[:10] == [None] * 10, "only so many are kept"
    assert arrivals[10:] == [(began_s + 0.02 * k, 0) for k in range(10, REMEMBERED + 10)]
    assert buffer.arrival(960 * 20) is None


def test_a_packet_knows_how_many_before_it_were_lost_or_overtaken() -> None:
    buffer = buffer_of()
    for k in (65_530, 65_533, 65_532, 65_534, 65_538):
        buffer.add(packet(k, 960 * (k - 65_530)))
    arrivals = [buffer.arrival(960 * k) for k in (0, 3, 4, 8)]
    assert [arrival.lost for arrival in arrivals if arrival is not None] == [0, 2, 0, 3]
