"""A sound device held open by a thread of its own, through unplugging and back."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from s2v.errors import StreamError
from s2v.streaming.sources.portaudio import (
    CONTINUE,
    INPUT_OVERFLOW,
    INT16,
    AudioSystem,
    Capability,
    Microphone,
    best_capability,
    choose_microphone,
    microphones_of,
)

log = logging.getLogger(__name__)

BLOCKS_PER_S = 100  # 10 ms each
MAX_WAITING_BLOCKS = 50  # half a second: whoever is later than that loses the oldest, counted
CHECK_EVERY_S = 0.2
GONE_AFTER_S = 3.0  # a device that says nothing for so long has gone, whatever it claims; some wake up in 2 s
REOPEN_EVERY_S = 1.0


class Block(NamedTuple):
    """What the device gave at once."""

    opening: int  # which opening of the device it is from, counted from 1
    capability: Capability
    stamp: int  # samples per channel before it, since that opening
    length: int  # samples per channel
    data: bytes  # 16-bit, interleaved
    came_s: float  # on the axis of `now`


class MicrophoneCapture:
    """Opens the device, and again whenever it has gone; its blocks wait in a bounded queue.

    `notify` is called from PortAudio's thread when a block has come, and from ours when it is `over`: after `stop`,
    or because the first opening failed (see `failure`). Later failures are only logged: the device may come back.
    """

    def __init__(
        self,
        wanted: str,
        make_system: Callable[[], AudioSystem],
        notify: Callable[[], None],
        now: Callable[[], float],
        wait: Callable[[threading.Event, float], bool],
    ) -> None:
        """`now` and `wait`, which is `Event.wait`, are called from our thread, `now` also from PortAudio's."""
        self.openings = 0
        self.overflows = 0  # times that samples were lost, by the system or because nobody took them
        self.failure: StreamError | None = None
        self.connected = False
        self.over = False  # the device has been let go of, for good
        self._wanted = wanted
        self._make_system = make_system
        self._notify = notify
        self._now = now
        self._wait = wait
        self._blocks: deque[Block] = deque(maxlen=MAX_WAITING_BLOCKS)
        self._heard_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="s2v-microphone", daemon=True)
        self._thread.start()

    def take(self) -> Block | None:
        """The oldest block that waits."""
        try:
            return self._blocks.popleft()
        except IndexError:
            return None

    def stop(self) -> None:
        """Have the device closed, without waiting for its driver; safe to call twice."""
        self._stopping.set()

    def join(self) -> None:
        """Once it is `over`: join the thread, which has nothing left to do."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._keep()
        finally:
            self.over = True
            self._notify()

    def _keep(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                self._capture_once()
                if self._stopping.is_set():
                    return
                told = False
                log.warning("the microphone has gone: silence until it is back")
            except (StreamError, OSError) as error:
                if self.openings == 0:
                    self.failure = error if isinstance(error, StreamError) else _refused(error)
                    return
                if not told:
                    log.info("the microphone is not back yet (%s)", error)
                told = True
            self._wait(self._stopping, REOPEN_EVERY_S)

    def _capture_once(self) -> None:
        """Open the device and keep it until it has gone or `stop` is called.

        A new PortAudio each time: an old one does not see what was plugged in after it started.
        """
        system = self._make_system()
        try:
            microphone = choose_microphone(microphones_of(system), self._wanted)
            self._hold(system, microphone)
        finally:
            self.connected = False
            system.terminate()

    def _hold(self, system: AudioSystem, microphone: Microphone) -> None:
        capability = best_capability(system, microphone)
        self._heard_s = self._now()
        stream = system.open(
            capability.rate_hz,
            capability.channels,
            INT16,
            input=True,
            input_device_index=microphone.index,
            frames_per_buffer=capability.rate_hz // BLOCKS_PER_S,
            stream_callback=self._callback(self.openings + 1, capability),
        )
        self.openings += 1
        self.connected = True
        if self._wanted:
            self._wanted = microphone.name  # its index may be another's when it comes back
        log.info(
            "listening to microphone %r, %d Hz, %d channel%s",
            microphone.name, capability.rate_hz, capability.channels, "s" * (capability.channels > 1),
        )  # fmt: skip
        try:
            while not self._wait(self._stopping, CHECK_EVERY_S):
                if not stream.is_active() or self._now() - self._heard_s > GONE_AFTER_S:
                    return
        finally:
            stream.close()

    def _callback(
        self, opening: int, capability: Capability
    ) -> Callable[[bytes | None, int, Mapping[str, float], int], tuple[None, int]]:
        stamp = 0

        def on_block(data: bytes | None, length: int, _: Mapping[str, float], status: int) -> tuple[None, int]:
            """On PortAudio's own thread, which must not wait."""
            nonlocal stamp
            self._heard_s = self._now()
            self.overflows += bool(status & INPUT_OVERFLOW) + (len(self._blocks) == MAX_WAITING_BLOCKS)
            self._blocks.append(Block(opening, capability, stamp, length, data or b"", self._heard_s))
            stamp += length
            self._notify()
            return None, CONTINUE

        return on_block


def _refused(error: OSError) -> StreamError:
    return StreamError(
        f"the microphone cannot be opened ({error}): close the program that uses it, or choose another "
        "(`s2v live --list-mics` shows what there is)"
    )
