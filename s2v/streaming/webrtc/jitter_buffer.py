"""Taking what a peer sends as soon as it is there. aiortc's own buffer cannot be told to."""

from __future__ import annotations

import logging
import time

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add

log = logging.getLogger(__name__)

PLACE = "_RTCRtpReceiver__jitter_buffer"
RESTART = 100  # packets; a longer step back is a new count, not an old packet
REMEMBERED = 64  # packets whose arrival is kept until they are decoded
RTP_WRAP = 1 << 32


class InOrderJitterBuffer(JitterBuffer):
    """Audio: every packet is a frame; it comes out at once, or never when a newer one has.

    aiortc's buffer keeps four packets back (80 ms) and, after one is lost, sixteen, for the rest of the call.
    Sessions need neither: their clock evens out when packets come, and a gap in the stamps becomes silence.
    """

    def __init__(self) -> None:
        super().__init__(capacity=1)
        self.late = 0  # packets that came after a newer one
        self._newest: int | None = None
        self._first_stamp: int | None = None
        self._came_s: dict[int, float] = {}

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        behind = 0 if self._newest is None else uint16_add(self._newest, -packet.sequence_number)
        if self._newest is not None and behind < RESTART:  # 0: the same packet twice
            self.late += 1
            return False, None
        self._newest = packet.sequence_number
        self._remember(packet.timestamp)
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)  # type: ignore[attr-defined]

    def came_s(self, pts: int) -> float | None:
        """When the packet that was decoded to a frame with this pts arrived, by `time.monotonic`; asked once."""
        return self._came_s.pop(pts % RTP_WRAP, None)

    def _remember(self, stamp: int) -> None:
        if self._first_stamp is None:
            self._first_stamp = stamp  # aiortc counts from it
        self._came_s[(stamp - self._first_stamp) % RTP_WRAP] = time.monotonic()
        while len(self._came_s) > REMEMBERED:
            del self._came_s[next(iter(self._came_s))]


class MarkerJitterBuffer(JitterBuffer):
    """Video: a picture comes out with its last packet, which carries the marker, as in a browser.

    aiortc's buffer waits for the first packet of the next picture, 40 ms later.
    """

    def __init__(self) -> None:
        super().__init__(capacity=512, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        assert self._origin is not None
        parts: list[bytes] = []
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            parts.append(packet._data)  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return JitterFrame(data=b"".join(parts), timestamp=packet.timestamp)
        return None


def replace_jitter_buffer(receiver: RTCRtpReceiver, buffer: JitterBuffer) -> bool:
    """Give a receiver that has received nothing yet another buffer.

    aiortc has no option for it, so its private attribute is replaced; where that is gone, nothing changes.
    Returns: whether it could be done.
    """
    if PLACE not in vars(receiver):
        log.warning("this version of aiortc keeps its jitter buffer elsewhere: every microphone is heard 80 ms later")
        return False
    vars(receiver)[PLACE] = buffer
    return True
