"""One clock per session: when a sample of the source is heard, and its picture seen."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

GRID_SAMPLES = 320  # voice packets of 20 ms at 16 kHz start on this grid; the source is placed on it once
WINDOW_S = 1.0  # the best arrival of this long says how early audio comes; the rest is jitter
STALL_S = 0.5  # no arrival in time for this long is a stall, not jitter
EXCESS_S = 0.5  # held back this much longer than wanted: catch up at once, slewing would take minutes
SETTLE_S = 0.04  # the same, once, half a second after the start, when the first packet had come late
SLEW_TIME_S = 5.0  # what is missing is worked off over about this long ...
CATCH_UP_TIME_S = 1.0  # ... and what is too much over this long, where nobody hears it
COAST_AFTER_S = 0.5  # without an arrival: there is nothing to run after
MAX_SLEW = 0.01  # slower, at most: far above any crystal (200 ppm); players stretch that much without being heard
MAX_CATCH_UP = 0.04  # faster, at most, in speech; a change of 5 % is just noticed (Quené 2007, J. Phonetics 35)
MAX_CATCH_UP_QUIET = 0.25  # in a pause there is nothing to hear: players shorten it without a trace


class MediaClock:
    """Maps a timeline of 16 kHz samples to moments, and the samples of a source to the timeline.

    The timeline starts at 0 with the session and never jumps: both tracks release position p at `time_of(p)`
    and stamp it p, so they cannot part. It runs at the speed of the arriving audio: its rate is bent, by at most
    `MAX_SLEW` or `MAX_CATCH_UP` (`MAX_CATCH_UP_QUIET` in a pause), until the newest sample that has come is due one
    playout delay from now. Players keep the pitch. A source sample s lies at s + offset; the offset is chosen at the
    first arrival and again only after a real stall.

    Used on the event loop only, but for `now`. Whoever belongs to the session, its threads too, reads time from here;
    with another `now` and `sleep`, hours pass in a moment under test.
    """

    def __init__(
        self,
        playout_delay_s: float,
        rate_hz: int = 16_000,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.playout_delay_s = playout_delay_s
        self.rate_hz = rate_hz
        self.stalls = 0  # how often the offset had to be chosen anew
        self.quiet = False  # what is heard next is a pause
        self.actual_delay_s = playout_delay_s  # how long the earliest audio of the last second really waits
        self.now = now
        self.sleep = sleep
        self._anchor_s = now()
        self._anchor_position = 0.0
        self._speed = 1.0  # timeline seconds per monotonic second
        self._offset: int | None = None
        self._settled = False
        self._arrivals: deque[tuple[float, int]] = deque()  # (moment, its newest sample) of the last second

    def position(self) -> float:
        """The timeline sample that is due now."""
        return self._position_at(self.now())

    def time_of(self, position: float) -> float:
        """The moment, on `now`'s axis in seconds, at which `position` is due."""
        return self._anchor_s + (position - self._anchor_position) / (self.rate_hz * self._speed)

    def until(self, position: float) -> float:
        """Seconds until `position` is due; negative when that has passed."""
        return self.time_of(position) - self.now()

    async def sleep_until(self, position: float, lead_s: float = 0.0) -> None:
        """Return `lead_s` before `position` is due; at once when that has passed."""
        while (wait_s := self.until(position) - lead_s) > 0:
            await self.sleep(wait_s)

    def arrived(self, end_sample: int) -> int:
        """Tell that the source's samples before `end_sample` have just arrived.

        Returns: the offset in samples that takes these source samples to the timeline.
        """
        now = self.now()
        if self._offset is None:
            return self._place(end_sample, now)
        self._arrivals.append((now, end_sample))
        while self._arrivals[0][0] < now - WINDOW_S:
            self._arrivals.popleft()
        if now - self._arrivals[0][0] < STALL_S:
            return self._offset  # too little seen to tell jitter from a trend
        # of audio that would come now and had been on its way as long as the quickest: what was bent since is known
        ahead_s = max(end / self.rate_hz - came_s for came_s, end in self._arrivals) + now
        best_s = ahead_s + (self._offset - self._position_at(now)) / self.rate_hz
        self.actual_delay_s = best_s
        excess_s = EXCESS_S if self._settled else SETTLE_S
        if not 0.0 <= best_s <= self.playout_delay_s + excess_s:
            self.stalls += self._settled
            return self._place(end_sample, now)
        self._settled = True
        self._bend(now, best_s - self.playout_delay_s)
        return self._offset

    def coast(self) -> None:
        """No audio comes: after a while run at this machine's own speed, and not on towards where the last was due."""
        now = self.now()
        if self._speed != 1.0 and (not self._arrivals or now - self._arrivals[-1][0] > COAST_AFTER_S):
            self._bend(now, 0.0)

    def due_of(self, source_sample: int) -> float:
        """The timeline position at which a sample of the source is released; now, before any has arrived."""
        return self.position() if self._offset is None else float(source_sample + self._offset)

    def grow_playout_delay(self, extra_s: float) -> None:
        """Hold everything that is still to come back by `extra_s` more: the machine draws slower than hoped."""
        self.playout_delay_s += extra_s
        if self._offset is not None:
            extra = self._on_grid(extra_s * self.rate_hz)
            self._offset += extra
            self.actual_delay_s += extra / self.rate_hz
            self._arrivals.clear()

    def _position_at(self, now: float) -> float:
        return self._anchor_position + (now - self._anchor_s) * self.rate_hz * self._speed

    def _place(self, end_sample: int, now: float) -> int:
        """Choose the offset so that the newest sample is due one playout delay from now."""
        self._offset = self._on_grid(self._position_at(now) + self.playout_delay_s * self.rate_hz - end_sample)
        self._arrivals.clear()
        self.actual_delay_s = (end_sample + self._offset - self._position_at(now)) / self.rate_hz
        return self._offset

    def _bend(self, now: float, error_s: float) -> None:
        """Run faster when audio waits longer than the playout delay, slower when it waits less."""
        self._anchor_position, self._anchor_s = self._position_at(now), now
        most = MAX_CATCH_UP_QUIET if self.quiet else MAX_CATCH_UP
        self._speed = 1.0 + (
            min(most, error_s / CATCH_UP_TIME_S) if error_s > 0 else max(-MAX_SLEW, error_s / SLEW_TIME_S)
        )

    @staticmethod
    def _on_grid(samples: float) -> int:
        return math.ceil(samples / GRID_SAMPLES) * GRID_SAMPLES
