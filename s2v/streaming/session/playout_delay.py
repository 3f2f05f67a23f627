"""How long a session must hold voice and face back: as long as its frames and packets really take, not longer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

FRAMES = 250  # ten seconds at 25 fps
PACKETS = 500  # ten seconds of 20 ms packets
SEEN_ENOUGH = 100  # frames before anything is said
FRAMES_IN_TIME = 0.95  # the others are shown up to a frame late, or dropped
PACKETS_IN_TIME = 0.99  # a packet too late is a hole in the voice
LASTING_S = 2.0  # one hiccup costs frames, not delay
FEWEST_LASTING = 4  # frames in that time; a slow machine draws few, and must still find out that they are late
LASTING_SHARE = 0.75
RESERVE_S = 0.008
STEP_DOWN_S, STEP_UP_S = 0.01, 0.02  # a second, at most: an hour is long ...
STEP_DOWN_SHARE = 0.1  # ... but what a hiccup has added goes within some twenty seconds: this share of it a second


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
        needed = max(_within(self._frames, FRAMES_IN_TIME), _within(self._packets, PACKETS_IN_TIME))
        return min(max(needed + RESERVE_S, self.lowest_s), self.highest_s)

    def lasting_s(self, frames: int) -> float:
        """What most of the newest `frames`, those of the last `LASTING_S`, needed; 0 where these are too few."""
        if not FEWEST_LASTING <= frames <= len(self._frames):
            return 0.0
        return _within(list(self._frames)[-frames:], LASTING_SHARE) + RESERVE_S

    def next(self, current_s: float) -> float:
        """The playout delay for the next second."""
        wanted = self.wanted_s()
        if wanted is None:
            return current_s
        lowest = -max(STEP_DOWN_S, STEP_DOWN_SHARE * (current_s - wanted))
        return current_s + min(max(wanted - current_s, lowest), STEP_UP_S)


def _within(values: Sequence[float] | deque[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
