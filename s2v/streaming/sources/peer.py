"""The microphone of a WebRTC peer as a source: resampled, counted, gaps filled."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Protocol

import av
import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.media.samples import cleaned
from s2v.streaming.sources.source import AudioChunk, Pcm

log = logging.getLogger(__name__)

MAX_GAP_S = 5.0  # a longer jump of the sender's clock is a new beginning, not lost audio
RTP_WRAP = 1 << 32  # RTP stamps count modulo this


class VoiceResampler:
    """Any PCM to mono 48 kHz and 16 kHz, counted; both keep the sender's time axis to the sample.

    libswresample aligns its output with its input and only withholds the last few samples, so sample i at 16 kHz
    is always the moment of sample 3 i at 48 kHz. Lost packets, seen as a jump of the stamps, become silence.
    """

    def __init__(self) -> None:
        self.gap_samples = 0  # silence filled in, at PLAYBACK_HZ
        self.jumps = 0  # breaks of the sender's clock that were too large to fill
        self._to_voice: av.AudioResampler | None = None
        self._to_engine = av.AudioResampler(format="flt", layout="mono", rate=ENGINE_HZ)
        self._input: tuple[str, str, int] | None = None
        self._next_stamp: int | None = None  # in the sender's samples, modulo RTP_WRAP
        self._voice_count = 0
        self._engine_count = 0

    def push(self, frame: av.AudioFrame) -> AudioChunk:
        """One decoded frame, any format, layout and rate; its pts counts samples of its own rate.

        What is no number in it is silence, and it is cut at full scale before the resampler could ring with it.
        """
        frame = cleaned(frame, ceiling=1.0)
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._input:  # the first frame, or the sender changed its codec
            self._to_voice = av.AudioResampler(format="fltp", rate=PLAYBACK_HZ)
            self._input, self._next_stamp = shape, None
        gap = self._gap_before(frame)
        frame.pts = None  # we count ourselves; the filter must not second-guess
        assert self._to_voice is not None
        # the mean of the channels; libswresample's own downmix to float is 3 dB louder and would clip
        parts = [part.to_ndarray().mean(axis=0, dtype=np.float32) for part in self._to_voice.resample(frame)]
        voice = np.concatenate([np.zeros(gap, np.float32), *parts])
        np.clip(voice, -1.0, 1.0, out=voice)  # resampling a full-scale voice overshoots
        chunk = AudioChunk(self._voice_count, voice, self._engine_count, self._down(voice))
        self._voice_count += len(chunk.voice)
        self._engine_count += len(chunk.engine)
        return chunk

    def _gap_before(self, frame: av.AudioFrame) -> int:
        """Voice samples missing between the previous frame and this one."""
        rate = frame.sample_rate
        if frame.pts is None:
            return 0
        expected, self._next_stamp = self._next_stamp, (frame.pts + frame.samples) % RTP_WRAP
        if expected is None or (missing := (frame.pts - expected) % RTP_WRAP) == 0:
            return 0
        if missing > MAX_GAP_S * rate:  # also every step back, which the modulus makes huge
            self.jumps += 1
            log.info("the sender's clock jumped; counting on without a gap")
            return 0
        filled = round(missing * PLAYBACK_HZ / rate)
        self.gap_samples += filled
        return filled

    def _down(self, voice: Pcm) -> Pcm:
        if not len(voice):
            return voice
        frame = av.AudioFrame.from_ndarray(voice[None, :], format="flt", layout="mono")
        frame.sample_rate = PLAYBACK_HZ
        parts: list[NDArray[Any]] = [part.to_ndarray().reshape(-1) for part in self._to_engine.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])


class PacketArrivals(Protocol):
    """Who knows when packets came: the jitter buffer that they went through."""

    def came_s(self, pts: int) -> float | None:
        """When the packet that was decoded to a frame with this pts arrived; asked once."""


class PeerSource:
    """The microphone of a WebRTC peer."""

    def __init__(self, track: MediaStreamTrack, packets: PacketArrivals | None = None) -> None:
        """`packets` is the buffer they come through: it knows when each came."""
        self.resampler = VoiceResampler()
        self._track = track
        self._packets = packets

    async def read(self) -> AudioChunk | None:
        try:
            frame = await self._track.recv()
        except MediaStreamError:
            return None  # the peer has gone or stopped its track
        assert isinstance(frame, av.AudioFrame)
        came_s = self._packets.came_s(frame.pts) if self._packets is not None and frame.pts is not None else None
        return replace(self.resampler.push(frame), came_s=came_s)

    def close(self) -> None:
        self._track.stop()

    async def wait_closed(self) -> None:
        """The connection joins what decodes the track."""
