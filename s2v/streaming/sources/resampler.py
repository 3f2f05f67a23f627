"""Any sound to the two rates of a session, counted."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.media.planes import channels
from s2v.media.samples import cleaned
from s2v.streaming.sources.source import RATIO, AudioChunk, Pcm

FLUSH_SAMPLES = PLAYBACK_HZ * 20 // 1000  # of a silence that are really put through the filter


class VoiceResampler:
    """Any PCM to mono 48 kHz and 16 kHz, counted.

    libswresample aligns its output with its input and only withholds the last few samples, so sample i at 16 kHz
    is always the moment of sample 3 i at 48 kHz.
    """

    def __init__(self) -> None:
        self.count = 0  # samples at PLAYBACK_HZ so far, silence included
        self._to_voice: av.AudioResampler | None = None
        self._to_engine: av.AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None
        self._engine_count = 0

    def close(self) -> None:
        """Let go of the filters, each with a thread for every core: the garbage collector may come to us late."""
        self._to_voice = self._to_engine = self._input = None

    def push(self, frame: av.AudioFrame, silence: int = 0, sent: bool = True) -> AudioChunk:
        """One decoded frame, any format, layout and rate, and how many samples at PLAYBACK_HZ were silent before it.

        A silence is counted, but only the last of it is put out: however long it was, it costs nothing.
        What is no number in the frame is silence, and it is cut at full scale before the resampler could ring with it.
        Args: sent: the silence was meant, and not lost on the way.
        """
        frame = cleaned(frame, ceiling=1.0)
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._input:  # the first frame, or the sender changed its codec
            self._to_voice = av.AudioResampler(format="fltp", rate=PLAYBACK_HZ)
            self._input = shape
        if self._to_engine is None:
            self._to_engine = av.AudioResampler(format="flt", layout="mono", rate=ENGINE_HZ)
        frame.pts = None  # we count ourselves; the filter must not second-guess
        left_out = max(silence - FLUSH_SAMPLES, 0) // RATIO * RATIO
        self.count += left_out
        self._engine_count += left_out // RATIO
        assert self._to_voice is not None
        # the mean of the channels; libswresample's own downmix to float is 3 dB louder and would clip
        parts = [channels(part).mean(axis=0, dtype=np.float32) for part in self._to_voice.resample(frame)]
        voice = np.concatenate([np.zeros(silence - left_out, np.float32), *parts])
        np.clip(voice, -1.0, 1.0, out=voice)  # resampling a full-scale voice overshoots
        heard = _down(voice, self._to_engine)
        chunk = AudioChunk(self.count, voice, self._engine_count, heard, pause=left_out if sent else 0)
        self.count += len(chunk.voice)
        self._engine_count += len(chunk.engine)
        return chunk


def _down(voice: Pcm, resampler: av.AudioResampler) -> Pcm:
    if not len(voice):
        return voice
    frame = av.AudioFrame.from_ndarray(voice[None, :], format="flt", layout="mono")
    frame.sample_rate = PLAYBACK_HZ
    parts: list[NDArray[Any]] = [part.to_ndarray().reshape(-1) for part in resampler.resample(frame)]
    return np.concatenate([np.zeros(0, np.float32), *parts])
