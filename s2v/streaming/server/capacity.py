"""How many callers this machine carries, measured before the first one comes.

A session costs processor time for each frame: the network, the drawing, the VP8 encoder, and the packets of video
and voice. The first three are measured with the server's own face and model, the last is a constant that was measured
with real callers. Processor seconds are counted, not the clock's: a busy moment must not look like a slow machine. What
other programs use is taken off, and looked at again before a caller is refused for want of a place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from s2v.engine.avatar import CALL_PIXELS, Avatar
from s2v.machine import usable_cores
from s2v.media.audio_file import ENGINE_HZ
from s2v.streaming.server.machine_load import IdleCores
from s2v.streaming.session.tracks import video_frame
from s2v.streaming.webrtc.aiortc_internals import Vp8Encoder

log = logging.getLogger(__name__)

TRIAL_S = 1.0  # of speech, drawn and encoded; the first half only warms up
PACKETS_S = 0.004  # processor time a frame for Opus in and out, RTP, encryption and bookkeeping
RESERVE = 0.25  # of the machine, for whatever else it does and for what is not even
IN_TIME_S = 0.03  # behind their audio: little more than it takes to draw a frame
MOST = 200  # sessions: one event loop serves no more, however many cores there are


@dataclass(frozen=True)
class Capacity:
    """What one session costs here, and how many that makes."""

    draw_s: float  # processor time a frame: network and drawing
    encode_s: float  # VP8
    network_s: float  # time that the shared runtime is busy for a frame
    cores: float
    fps: int
    shared: bool = False  # all sessions show the same frames, drawn once
    busy_cores: float = 0.0  # kept busy by other programs while this was measured

    @property
    def sessions(self) -> int:
        """How many this machine carries beside what else it does now, 1 or more."""
        return self._sessions(self.busy_cores)

    def has_room(self, sessions: int, idle_cores: float | None, lag_s: float) -> bool:
        """Whether one more than these is carried, by how these are served now.

        Args:
            idle_cores: None: not known.
            lag_s: how far faces are behind their audio; 0: not known.
        """
        if sessions < self._sessions(busy_cores=0.0) and 0 < lag_s < IN_TIME_S:
            return True  # the others are busy with what gives way to us
        cost_s = self.encode_s + PACKETS_S + (0.0 if self.shared else self.draw_s)
        idle_s = 0.0 if idle_cores is None else (idle_cores - RESERVE * self.cores) / self.fps
        return sessions < min(self._by_runtime, MOST) and idle_s >= cost_s

    @property
    def _by_runtime(self) -> int:
        return MOST if self.shared else int((1 - RESERVE) / (max(self.network_s, 1e-6) * self.fps))

    def _sessions(self, busy_cores: float) -> int:
        cores = min((1 - RESERVE) * self.cores, self.cores - busy_cores)
        frame_s = cores / self.fps  # what there is for one frame of each
        send_s = self.encode_s + PACKETS_S
        if self.shared:
            return max(1, min(int((frame_s - self.draw_s) / send_s), MOST))
        return max(1, min(int(frame_s / (self.draw_s + send_s)), self._by_runtime, MOST))

    def __str__(self) -> str:
        callers = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        once = " once for all" if self.shared else ""
        beside = ""
        if self.sessions < self._sessions(busy_cores=0.0):
            beside = (
                f"; other programs keep {self.busy_cores:.1f} of them busy now, more callers are taken when they end"
            )
        return (
            f"{callers}: a frame takes {1e3 * self.draw_s:.1f} ms to draw{once}, "
            f"{1e3 * self.encode_s:.1f} ms to encode and {1e3 * PACKETS_S:.0f} ms to send, {self.fps} a second, "
            f"on {self.cores:g} cores with {RESERVE:.0%} kept free{beside}"
        )


class TimedRuntime(Protocol):
    """What all engines share: `RenderClient` or `BatchingBackend`."""

    @property
    def row_s(self) -> float: ...


def measure(
    avatar: Avatar,
    runtime: TimedRuntime,
    shared: bool = False,
    cpu_s: Callable[[], float] = time.process_time,
    idle: IdleCores | None = None,
) -> Capacity:
    """Draw and encode a second of noise, in a second.

    Args:
        shared: see `Capacity`.
        cpu_s: processor time so far, of this process and of those that draw for it.
    Raises: S2vError, the engine cannot be used.
    """
    encoder = Vp8Encoder()
    noise = np.random.default_rng(0).normal(0, 0.1, round(TRIAL_S * ENGINE_HZ)).astype(np.float32).clip(-1, 1)
    draw: list[float] = []
    encode: list[float] = []
    looked_s = looked_cpu_s = 0.0
    with avatar.engine(CALL_PIXELS) as engine:
        fps, first_s = engine.spec.fps, time.monotonic()
        idle = idle or IdleCores()
        for start in range(0, len(noise), ENGINE_HZ // fps):  # one frame a call, as in a call ...
            # ... and when it is due: one that rests in between finds its caches cold
            time.sleep(max(first_s + start / ENGINE_HZ - time.monotonic(), 0.0))
            began_s = cpu_s()
            frames = engine.push(noise[start : start + ENGINE_HZ // fps])
            if frames:
                draw.append((cpu_s() - began_s) / len(frames))
            if frames and len(draw) == 1:  # only now the time of those that draw for us is known
                idle.look()
                looked_s, looked_cpu_s = time.monotonic(), cpu_s()
            for frame in frames:
                began_s = time.process_time()
                encoder.encode(_video(frame.pixels, frame.index, fps))
                encode.append(time.process_time() - began_s)
        idle_cores = idle.look()
        own_cores = (cpu_s() - looked_cpu_s) / (time.monotonic() - looked_s)
    cores = usable_cores()
    busy_cores = 0.0
    if idle_cores is not None:  # others may use what a quota keeps from us
        busy_cores = max(cores - max(idle_cores + own_cores, 0.0), 0.0)
    half = len(encode) // 2
    draw_s, encode_s = (float(np.median(times[half:])) for times in (draw, encode))
    return Capacity(draw_s, encode_s, runtime.row_s, cores, fps, shared, busy_cores)


def _video(pixels: NDArray[np.uint8], index: int, fps: int) -> av.VideoFrame:
    frame = video_frame(pixels)
    frame.pts, frame.time_base = index, Fraction(1, fps)
    return frame
