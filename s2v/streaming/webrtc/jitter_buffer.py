"""The jitter buffer for voice: every packet comes out as soon as it is there, which aiortc's own has no option for."""

from __future__ import annotations

from collections.abc import Callable

from s2v.streaming.sources.peer import Arrival
from s2v.streaming.webrtc.aiortc_internals import JitterFrame, RtpPacket

RESTART = 100  # packets; a longer step back is a new count, not an old packet
REMEMBERED = 64  # packets whose arrival is kept until they are decoded
RTP_WRAP = 1 << 32
SEQUENCE_WRAP = 1 << 16


class InOrderJitterBuffer:
    """Audio: every packet is a frame; it comes out at once, or never when a newer one has.

    aiortc's buffer keeps four packets back (80 ms) and, after one is lost, sixteen, for the rest of the call.
    Sessions need neither: their clock evens out when packets come, and a gap in the stamps becomes silence.
    Packets without a payload, with which a peer on hold keeps its way open (RFC 6263), are counted only: to a decoder
    they would be the end. Fills `aiortc_internals.PacketBuffer` and `PacketArrivals`.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.late = 0  # packets that came after a newer one
        self._now = now
        self._newest: int | None = None
        self._missing = 0  # packets that others overtook or that were lost, since the last one that came out
        self._first_stamp: int | None = None
        self._arrivals: dict[int, Arrival] = {}

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        behind = 0 if self._newest is None else (self._newest - packet.sequence_number) % SEQUENCE_WRAP
        if self._newest is not None and behind < RESTART:  # 0: the same packet twice
            self.late += 1
            return False, None
        if self._newest is not None and behind > SEQUENCE_WRAP // 2:
            self._missing += SEQUENCE_WRAP - behind - 1
        self._newest = packet.sequence_number
        if not packet.payload:
            return False, None
        self._remember(packet.timestamp)
        return False, JitterFrame(data=packet.payload, timestamp=packet.timestamp)

    def arrival(self, pts: int) -> Arrival | None:
        """Of the packet that was decoded to a frame with this pts, on `now`'s axis; asked once."""
        return self._arrivals.pop(pts % RTP_WRAP, None)

    def _remember(self, stamp: int) -> None:
        if self._first_stamp is None:
            self._first_stamp = stamp  # aiortc counts from it
        self._arrivals[(stamp - self._first_stamp) % RTP_WRAP] = Arrival(self._now(), self._missing)
        self._missing = 0
        while len(self._arrivals) > REMEMBERED:
            del self._arrivals[next(iter(self._arrivals))]
