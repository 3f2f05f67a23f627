"""When each decoded picture of a film is shown, whatever its container says of that, or does not."""

from __future__ import annotations

from typing import Any

# Its stamps are of packets: where pictures are coded in another order, they are another picture's. Those of decoding
# are in order, and late by as many pictures as are coded ahead.
_STAMPS_OF_PACKETS = ("avi",)


class PictureClock:
    """One pass over a film's frames, in the order in which they are decoded, which is that in which they are shown."""

    def __init__(self, track: Any, step_s: float) -> None:
        """Args: track: a `VideoStream`. step_s: from one picture to the next, where the container does not say."""
        self._by_decoding = track.container.format.name in _STAMPS_OF_PACKETS
        self._track = track
        self._step_s = step_s
        self._last_s: float | None = None
        self._first_s = 0.0  # as it is stamped
        self.starts_s = 0.0  # the first picture, on the axis that it has in common with the sound

    def shown_s(self, frame: Any) -> float:
        """Of the next frame, in s after the first one; never before the one before it."""
        stamp = frame.dts if self._by_decoding else frame.pts
        stamped_s = None if stamp is None else float(stamp * frame.time_base)
        if self._last_s is None:
            begun_s = float((self._track.start_time or 0) * self._track.time_base)
            self._first_s = begun_s if stamped_s is None else stamped_s
            self.starts_s = begun_s if self._by_decoding else self._first_s
            self._last_s = 0.0
        elif stamped_s is None:
            self._last_s += self._step_s
        else:
            self._last_s = max(self._last_s, stamped_s - self._first_s)  # one that goes back is damaged
        return self._last_s
