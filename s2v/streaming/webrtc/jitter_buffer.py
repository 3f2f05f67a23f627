"""The jitter buffer for voice: every packet comes out as soon as it is there, which aiortc's own has no option for."""

from __future__ import annotations

from collections.abc import Callable

from s2v.streaming.webrtc.aiortc_internals import JitterFrame, RtpPacket

RESTART = 100  # packets; a longer step back is a new count, not an old packet
REMEMBERED = 64  # packets whose arrival is kept until they are decoded
RTP_WRAP = 1 << 32
SEQUENCE_WRAP = 1 << 16


class InOrderJitterBuffer:
    """Audio: every packet is a frame; it comes out at once, or never when a newer one has.

    aiortc's buffer keeps four packets back (80 ms) and, after one is lost, sixteen, for the rest of the call.
    Sessions need neither: their clock evens out when packets come, and a gap in the stamps becomes silence.
    Fills `aiortc_internals.PacketBuffer` and `PacketArrivals`.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.late = 0  # packets that came after a newer one
        self._now = now
        self._newest: int | None = None
        self._first_stamp: int | None = None
        self._came_s: dict[int, float] = {}

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        behind = 0 if self._newest is None else (self._newest - packet.sequence_number) % SEQUENCE_WRAP
        if self._newest is not None and behind < RESTART:  # 0: the same packet twice
            self.late += 1
            return False, None
        self._newest = packet.sequence_number
        self._remember(packet.timestamp)
        return False, JitterFrame(data=packet.payload, timestamp=packet.timestamp)

    def came_s(self, pts: int) -> float | None:
        """When the packet that was decoded to a frame with this pts arrived, on `now`'s axis; asked once."""
        return self._came_s.pop(pts % RTP_WRAP, None)

    def _remember(self, stamp: int) -> None:
        if self._first_stamp is None:
            self._first_stamp = stamp  # aiortc counts from it
        self._came_s[(stamp - self._first_stamp) % RTP_WRAP] = self._now()
        while len(self._came_s) > REMEMBERED:
            del self._came_s[next(iter(self._came_s))]
