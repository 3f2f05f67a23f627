"""Where a session's voice comes from: a caller's microphone or a file, as counted samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ

RATIO = PLAYBACK_HZ // ENGINE_HZ  # sample i of what the engine hears is sample RATIO * i of what is played back

Pcm = NDArray[np.float32]


@dataclass(frozen=True)
class AudioChunk:
    """The next samples of a source, mono float32 in [-1, 1], at both rates.

    Each rate continues where the previous chunk ended, or later: what lies between was not sent, or was lost. The
    16 kHz side may lag by a resampler's delay.
    """

    voice_start: int  # index of voice[0], counted at PLAYBACK_HZ
    voice: Pcm  # (n,)
    engine_start: int  # index of engine[0], counted at ENGINE_HZ
    engine: Pcm  # (m,), n / 3 give or take that delay
    came_s: float | None = None  # when its last sample reached this machine, where known; on the session's axis of time
    pause: int = 0  # samples at PLAYBACK_HZ before voice[0] in which nothing was sent: silence, not a hole

    @property
    def voice_end(self) -> int:
        return self.voice_start + len(self.voice)


class AudioSource(Protocol):
    """Delivers a voice in real time, in chunks of at most 100 ms, on the event loop."""

    async def read(self) -> AudioChunk | None:
        """The next chunk when it has come; None when there will be no more, also after `close`."""

    def close(self) -> None:
        """Let go of the device or file, without waiting for it; safe to call twice."""

    async def wait_closed(self) -> None:
        """After `close`: return when device or file has been let go of, or will not be in any time worth waiting."""
