"""What is kept in a call and decoded after it, with real codecs and without a network."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import numpy as np
import pytest
from aiortc import RTCRtpReceiver

from s2v.benchmarks.live.click_track import PIP_HZ, UNIT_SAMPLES, write_code
from s2v.benchmarks.live.receiver import RecordedCall, decode, keep
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.streaming.webrtc.aiortc_internals import BUFFER, OpusEncoder, RtpPacket, Vp8Encoder, vp8_depayload

PACKET = PLAYBACK_HZ // 50


class FakeReceiver:
    """As much of aiortc's receiver as a buffer is put into."""

    def __init__(self, kind: str) -> None:
        self.track = type("Track", (), {"kind": kind})()
        vars(self)[BUFFER] = None

    def take(self, sequence: int, data: bytes, marker: bool) -> object:
        packet = RtpPacket(sequence_number=sequence, timestamp=sequence, marker=int(marker), payload=data)
        packet._data = data  # type: ignore[attr-defined]  # of a picture, what aiortc finds in the payload
        return vars(self)[BUFFER].add(packet)[1]


def pictures(offsets: list[int | None]) -> list[list[bytes]]:
    """Payloads of each picture, as they travel."""
    encoder, encoded = Vp8Encoder(), []
    for index, offset in enumerate(offsets):
        bgr = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
        write_code(bgr, offset)
        frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        encoded.append([vp8_depayload(payload) for payload in encoder.encode(frame)[0]])
    return encoded


def test_pictures_are_kept_when_their_last_packet_comes_and_read_later() -> None:
    kept, receiver, sequence = RecordedCall(), FakeReceiver("video"), 0
    keep(cast(RTCRtpReceiver, receiver), kept).close()
    for count, payloads in enumerate(pictures([None, 800, None, -400])):
        for index, data in enumerate(payloads):
            last = index == len(payloads) - 1
            assert receiver.take(sequence, data, last) is None, "nothing is left for a decoder"
            assert len(kept.pictures) == count + last
            sequence += 1
    assert sequence > 4, "some pictures take several packets"
    heard = decode(kept)
    assert heard.frames == 4
    assert [offset_s for _, offset_s in heard.picture] == [
        pytest.approx(samples / ENGINE_HZ, abs=UNIT_SAMPLES / ENGINE_HZ) for samples in (800, -400)
    ]
    for (decoded_s, _), (came_s, _) in zip(heard.picture, [kept.pictures[1], kept.pictures[3]], strict=True):
        assert decoded_s > came_s


def test_a_damaged_picture_is_left_out() -> None:
    whole = [b"".join(payloads) for payloads in pictures([None, 800])]
    damaged = RecordedCall(pictures=[(1.0, whole[0]), (1.04, b"\x00"), (1.08, whole[1])])
    assert decode(damaged).frames == 2


def test_a_click_is_heard_where_a_player_would_have_played_it() -> None:
    pcm = np.zeros(50 * PACKET, np.float32)
    pcm[24_000:25_920] = 0.5 * np.sin(2 * np.pi * PIP_HZ * np.arange(1920) / PLAYBACK_HZ)
    kept, receiver, encoder = RecordedCall(), FakeReceiver("audio"), OpusEncoder()
    keep(cast(RTCRtpReceiver, receiver), kept).close()
    for sequence in range(50):
        part = np.rint(32767 * pcm[sequence * PACKET : (sequence + 1) * PACKET]).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = PLAYBACK_HZ, sequence * PACKET, Fraction(1, PLAYBACK_HZ)
        for payload in encoder.encode(frame)[0]:
            assert receiver.take(sequence, payload, True) is None
    assert len(kept.packets) >= 49
    kept.packets = [(200.0 + 0.02 * count, data) for count, (_, data) in enumerate(kept.packets)]
    ((heard_s, offset_s),) = decode(kept).voice
    assert offset_s == 0 and heard_s == pytest.approx(200.5, abs=0.05)  # decoding takes some of it
