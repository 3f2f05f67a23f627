"""This machine's own microphone as a source: time goes on whatever happens to the device."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import av
import numpy as np
from numpy.typing import NDArray

from s2v.media.audio_file import PLAYBACK_HZ
from s2v.streaming.sources.microphone_capture import Block, MicrophoneCapture
from s2v.streaming.sources.portaudio import AudioSystem, Capability, Microphone, list_microphones, open_audio_system
from s2v.streaming.sources.resampler import VoiceResampler
from s2v.streaming.sources.source import AudioChunk

log = logging.getLogger(__name__)

__all__ = ["Microphone", "MicrophoneSource", "list_microphones"]

SILENT_AFTER_S = 0.1  # ten blocks are missing: fill with silence from here on
FILL_EVERY_S = 0.02
LATE_S = 0.04  # what comes later than this, after silence stood in for it, is not heard twice as time
LET_GO_WITHIN_S = 5.0  # a driver may hang; the process must end all the same


class MicrophoneSource:
    """The microphone called `wanted` (see `choose_microphone`), from the first `read` to `close`.

    While the device is away or stutters, silence takes its place in real time, so that the count of samples goes
    on; it is opened again, by its name, as soon as it is back.
    """

    def __init__(
        self,
        wanted: str = "",
        make_system: Callable[[], AudioSystem] = open_audio_system,
        let_go_within_s: float = LET_GO_WITHIN_S,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """`now` must be on the axis of the session's clock; `wait` is how the device's thread waits."""
        self.filled_s = 0.0  # silence that stood in for the device
        self.late_samples = 0  # came after silence had taken their place
        self._wanted = wanted
        self._make_system = make_system
        self._let_go_within_s = let_go_within_s
        self._now = now
        self._wait = wait
        self._capture: MicrophoneCapture | None = None
        self._resampler = VoiceResampler()
        self._shape = Capability(PLAYBACK_HZ, 1)
        self._opening = 0
        self._stamp = 0  # of the next block of this opening
        self._until_s = 0.0  # the moment up to which samples have been delivered
        self._debt_s = 0.0  # filled with silence, and the device may still deliver it
        self._arrived = asyncio.Event()
        self._closed = False

    @property
    def overflows(self) -> int:
        """How often samples were lost because this machine was too slow."""
        return self._capture.overflows if self._capture else 0

    async def read(self) -> AudioChunk | None:
        """Raises: StreamError, the device cannot be opened the first time."""
        if self._capture is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._until_s = self._now()
            self._capture = MicrophoneCapture(
                self._wanted, self._make_system, lambda: _wake(loop, self._arrived), self._now, self._wait
            )
        while not self._closed and self._capture is not None:
            self._arrived.clear()
            if block := self._capture.take():
                if chunk := self._deliver(block):
                    return chunk
                continue
            if self._capture.failure:
                raise self._capture.failure
            timeout_s = FILL_EVERY_S if self._debt_s else SILENT_AFTER_S
            wait_s = self._until_s + timeout_s - self._now()
            if wait_s <= 0:
                return self._fill()
            try:
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                continue
        return None

    def close(self) -> None:
        """Have the device closed by its thread, without waiting; safe to call twice."""
        self._closed = True
        self._arrived.set()
        self._resampler.close()
        if self._capture is not None:
            self._capture.stop()

    async def wait_closed(self) -> None:
        """After `close`: join the device's thread; a driver that hangs is left behind after some seconds."""
        if self._capture is None:
            return
        try:
            async with asyncio.timeout(self._let_go_within_s):
                while not self._capture.over:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            log.warning("the microphone's driver does not let go of it")
        else:
            self._capture.join()

    def stats(self) -> dict[str, float]:
        return {
            "connected": bool(self._capture and self._capture.connected),
            "openings": self._capture.openings if self._capture else 0,
            "overflows": self.overflows,
            "filled_ms": round(1000 * self.filled_s),
        }

    def _deliver(self, block: Block) -> AudioChunk | None:
        """The block as a chunk; None when its moment has passed."""
        rate_hz, length_s = block.capability.rate_hz, block.length / block.capability.rate_hz
        if block.opening != self._opening:
            self._opening, self._stamp, self._debt_s = block.opening, block.stamp, 0.0
            self._shape = block.capability
        lost, self._stamp = block.stamp - self._stamp, block.stamp + block.length
        if self._debt_s > 0:
            if block.came_s + LATE_S < self._until_s + length_s:  # part of what silence stood in for: a burst
                self._debt_s = max(self._debt_s - length_s, 0.0)
                self.late_samples += block.length
                return None
            self._debt_s = max(self._debt_s - length_s, 0.0)
            self._until_s += length_s
            lost = 0  # that time has been filled already
        else:
            self._until_s = block.came_s  # the device's own clock counts; ours only tells that it still runs
        self.filled_s += lost / rate_hz
        data = np.frombuffer(block.data, np.int16)
        return self._chunk(np.concatenate([np.zeros(lost * self._shape.channels, np.int16), data]), block.came_s)

    def _fill(self) -> AudioChunk:
        missing = round((self._now() - self._until_s) * self._shape.rate_hz)
        seconds = missing / self._shape.rate_hz
        self._until_s += seconds
        self._debt_s += seconds
        self.filled_s += seconds
        return self._chunk(np.zeros(missing * self._shape.channels, np.int16), self._until_s)

    def _chunk(self, interleaved: NDArray[np.int16], came_s: float) -> AudioChunk:
        layout = "mono" if self._shape.channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(interleaved[None, :], format="s16", layout=layout)
        frame.sample_rate = self._shape.rate_hz
        return replace(self._resampler.push(frame), came_s=came_s)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:  # the loop has closed meanwhile
        return
