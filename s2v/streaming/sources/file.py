"""A recording as a source, paced as if it were spoken now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from s2v.media.audio_file import ENGINE_HZ, AudioClip
from s2v.streaming.sources.source import RATIO, AudioChunk

CHUNK_SAMPLES = 320  # 20 ms at ENGINE_HZ


class FileSource:
    """A clip, paced as if it were spoken now: chunk k is delivered k * 20 ms after the first."""

    def __init__(
        self,
        clip: AudioClip,
        loop: bool = False,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clip = clip
        self._loop = loop and len(clip.pcm_16k) > 0
        self._now = now
        self._sleep = sleep
        self._began_s: float | None = None
        self._at = 0  # samples delivered, at ENGINE_HZ
        self._open = True

    async def read(self) -> AudioChunk | None:
        if self._began_s is None:
            self._began_s = self._now()
        length = len(self._clip.pcm_16k)
        start = self._at % length if self._loop else self._at
        engine = self._clip.pcm_16k[start : start + CHUNK_SAMPLES]
        if not self._open or not len(engine):
            return None
        due_s = self._began_s + self._at / ENGINE_HZ
        while (wait_s := due_s - self._now()) > 0:
            await self._sleep(wait_s)
        voice = self._clip.pcm_48k[RATIO * start : RATIO * (start + len(engine))]
        chunk = AudioChunk(RATIO * self._at, voice, self._at, engine, came_s=due_s)
        self._at += len(engine)
        return chunk if self._open else None

    def close(self) -> None:
        self._open = False

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""
