"""One stream to many subscribers: each has its own short queue, so that none waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ

WAITING_FRAMES = 2
WAITING_PACKETS = 5  # 100 ms


class Published(Protocol):
    """What is handed round: read only, and never an av frame, because aiortc's encoders write into theirs
    (a keyframe for one subscriber would become one for all)."""

    def frame(self) -> AudioFrame | VideoFrame:
        """A frame of the subscriber's own, with the stamp of the original."""


@dataclass(frozen=True)
class PublishedFrame:
    pts: int  # at ENGINE_HZ
    yuv420p: NDArray[np.uint8]  # (h * 3 / 2, w)

    @classmethod
    def of(cls, frame: VideoFrame) -> PublishedFrame:
        assert frame.pts is not None and frame.time_base == Fraction(1, ENGINE_HZ)
        return cls(frame.pts, np.asarray(frame.reformat(format="yuv420p").to_ndarray(), np.uint8))

    def frame(self) -> VideoFrame:
        frame = VideoFrame.from_ndarray(self.yuv420p, format="yuv420p")
        frame.pts, frame.time_base = self.pts, Fraction(1, ENGINE_HZ)
        return frame


@dataclass(frozen=True)
class PublishedPacket:
    pts: int  # at PLAYBACK_HZ
    s16: NDArray[np.int16]  # (1, 2 n), the two sides of `voice_frame` in turn

    @classmethod
    def of(cls, frame: AudioFrame) -> PublishedPacket:
        assert frame.pts is not None and frame.sample_rate == PLAYBACK_HZ
        return cls(frame.pts, np.asarray(frame.to_ndarray(), np.int16))

    def frame(self) -> AudioFrame:
        frame = AudioFrame.from_ndarray(self.s16, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = PLAYBACK_HZ, self.pts, Fraction(1, PLAYBACK_HZ)
        return frame


T = TypeVar("T", bound=Published)


class SubscriberQueue(Generic[T]):
    """One subscriber's place: when its queue is full, the oldest is dropped and counted."""

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=capacity)
        self._changed = asyncio.Event()
        self._over = False

    def put(self, item: T) -> None:
        self.dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._changed.set()

    def end(self) -> None:
        self._over = True
        self._changed.set()

    async def get(self) -> T | None:
        """The oldest that waits, or the next to come; None when there will be no more."""
        while not self._items and not self._over:
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft() if self._items else None


class Publisher(Generic[T]):
    """Hands each item to every subscriber of that moment. Event loop only; nothing here ever waits."""

    def __init__(self) -> None:
        self._queues: set[SubscriberQueue[T]] = set()
        self._over = False

    def __len__(self) -> int:
        return len(self._queues)

    def join(self, capacity: int) -> SubscriberQueue[T]:
        queue: SubscriberQueue[T] = SubscriberQueue(capacity)
        if self._over:
            queue.end()
        else:
            self._queues.add(queue)
        return queue

    def leave(self, queue: SubscriberQueue[T]) -> None:
        self._queues.discard(queue)
        queue.end()

    def put(self, item: T) -> None:
        for queue in self._queues:
            queue.put(item)

    def end(self) -> None:
        """No more will come: everybody is told, also whoever joins later."""
        self._over = True
        for queue in list(self._queues):
            self.leave(queue)


class SubscriberTrack(MediaStreamTrack, Generic[T]):
    """A subscriber's copy of a track, which joins when it is first asked for a frame: what came before is past."""

    def __init__(
        self,
        kind: str,
        publisher: Publisher[T],
        capacity: int,
        now: Callable[[], float],
        on_encoded: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`on_encoded` is told how many seconds the connection was busy with each frame."""
        super().__init__()
        self.kind = kind
        self.sent = 0
        self._publisher = publisher
        self._capacity = capacity
        self._now = now
        self._on_encoded = on_encoded
        self._queue: SubscriberQueue[T] | None = None
        self._handed_s: float | None = None

    @property
    def dropped(self) -> int:
        return self._queue.dropped if self._queue else 0

    async def recv(self) -> AudioFrame | VideoFrame:
        if self._handed_s is not None:
            self._on_encoded(self._now() - self._handed_s)
            self._handed_s = None
        if self.readyState != "live":
            raise MediaStreamError
        if self._queue is None:
            self._queue = self._publisher.join(self._capacity)
        item = await self._queue.get()
        if item is None or self.readyState != "live":
            raise MediaStreamError
        self.sent += 1
        self._handed_s = self._now()
        return item.frame()

    def stop(self) -> None:
        super().stop()
        if self._queue is not None:
            self._publisher.leave(self._queue)
