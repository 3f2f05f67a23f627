"""What is said to the face: callers' microphones, mixed on the sample clock of the voice that drives it.

Each sample that the face says takes one from every caller who speaks to it. What has not come by then is silence, and
what comes faster than it is taken is dropped: no caller can slow the face, and none is sent on to anybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import numpy as np

from s2v.media.audio_file import ENGINE_HZ
from s2v.streaming.sources.source import AudioSource, Pcm

GATHERED_SAMPLES = ENGINE_HZ * 60 // 1000  # wait before they are taken: packets come unevenly
MOST_SAMPLES = ENGINE_HZ * 300 // 1000  # wait at most; beyond it only the newest GATHERED_SAMPLES are kept

log = logging.getLogger(__name__)


class HeardVoice:
    """One microphone: what of it has come and has not been taken yet."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._waiting: deque[Pcm] = deque()
        self._length = 0
        self._flows = False  # enough has been gathered; until it runs dry
        self.listening = asyncio.create_task(self._listen())

    def take(self, length: int) -> Pcm:
        """The oldest `length` samples, (length,); silence for those that have not come."""
        taken = np.zeros(length, np.float32)
        at = 0
        while self._flows and at < length and self._waiting:
            part = self._waiting.popleft()
            if len(part) > length - at:
                self._waiting.appendleft(part[length - at :])
                part = part[: length - at]
            taken[at : at + len(part)] = part
            at += len(part)
        self._length -= at
        self._flows = self._flows and at == length
        return taken

    async def close(self) -> None:
        self._source.close()
        self.listening.cancel()
        await asyncio.wait([self.listening])

    async def _listen(self) -> None:
        try:
            while (chunk := await self._source.read()) is not None:
                self._put(chunk.engine)
        except Exception:  # whatever a caller's connection trips over: the face goes on
            log.warning("a caller is not heard any more", exc_info=True)
            self._source.close()

    def _put(self, pcm: Pcm) -> None:
        self._waiting.append(pcm)
        self._length += len(pcm)
        if self._length > MOST_SAMPLES:
            newest = np.concatenate(self._waiting)[-GATHERED_SAMPLES:]
            self._waiting, self._length = deque([newest]), len(newest)
        self._flows = self._flows or self._length >= GATHERED_SAMPLES


class HeardVoices:
    """All of them. Event loop only."""

    def __init__(self) -> None:
        self._voices: dict[asyncio.Task[None], HeardVoice] = {}

    def __len__(self) -> int:
        return len(self._voices)

    def join(self, source: AudioSource) -> HeardVoice:
        """Listen to a microphone until it ends, or is closed by `close`, here or its own."""
        voice = HeardVoice(source)
        self._voices[voice.listening] = voice
        voice.listening.add_done_callback(self._voices.pop)
        return voice

    def take(self, length: int) -> Pcm | None:
        """What is said to the face while it says `length` samples, their sum within [-1, 1]; None: nobody is there."""
        if not self._voices:
            return None
        mixed = np.zeros(length, np.float32)
        for voice in self._voices.values():
            mixed += voice.take(length)
        np.clip(mixed, -1.0, 1.0, out=mixed)
        return mixed

    async def close(self) -> None:
        for voice in list(self._voices.values()):
            await voice.close()
