"""Stand-ins that fill the same protocols as the real parts, for tests of the streaming room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Self

import numpy as np
from av import Packet
from av.frame import Frame
from fakes import drawn_face
from numpy.typing import NDArray
from streaming.virtual_time import VirtualTime

from s2v.engine.avatar import Avatar
from s2v.engine.behaviour.mood import Mood
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.lipsync import DrawnFrame, Engine
from s2v.media.audio_file import AudioClip
from s2v.spec import LipSyncSpec
from s2v.streaming.session.clock import MediaClock
from s2v.streaming.session.session import MARGIN_S, Session, SessionMonitor
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioChunk, AudioSource

SIDE_PX = 128


def still() -> NDArray[np.uint8]:
    """A grey picture with a face-coloured disc; the mouth of `FakeEngine` is drawn into it."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    picture = np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)
    picture[rows**2 + columns**2 < (0.45 * SIDE_PX) ** 2] = (140, 170, 210)
    return picture


MOUTH = np.s_[round(0.62 * SIDE_PX) : round(0.78 * SIDE_PX), round(0.36 * SIDE_PX) : round(0.64 * SIDE_PX)]


class FakeEngine:
    """Draws a mouth as bright as the voice is loud, when the real engine would; counts what happens to it."""

    backend_name = "fake"
    frame_size = (SIDE_PX, SIDE_PX)

    def __init__(self, before_push: Callable[[], object] = lambda: None) -> None:
        self.spec = LipSyncSpec()
        self.articulation = 1.0
        self.liveliness = 1.0
        self.articulations: list[float] = []  # of the frames drawn, in order ...
        self.livelinesses: list[float] = []  # ... and so are these
        self.heard = np.zeros(0, np.float32)
        self.said_to_it = np.zeros(0, np.float32)  # as long; silence where nobody spoke to it ...
        self.alone = 0  # ... as was so for that many samples
        self.closed = 0
        self._drawn = 0
        self._before_push = before_push

    def push(self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None) -> list[DrawnFrame]:
        self._before_push()
        self.heard = np.concatenate([self.heard, pcm])
        self.said_to_it = np.concatenate([self.said_to_it, np.zeros_like(pcm) if heard is None else heard])
        assert len(self.said_to_it) == len(self.heard)
        self.alone += len(pcm) if heard is None else 0
        frames = []
        while self.spec.ready_at(self._drawn) <= len(self.heard):
            frames.append(self._draw())
        return frames

    def flush(self) -> list[DrawnFrame]:
        return [self._draw() for _ in range(self._drawn, self.spec.frame_count(len(self.heard)))]

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _draw(self) -> DrawnFrame:
        centre = self.spec.frame_centre(self._drawn)
        around = self.heard[max(centre - 320, 0) : centre + 320]
        loudness = float(np.sqrt(np.mean(around**2))) if len(around) else 0.0
        picture = still()
        picture[MOUTH] = min(255, round(1500 * loudness))
        self._drawn += 1
        self.articulations.append(self.articulation)
        self.livelinesses.append(self.liveliness)
        return DrawnFrame(self._drawn - 1, centre, picture)


def fake_avatar(
    make_engine: Callable[[], Engine] = FakeEngine,
    picture: NDArray[np.uint8] | None = None,
    asked: list[PixelFormat] | None = None,
    moods: list[Mood | None] | None = None,
) -> Avatar:
    """An avatar with these engines, whatever its face: they draw `still()`, and so does it if no picture is given.

    Args: asked, moods: get what each of its engines was asked for.
    """
    shown = still() if picture is None else picture

    def open_engine(pixels: PixelFormat, mood: Mood | None) -> Engine:
        if asked is not None:
            asked.append(pixels)
        if moods is not None:
            moods.append(mood)
        return make_engine()

    return Avatar(replace(_face(), photo=shown), open_engine, lambda: shown)


@cache
def _face() -> EnrolledFace:
    return drawn_face(LipSyncSpec(), (SIDE_PX, SIDE_PX))


class ListSource:
    """Delivers the given chunks at once, then ends."""

    def __init__(self, chunks: list[AudioChunk]) -> None:
        self._chunks = chunks
        self.closed = False

    async def read(self) -> AudioChunk | None:
        return self._chunks.pop(0) if self._chunks and not self.closed else None

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        pass


def tone(seconds: float, hz: float = 220.0, rate_hz: int = 48_000, level: float = 0.3) -> NDArray[np.float32]:
    """A sine, float32, shape (n,)."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def tone_clip(seconds: float, hz: float = 220.0) -> AudioClip:
    n = round(seconds * 16_000)
    return AudioClip(tone(seconds, hz)[: 3 * n], tone(seconds, hz, 16_000)[:n])


def session_of(
    voice: AudioClip | AudioSource,
    make_engine: Callable[[], FakeEngine],
    time: VirtualTime,
    margin_s: float = MARGIN_S,
    monitor: SessionMonitor | None = None,
    moves: bool = True,
) -> Session:
    """A session that lives in virtual time, and so does the clip it plays."""
    source = FileSource(voice, now=time.now) if isinstance(voice, AudioClip) else voice
    return Session(source, make_engine, still(), margin_s, MediaClock(margin_s, now=time.now), monitor, moves)


def stamp_of(frame: Frame | Packet[Any]) -> int:
    """The stamp that a track has put on what it sends."""
    assert frame.pts is not None
    return frame.pts
