"""What tests of a session share: a paced tone, and who receives its tracks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import MediaStreamTrack
from av import VideoFrame
from streaming.fakes import MOUTH, tone
from streaming.virtual_time import VirtualTime

from s2v.streaming.sources.source import AudioChunk

PACKET_S = 0.02


async def receive(track: MediaStreamTrack, into: list[Any], time: VirtualTime, seconds: float) -> None:
    until_s = time.now_s + seconds
    while time.now_s < until_s:
        into.append(await track.recv())


class PacketSource:
    """A tone in packets of 20 ms; packet k is there when its last sample has been said, and `late_s[k]` after that.

    Args: level_of: the amplitude of packet k.
    """

    def __init__(
        self,
        time: VirtualTime,
        count: int,
        late_s: dict[int, float],
        lost: frozenset[int] = frozenset(),
        level_of: Callable[[int], float] = lambda k: 0.3,
    ) -> None:
        self._time = time
        self._began_s = time.now_s - 0.001  # so that the clock's grid, of a packet's length, adds next to nothing
        self._packets = iter(k for k in range(count) if k not in lost)
        self._late_s = late_s
        self._level_of = level_of

    async def read(self) -> AudioChunk | None:
        if (k := next(self._packets, None)) is None:
            return None
        due_s = self._began_s + PACKET_S * (k + 1) + self._late_s.get(k, 0.0)
        await asyncio.sleep(max(due_s - self._time.now_s, 0.0))
        level = self._level_of(k)
        pcm_48k, pcm_16k = (tone(PACKET_S, rate_hz=rate_hz, level=level) for rate_hz in (48_000, 16_000))
        return AudioChunk(960 * k, pcm_48k, 320 * k, pcm_16k, due_s)

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


def mouth_of(face: VideoFrame) -> float:
    return float(face.to_ndarray(format="bgr24")[MOUTH].mean())
