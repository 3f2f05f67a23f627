"""Speech that another program sends, a text-to-speech engine or a voice agent: faster or slower than real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from s2v.errors import StreamError
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.streaming.sources.file import CHUNK_SAMPLES
from s2v.streaming.sources.resampler import VoiceResampler
from s2v.streaming.sources.source import RATIO, AudioChunk
from s2v.streaming.sources.speech_buffer import SpeechBuffer

MAX_UTTERANCES = 1000  # waiting to be said
LATE_S = 0.5  # the loop stood still for longer: go on from now instead of catching up in a burst


class DeliveredUtterance(NamedTuple):
    """An utterance that has been delivered."""

    end_sample: int  # of this source's samples at ENGINE_HZ
    seconds: float  # of it; what had not come in time is none


class PushSource:
    """What is pushed, paced on our clock, silence while there is nothing: the face stays alive. Event loop only."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._buffer = SpeechBuffer()
        self._resampler = VoiceResampler()
        self._ends: dict[int, asyncio.Future[DeliveredUtterance]] = {}
        self._utterances = 0
        self._due_s: float | None = None  # when the next chunk is delivered
        self._open = True

    @property
    def buffered_s(self) -> float:
        """Seconds pushed and not yet delivered."""
        return self._buffer.buffered_s

    def push(self, pcm: NDArray[np.int16], rate_hz: int) -> None:
        """Append mono 16-bit samples, shape (n,), of 8000 to 48000 Hz.

        Raises: StreamError, too much is waiting; nothing of it is kept.
        """
        self._buffer.push(pcm, rate_hz)

    def flush(self) -> asyncio.Future[DeliveredUtterance]:
        """End the utterance; the future says where it ends once it has been delivered, and is cancelled by `clear`.

        Raises: StreamError, too many wait.
        """
        if len(self._ends) >= MAX_UTTERANCES:
            raise StreamError(f"{len(self._ends)} utterances are waiting: wait until some have been played")
        self._utterances += 1
        self._ends[self._utterances] = asyncio.get_running_loop().create_future()
        self._buffer.flush(self._utterances)
        return self._ends[self._utterances]

    def clear(self) -> tuple[float, DeliveredUtterance]:
        """Forget what has not been delivered; returns its seconds, and what is heard of the utterance it was cut from.

        That has 0 s where none was under way. Its last milliseconds, a fade, are delivered next.
        """
        forgotten_s = self._buffer.clear()
        self._forget_ends()
        fade = min(self._buffer.buffered_s, self._buffer.said_s)
        end_sample = self._resampler.count // RATIO + round(fade * ENGINE_HZ)
        return forgotten_s, DeliveredUtterance(end_sample, self._buffer.said_s)

    async def read(self) -> AudioChunk | None:
        if self._due_s is None or self._now() - self._due_s > LATE_S:
            self._due_s = self._now()
        while self._open and (wait_s := self._due_s - self._now()) > 0:
            await self._sleep(wait_s)
        if not self._open:
            return None
        came_s, self._due_s = self._due_s, self._due_s + CHUNK_SAMPLES / ENGINE_HZ
        taken = self._buffer.take(RATIO * CHUNK_SAMPLES)
        frame = av.AudioFrame.from_ndarray(taken.pcm[None, :], format="fltp", layout="mono")
        frame.sample_rate = PLAYBACK_HZ
        chunk = self._resampler.push(frame)
        for utterance, at, said in taken.ended:
            if not (end := self._ends.pop(utterance)).done():
                end.set_result(DeliveredUtterance((chunk.voice_start + at) // RATIO, said / PLAYBACK_HZ))
        return replace(chunk, came_s=came_s)

    def close(self) -> None:
        self._open = False
        self._forget_ends()
        self._resampler.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""

    def stats(self) -> dict[str, float]:
        return {"buffered_ms": round(1000 * self.buffered_s), "underruns": self._buffer.underruns}

    def _forget_ends(self) -> None:
        for end in self._ends.values():
            end.cancel()
        self._ends.clear()
