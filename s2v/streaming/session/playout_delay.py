"""How long a session must hold voice and face back: as long as its frames and packets really take, not longer."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import numpy as np

FRAMES = 250  # ten seconds at 25 fps
PACKETS = 500  # ten seconds of 20 ms packets
SEEN_ENOUGH = 100  # frames before anything is said
FRAMES_IN_TIME = 0.95  # the others are shown up to a frame late, or dropped
PACKETS_IN_TIME = 0.99  # a packet too late is a hole in the voice
HICCUP = 0.15  # of these ten seconds: the worst stretch of a second and a half costs frames and packets, not delay
LASTING_S = 2.0
FEWEST_LASTING = 4  # frames in that time; a slow machine draws few, and must still find out that they are late
LASTING_SHARE = 0.75
RESERVE_S = 0.008
STEP_DOWN_S, STEP_UP_S = 0.01, 0.02  # a second, at most: an hour is long ...
STEP_DOWN_SHARE = 0.8  # ... but what is far too much goes within five: this share of it a second


class PlayoutDelay:
    """Follows what was needed over the last ten seconds. A need does not depend on the delay while it arose."""

    def __init__(self) -> None:
        self.lowest_s = 0.0  # never less
        self.highest_s = float("inf")
        self._frames: deque[float] = deque(maxlen=FRAMES)
        self._packets: deque[float] = deque(maxlen=PACKETS)

    def frame_needed(self, seconds: float) -> None:
        """A frame would have been in time with everything held back by `seconds`."""
        self._frames.append(seconds)

    def packet_needed(self, seconds: float) -> None:
        """The same of a packet of voice."""
        self._packets.append(seconds)

    def wanted_s(self) -> float | None:
        """What would have done, with a little reserve; None before enough was seen."""
        if len(self._frames) < SEEN_ENOUGH or not self._packets:
            return None
        needed = max(_lasting(self._frames, FRAMES_IN_TIME), _lasting(self._packets, PACKETS_IN_TIME))
        return min(max(needed + RESERVE_S, self.lowest_s), self.highest_s)

    def lasting_s(self, frames: int) -> float:
        """What most of the newest `frames`, those of the last `LASTING_S`, needed; 0 where these are too few.

        In each half of that time: one hiccup is over before it can be answered.
        """
        if not FEWEST_LASTING <= frames <= len(self._frames):
            return 0.0
        newest = list(self._frames)[-frames:]
        halves = newest[: frames // 2], newest[frames // 2 :]
        return min(_within(half, LASTING_SHARE) for half in halves) + RESERVE_S

    def next(self, current_s: float) -> float:
        """The playout delay for the next second."""
        wanted = self.wanted_s()
        if wanted is None:
            return current_s
        lowest = -max(STEP_DOWN_S, STEP_DOWN_SHARE * (current_s - wanted))
        return current_s + min(max(wanted - current_s, lowest), STEP_UP_S)


def _within(values: Sequence[float], share: float) -> float:
    return sorted(values)[_place(len(values), share)]


def _place(count: int, share: float) -> int:
    return min(int(share * count), count - 1)


def _lasting(values: deque[float], share: float) -> float:
    """The least of `values` that `share` of all are within, not counting those beyond it in their worst stretch."""
    array = np.array(values)
    stretch = max(round(HICCUP * (values.maxlen or 0)), 1)
    excused_at_most = len(array) - 1 - _place(len(array), share)

    def does(value: float) -> bool:
        beyond = np.concatenate([[0], np.cumsum(array > value)])
        worst = (beyond[stretch:] - beyond[:-stretch]).max() if len(array) > stretch else beyond[-1]
        return bool(beyond[-1] - worst <= excused_at_most)

    ordered = sorted(values)
    return ordered[bisect_left(ordered, True, key=does)]
