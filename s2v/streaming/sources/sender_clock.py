"""How long a sender was silent before a packet. Silence is not lateness, and stamps alone do not tell them apart."""

from __future__ import annotations

from collections import deque

import av

from s2v.media.audio_file import PLAYBACK_HZ

RTP_WRAP = 1 << 32  # RTP stamps count modulo this
MAX_GAP_S = 5.0  # a longer jump of the stamps is not believed: two crystals part, and some senders count anew
PAUSE_S = 0.04  # nothing came for so much longer than a packet lasts: a pause, or something was held up on the way
LEAP_S = 0.1  # stamps that lead so far before the packets' arrival have leapt
WAYS = 50  # packets, of which the quickest says how long the way is


class SenderClock:
    """Counts a sender's samples at PLAYBACK_HZ, its pauses included, by its stamps and by when its packets come.

    Of a packet whose stamp agrees with its arrival, the stamp is exact: what lies between is silence or lost.
    Where they disagree by more than jitter, the sender has counted anew, or has not counted a pause (both may follow
    a mute): then the packet took as long to come as the quickest before it, so the delay is what it was.
    """

    def __init__(self) -> None:
        self.jumps = 0  # of the stamps, that were not believed
        self._next_stamp: int | None = None  # in the sender's samples, modulo RTP_WRAP
        self._rate_hz = 0
        self._count = 0  # at PLAYBACK_HZ
        self._came_s: float | None = None  # the newest packet
        self._ways: deque[float] = deque(maxlen=WAYS)  # arrival minus end of the packet, each on an axis of its own

    def is_behind(self, stamp: int, frame: av.AudioFrame, came_s: float) -> bool:
        """Whether nothing came for a while, and the stamp does not say that there was nothing to say."""
        if self._came_s is None or came_s - self._came_s < frame.samples / frame.sample_rate + PAUSE_S:
            return False
        gap = self._gap_by_stamp(stamp, frame)
        return gap is not None and gap < self._gap_by_arrival(frame, came_s) - PAUSE_S * PLAYBACK_HZ

    def silence_before(self, stamp: int, frame: av.AudioFrame, came_s: float | None, held_up: bool = False) -> int:
        """Samples at PLAYBACK_HZ between the last packet and this one, which is counted.

        Args: held_up: more packets came with it, so that it is late and its sender was not silent.
        """
        silence = self._silence(stamp, frame, came_s, held_up)
        self._next_stamp = (stamp + frame.samples) % RTP_WRAP
        self._rate_hz = frame.sample_rate
        self._count += silence + _length(frame)
        if came_s is not None:
            self._ways.append(came_s - self._count / PLAYBACK_HZ)
            self._came_s = came_s
        return silence

    def _silence(self, stamp: int, frame: av.AudioFrame, came_s: float | None, held_up: bool) -> int:
        gap = self._gap_by_stamp(stamp, frame)
        if came_s is None or not self._ways:
            return gap or 0
        by_arrival = self._gap_by_arrival(frame, came_s)
        if gap is None or (gap > 0 and gap > by_arrival + LEAP_S * PLAYBACK_HZ):
            self.jumps += 1
            return by_arrival
        return by_arrival if not held_up and self.is_behind(stamp, frame, came_s) else gap

    def _gap_by_stamp(self, stamp: int, frame: av.AudioFrame) -> int | None:
        """None: the stamp leapt, or counts in another rate than the last."""
        if self._next_stamp is None or (missing := (stamp - self._next_stamp) % RTP_WRAP) == 0:
            return 0
        if frame.sample_rate != self._rate_hz:
            return None
        if missing > MAX_GAP_S * frame.sample_rate:  # also every step back, which the modulus makes huge
            return None
        return round(missing * PLAYBACK_HZ / frame.sample_rate)

    def _gap_by_arrival(self, frame: av.AudioFrame, came_s: float) -> int:
        return max(round((came_s - min(self._ways)) * PLAYBACK_HZ) - self._count - _length(frame), 0)


def _length(frame: av.AudioFrame) -> int:
    return round(frame.samples * PLAYBACK_HZ / frame.sample_rate)
