"""What waits between drawing and sending: the delayed voice and the finished frames. Both are bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUIET_POWER = 1e-5  # -50 dB of full scale: the noise of a room


@dataclass(frozen=True)
class DueFrame:
    """A finished picture and the timeline sample (16 kHz) it belongs to."""

    at: int
    pixels: NDArray[np.uint8]  # (h, w, 3) BGR or (h * 3/2, w) I420, owned by whoever holds the frame
    drawn_s: float | None = None  # when it was finished, by the session's clock


class VoiceBuffer:
    """The original voice on the timeline at 48 kHz, silence where nothing was written.

    Reading goes forward only and empties what it passes. What arrives for a moment already read, or further ahead
    than the capacity, is dropped and counted: an underrun is heard as silence and never shifts what follows.
    Used on the event loop only.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.position = 0  # the next sample to be read
        self.ends_at: int | None = None  # set when the source has ended: silence from here on is not missing
        self._begins_at: int | None = None  # the first sample ever written
        self.dropped_samples = 0
        self._data = np.zeros(capacity, np.float32)
        self._filled = np.zeros(capacity, np.bool_)

    def write(self, at: int, pcm: NDArray[np.float32]) -> None:
        """Put mono float32 in [-1, 1], shape (n,), at timeline sample `at`; newer audio wins over older."""
        if self._begins_at is None and len(pcm):
            self._begins_at = at
        first = min(max(self.position - at, 0), len(pcm))
        last = max(min(self.position + self.capacity - at, len(pcm)), first)
        self.dropped_samples += len(pcm) - (last - first)
        where = np.arange(at + first, at + last) % self.capacity
        self._data[where] = pcm[first:last]
        self._filled[where] = True

    def stand_in(self, at: int, end: int) -> None:
        """Silence from timeline sample `at` to `end` is no hole, where nothing was or will be written."""
        first, last = max(at, self.position), min(end, self.position + self.capacity)
        if first < last:
            self._filled[np.arange(first, last) % self.capacity] = True

    def read(self, length: int) -> tuple[NDArray[np.float32], int]:
        """The next `length` samples, and how many of them are silence although the source was running."""
        end = self.position + length
        where = np.arange(self.position, end) % self.capacity
        pcm, missing = self._data[where], 0
        if self._begins_at is not None:
            until = end if self.ends_at is None else min(end, self.ends_at)
            wanted = max(until - max(self.position, self._begins_at), 0)
            missing = max(wanted - int(np.count_nonzero(self._filled[where])), 0)
        self._data[where] = 0.0
        self._filled[where] = False
        self.position = end
        return pcm, missing

    def is_quiet(self, length: int) -> bool:
        """Whether nothing can be heard in the next `length` samples, as far as they have come."""
        pcm = self._data[np.arange(self.position, self.position + length) % self.capacity]
        return float(np.mean(pcm**2)) < QUIET_POWER

    def skip_to(self, position: int) -> None:
        """Give up everything before `position`."""
        if position - self.position < self.capacity:
            self.read(max(position - self.position, 0))
        else:  # everything that is kept
            self._data[:], self._filled[:], self.position = 0.0, False, position


class FrameQueue:
    """Frames on their way to the track, oldest first. When full, the oldest is dropped and counted."""

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._queue: asyncio.Queue[DueFrame] = asyncio.Queue(capacity)

    def put(self, frame: DueFrame) -> None:
        """Never waits; event loop only."""
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(frame)

    async def get(self, timeout_s: float) -> DueFrame | None:
        """The oldest frame, or None when none has come within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._queue.get()
        except TimeoutError:
            return None
