"""What a caller makes of what comes back: finds clicks in the voice and reads the pictures' codes.

At once, or later: `keep` only notes when each packet and picture was complete, and `decode` looks into them when the
call is over, so that many callers on the server's own machine take little of it.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack, RTCRtpReceiver

from s2v.benchmarks.live.click_track import ClickFinder, read_code
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.streaming.webrtc.aiortc_internals import (
    JitterFrame,
    MarkerJitterBuffer,
    OpusDecoder,
    RtpPacket,
    Vp8Decoder,
    replace_jitter_buffer,
)
from s2v.streaming.webrtc.jitter_buffer import InOrderJitterBuffer


@dataclass
class ReceivedCall:
    """What one call gave, in seconds of `time.monotonic`; the lists grow while it runs."""

    began_s: float = 0.0  # the microphone's first sample
    said: list[float] = field(default_factory=list)  # when each click was at the microphone
    voice: list[tuple[float, float]] = field(default_factory=list)  # (when its first sample could be played, 0)
    picture: list[tuple[float, float]] = field(default_factory=list)  # (decoded, how far after the click it lies)
    frames: int = 0
    server: dict[str, Any] = field(default_factory=dict)  # its latest message


@dataclass
class RecordedCall:
    """What came, as it came: (moment at which it was complete, its bytes)."""

    packets: list[tuple[float, bytes]] = field(default_factory=list)  # of voice
    pictures: list[tuple[float, bytes]] = field(default_factory=list)


def receive_live(receiver: RTCRtpReceiver, heard: ReceivedCall) -> Coroutine[Any, Any, None]:
    """Decode one track as it comes; what is returned runs until it ends. Call it before the first packet."""
    is_voice = receiver.track.kind == "audio"
    replace_jitter_buffer(receiver, InOrderJitterBuffer(time.monotonic) if is_voice else MarkerJitterBuffer())
    return (_listen if is_voice else _watch)(receiver.track, heard)


def keep(receiver: RTCRtpReceiver, kept: RecordedCall) -> Coroutine[Any, Any, None]:
    """Like `receive_live`, but nothing is decoded."""
    is_voice = receiver.track.kind == "audio"
    replace_jitter_buffer(receiver, _KeptPackets(kept.packets) if is_voice else _KeptPictures(kept.pictures))
    return _drain(receiver.track)


def decode(kept: RecordedCall) -> ReceivedCall:
    """What `receive_live` would have heard of it; each moment is that of arrival plus what decoding takes now."""
    heard, finder = ReceivedCall(), _ClickDetector()
    opus, vp8 = OpusDecoder(), Vp8Decoder()
    for count, (came_s, data) in enumerate(kept.packets):
        began_s = time.perf_counter()
        for frame in opus.decode(JitterFrame(data, count * PLAYBACK_HZ // 50)):
            assert isinstance(frame, av.AudioFrame)
            finder.take(frame, came_s + time.perf_counter() - began_s, heard)
    for count, (came_s, data) in enumerate(kept.pictures):
        began_s = time.perf_counter()
        try:
            pictures = vp8.decode(JitterFrame(data, count))
        except av.FFmpegError:  # a part of it was lost on the way
            continue
        for picture in pictures:
            assert isinstance(picture, av.VideoFrame)
            _see(picture, came_s + time.perf_counter() - began_s, heard)
    return heard


class _ClickDetector:
    """Notes when a player that plays at once would play each click."""

    def __init__(self) -> None:
        self._finder = ClickFinder(PLAYBACK_HZ)
        self._counted = 0
        self._packets: list[tuple[int, float]] = []  # (sample after it, moment it could begin) of the newest packets

    def take(self, frame: av.AudioFrame, now_s: float, heard: ReceivedCall) -> None:
        pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).mean(axis=1).astype(np.float32) / 32768
        begin, self._counted = self._counted, self._counted + len(pcm)
        self._packets = [*self._packets[-20:], (self._counted, now_s - begin / PLAYBACK_HZ)]
        for click in self._finder.push(pcm):
            _, zero_s = next(packet for packet in self._packets if packet[0] > click)
            heard.voice.append((zero_s + click / PLAYBACK_HZ, 0.0))


class _KeptPackets(InOrderJitterBuffer):
    def __init__(self, kept: list[tuple[float, bytes]]) -> None:
        super().__init__(time.monotonic)
        self._kept = kept

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        wants_key, whole = super().add(packet)
        if whole is not None:
            self._kept.append((time.monotonic(), whole.data))
        return wants_key, None  # nothing for the decoder


class _KeptPictures(MarkerJitterBuffer):
    def __init__(self, kept: list[tuple[float, bytes]]) -> None:
        super().__init__()
        self._kept = kept

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        wants_key, whole = super().add(packet)
        if whole is not None:
            self._kept.append((time.monotonic(), whole.data))
        return wants_key, None


async def _listen(track: MediaStreamTrack, heard: ReceivedCall) -> None:
    detector = _ClickDetector()
    while (frame := await _next(track)) is not None:
        assert isinstance(frame, av.AudioFrame)
        detector.take(frame, time.monotonic(), heard)


async def _watch(track: MediaStreamTrack, heard: ReceivedCall) -> None:
    while (frame := await _next(track)) is not None:
        assert isinstance(frame, av.VideoFrame)
        _see(frame, time.monotonic(), heard)


def _see(picture: av.VideoFrame, now_s: float, heard: ReceivedCall) -> None:
    """Note when a picture that carries a click's code was decoded."""
    heard.frames += 1
    offset = read_code(np.asarray(picture.to_ndarray(format="bgr24"), np.uint8))
    if offset is not None:
        heard.picture.append((now_s, offset / ENGINE_HZ))


async def _drain(track: MediaStreamTrack) -> None:
    while await _next(track) is not None:
        pass


async def _next(track: MediaStreamTrack) -> Any:
    try:
        return await track.recv()
    except MediaStreamError:
        return None
