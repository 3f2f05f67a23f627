"""A caller who is silent is not late: packets of real timing through jitter buffer, source and session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray
from streaming.fakes import FakeEngine, session_of, tone
from streaming.packets import receive
from streaming.virtual_time import VirtualTime

from s2v.streaming.session.session import Session
from s2v.streaming.sources.peer import PeerSource
from s2v.streaming.webrtc.aiortc_internals import RtpPacket
from s2v.streaming.webrtc.jitter_buffer import InOrderJitterBuffer

PACKET_S = 0.02
FIRST_STAMP = (1 << 32) - 960 * 100  # they wrap after two seconds
TALK_S = 3.0  # before and after a pause
TONE = tone(PACKET_S)  # of 220 Hz: 4.4 periods


class Packet(NamedTuple):
    """What a caller's browser sends."""

    sent_s: float
    number: int  # in sequence
    stamp: int  # at 48 kHz, from 0
    loud: bool = True
    payload: bool = True


def talk(sent_s: float, seconds: float, count: int, stamp: int) -> list[Packet]:
    return [Packet(sent_s + PACKET_S * k, count + k, stamp + 960 * k) for k in range(round(seconds / PACKET_S))]


def quiet(every_s: float, packets: list[Packet], seconds: float, payload: bool = True) -> list[Packet]:
    """A pause in which a packet of comfort noise, or an empty one, comes now and then; its stamps go on counting."""
    last = packets[-1]
    times = np.arange(every_s, seconds, every_s)
    return [
        Packet(last.sent_s + t, last.number + 1 + k, last.stamp + round(48_000 * t), loud=False, payload=payload)
        for k, t in enumerate(times)
    ]


def with_pause(
    seconds: float,
    every_s: float = 0.0,
    payload: bool = True,
    stamps: Callable[[float], int] = lambda s: round(48_000 * s),
) -> list[Packet]:
    """Talk, a pause, talk. Args: stamps: what the stamps of the next word are further than those of the last."""
    sent = talk(0.0, TALK_S, 7, 0)
    last = sent[-1]
    sent += quiet(every_s, sent, seconds, payload) if every_s else []
    return sent + talk(last.sent_s + seconds, TALK_S, sent[-1].number + 1, last.stamp + stamps(seconds))


class CallersTrack(MediaStreamTrack):
    """Packets come as they were sent, through the jitter buffer; frames have the stamps that aiortc gives them."""

    kind = "audio"

    def __init__(self, time: VirtualTime, packets: list[Packet], buffer: InOrderJitterBuffer) -> None:
        super().__init__()
        self._time = time
        self._began_s = time.now_s + 0.05
        self._packets = iter(packets)
        self._buffer = buffer
        self._frames: asyncio.Queue[AudioFrame | None] = asyncio.Queue()
        self._coming = asyncio.create_task(self._come())

    async def _come(self) -> None:
        for packet in self._packets:
            await asyncio.sleep(max(self._began_s + packet.sent_s - self._time.now_s, 0.0))
            stamp = (FIRST_STAMP + packet.stamp) % (1 << 32)
            rtp = RtpPacket(sequence_number=packet.number % 65_536, timestamp=stamp, payload=b"x" * packet.payload)
            if self._buffer.add(rtp)[1] is not None:
                pcm = np.repeat(np.rint(TONE * 32767 * packet.loud), 2).astype(np.int16)[None, :]
                frame = AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
                frame.sample_rate, frame.pts = 48_000, packet.stamp
                self._frames.put_nowait(frame)

    async def recv(self) -> AudioFrame:
        frame = await self._frames.get()
        assert frame is not None
        return frame

    def stop(self) -> None:
        self._coming.cancel()
        super().stop()


class Call(NamedTuple):
    """What came of it."""

    session: Session
    engine: FakeEngine
    delays_s: list[float]  # every half second, really held back
    faces: list[VideoFrame]
    faces_s: list[float]  # when they came
    voice: NDArray[np.float32]


def call_of(packets: list[Packet], ppm: float = 0.0) -> Call:
    time, engine = VirtualTime(), FakeEngine()
    packets = [p._replace(sent_s=p.sent_s / (1 + 1e-6 * ppm)) for p in packets]
    seconds = packets[-1].sent_s + 1.0
    calls: list[Call] = []

    async def play() -> None:
        buffer = InOrderJitterBuffer(time.now)
        source = PeerSource(CallersTrack(time, packets, buffer), buffer)
        session = session_of(source, lambda: engine, time)
        running = asyncio.create_task(session.run())
        voice, faces, faces_s, delays_s = list[AudioFrame](), list[VideoFrame](), list[float](), list[float]()

        async def watch() -> None:
            until_s = time.now_s + seconds
            while time.now_s < until_s:
                await receive(session.face_track, faces, time, 0.001)
                faces_s.append(time.now_s)

        async def look() -> None:
            while True:
                await asyncio.sleep(0.5)
                delays_s.append(session.clock.actual_delay_s)

        looking = asyncio.create_task(look())
        await asyncio.gather(receive(session.voice_track, voice, time, seconds), watch())
        looking.cancel()
        pcm = np.concatenate([frame.to_ndarray()[0, ::2] for frame in voice]).astype(np.float32) / np.float32(32767)
        calls.append(Call(session, engine, delays_s, faces, faces_s, pcm))
        await session.close()
        await asyncio.wait([running])

    time.run(play())
    return calls[0]


DTX = with_pause(4.4, 0.4)
MUTED = with_pause(6.0)
PAUSES = {
    "DTX": DTX,
    "short DTX": with_pause(0.62, 0.4),
    "silence without a packet": with_pause(2.0),
    "muted": MUTED,
    "muted, stamps go on as if nothing had been": with_pause(6.0, stamps=lambda s: 960),
    "a short pause that the stamps do not know": with_pause(0.15, stamps=lambda s: 960),
    "muted, stamps begin anew": with_pause(6.0, stamps=lambda s: 1_234_567_890),
    "muted, stamps go back": with_pause(6.0, stamps=lambda s: -48_000),
    "on hold, kept open by empty packets": with_pause(6.0, 1.0, payload=False),
}


@pytest.mark.parametrize("name", PAUSES)
def test_a_pause_is_not_lateness_and_the_face_goes_on_meanwhile(name: str) -> None:
    packets = PAUSES[name]
    call = call_of(packets, ppm=200.0)  # the caller's crystal is off
    stats = call.session.stats()
    assert stats["audio_skipped_ms"] == stats["underruns"] == stats["stalls"] == stats["frames_late"] == 0
    before_s = call.delays_s[round(TALK_S / 0.5) - 1]
    assert max(call.delays_s[round(TALK_S / 0.5) :]) < before_s + 0.04
    assert max(b - a for a, b in pairwise(call.faces_s[10:])) < 0.043, "a picture every 40 ms throughout"
    assert call.engine.heard.size > 16_000 * (packets[-1].sent_s - 0.1), "and the face heard silence in the pause"
    spoken = sum(p.loud for p in packets) * 960
    assert np.count_nonzero(np.abs(call.voice) > 1e-4) > 0.98 * spoken


def held_up(packets: list[Packet], late_s: Callable[[int], float]) -> list[Packet]:
    """The network delays packet k by `late_s(k)`, and those behind it wait for it."""
    came_s, held = 0.0, list[Packet]()
    for k, packet in enumerate(packets):
        came_s = max(came_s, packet.sent_s + late_s(k))
        held.append(packet._replace(sent_s=came_s))
    return held


def test_what_a_network_holds_up_is_late_and_no_pause() -> None:
    call = call_of(held_up(talk(0.0, 8.0, 7, 0), lambda k: 0.4 if k == 200 else 0.0))
    assert call.session.stats()["underruns"] > 5, "the voice had a hole ..."
    assert max(call.delays_s[8:]) < call.delays_s[7] + 0.005, "... and is where it was: nothing waits for the lost time"
    assert max(b - a for a, b in pairwise(call.faces_s[10:])) < 0.05, "the face went on, silent"


def test_a_voice_that_often_comes_late_is_held_back_longer_until_face_and_voice_have_it_in_time() -> None:
    call = call_of(held_up(talk(0.0, 12.0, 7, 0), lambda k: 0.15 if k % 20 == 0 else 0.0))
    needed_s = 0.15 + call.engine.spec.look_ahead_s
    assert needed_s < call.session.clock.playout_delay_s < needed_s + 0.04
    assert call.session.clock.actual_delay_s > 0.2, "and the clock is on its way there"


def test_a_packet_without_a_payload_does_not_reach_the_decoder_and_is_no_gap() -> None:
    buffer = InOrderJitterBuffer(VirtualTime().now)
    out = [buffer.add(RtpPacket(sequence_number=k, timestamp=960 * k, payload=b"x" * (k != 1)))[1] for k in range(3)]
    assert [frame is not None for frame in out] == [True, False, True]
    arrival = buffer.arrival(1920)
    assert arrival is not None and arrival.lost == 0
