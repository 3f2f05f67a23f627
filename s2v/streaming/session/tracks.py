"""What a subscriber receives: the face and the delayed voice, released by one clock.

aiortc's sender reports pair a stamp with the moment of sending. Both tracks therefore wait until a timeline
position is due, and stamp it with that position: what the subscriber's browser lines up is what belongs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from s2v.engine.compositor.pixel_format import to_i420
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ
from s2v.streaming.session.buffers import FrameQueue, VoiceBuffer
from s2v.streaming.session.clock import MediaClock
from s2v.streaming.session.stage_times import StageTimes
from s2v.streaming.sources.source import RATIO

PACKET_SAMPLES = 960  # 20 ms at PLAYBACK_HZ, what Opus sends
LOOKED_AT = 2 * PACKET_SAMPLES  # that is how early a word is seen that ends a pause
CATCH_UP_PACKETS = 25  # further behind than half a second (the loop stood still): skip instead of bursting
STILL_EVERY_S = 0.3  # with nothing to show, the last picture again, so that a new subscriber never sees black
LATE_S = 0.04  # one frame: later than this and the next one is as good
OPUS_DELAY_S = 0.0065  # Opus looks ahead: what a receiver hears lies this much after its stamp
MAX_LEAD_S = 0.04


class VoiceTrack(MediaStreamTrack):
    """The original voice, held back by the playout delay, in 20 ms packets; silence before and between."""

    kind = "audio"

    def __init__(self, voice: VoiceBuffer, clock: MediaClock) -> None:
        super().__init__()
        self.underruns = 0  # packets sent with audio missing
        self._voice = voice
        self._clock = clock
        self._packet: int | None = None

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        due = int(self._clock.position()) * RATIO // PACKET_SAMPLES
        if self._packet is None or due - self._packet > CATCH_UP_PACKETS:
            self._packet = due + 1
            self._voice.skip_to(self._packet * PACKET_SAMPLES)
        start = self._packet * PACKET_SAMPLES
        self._packet += 1
        await self._clock.sleep_until(start // RATIO)
        pcm, missing = self._voice.read(PACKET_SAMPLES)
        self.underruns += missing > 0
        self._clock.quiet = self._voice.is_quiet(LOOKED_AT)
        s16 = np.clip(np.rint(pcm * 32767.0), -32768, 32767).astype(np.int16)
        return voice_frame(s16, start)


@dataclass
class FaceCounts:
    sent: int = 0  # pictures handed to the encoder, repeats included
    late: int = 0  # frames dropped because their moment had passed


class FaceTrack(MediaStreamTrack):
    """Finished frames, each sent when its audio is due. A late one is dropped and counted.

    The still photo goes out at once, and the last picture again every `STILL_EVERY_S` while nothing is drawn.
    A picture takes longer to encode than a packet of voice: it is handed over that much earlier, so that both
    are on the wire together, and so do the sender reports tell it.
    """

    kind = "video"

    def __init__(
        self, frames: FrameQueue, clock: MediaClock, still_bgr: NDArray[np.uint8], times: StageTimes | None = None
    ) -> None:
        super().__init__()
        self.counts = FaceCounts()
        self.others_encode = False  # whoever takes the pictures hands them on, and calls `encoded`
        self._frames = frames
        self._clock = clock
        self._picture = still_bgr
        self._stamp: int | None = None  # of the last picture sent ...
        self._sent_s = 0.0  # ... and when that was
        self._times = times or StageTimes()
        self._handed_s: float | None = None  # when the encoder was given the last picture
        self._encode_s = OPUS_DELAY_S  # running mean

    async def recv(self) -> VideoFrame:
        if self._handed_s is not None:  # the sender encodes and sends one picture before it asks for the next
            self.encoded(self._clock.now() - self._handed_s)
            self._handed_s = None
        while self.readyState == "live":
            if self._stamp is None:
                return self._send(self._clock.position())
            drawn = await self._frames.get(STILL_EVERY_S)
            if drawn is None:
                return self._send(self._clock.position())
            late_s = (self._clock.position() - drawn.at) / ENGINE_HZ
            if late_s > LATE_S:
                self.counts.late += 1
                if self._clock.now() - self._sent_s > STILL_EVERY_S:  # rather late than standing still
                    self._picture = drawn.pixels
                    return self._send(self._clock.position())
            elif drawn.at > self._stamp:
                await self._clock.sleep_until(drawn.at, self.lead_s)
                self._picture = drawn.pixels
                if drawn.drawn_s is not None:
                    self._times.add("playout", self._clock.now() - drawn.drawn_s)
                return self._send(drawn.at)
        raise MediaStreamError

    def encoded(self, seconds: float) -> None:
        """A picture has been encoded and sent in this time."""
        self._times.add("encode", seconds)
        self._encode_s = 0.95 * self._encode_s + 0.05 * min(seconds, 2 * MAX_LEAD_S)

    @property
    def lead_s(self) -> float:
        """How long before its moment a picture is handed to the encoder."""
        return min(max(self._encode_s - OPUS_DELAY_S, 0.0), MAX_LEAD_S)

    def _send(self, position: float) -> VideoFrame:
        stamp = int(position) if self._stamp is None else max(int(position), self._stamp + 1)
        self._stamp, self._sent_s = stamp, self._clock.now()
        self.counts.sent += 1
        frame = video_frame(self._picture)
        frame.pts, frame.time_base = stamp, Fraction(1, ENGINE_HZ)
        self._handed_s = None if self.others_encode else self._clock.now()
        return frame


def voice_frame(s16: NDArray[np.int16], pts: int) -> AudioFrame:
    """(n,) mono at PLAYBACK_HZ as stereo, both sides alike: aiortc's Opus encoder would make mono 3 dB quieter."""
    frame = AudioFrame.from_ndarray(np.repeat(s16, 2)[None, :], format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = PLAYBACK_HZ, pts, Fraction(1, PLAYBACK_HZ)
    return frame


def video_frame(pixels: NDArray[np.uint8]) -> VideoFrame:
    """BGR or I420, even sides, as the encoders want it: BT.601, limited range."""
    return VideoFrame.from_ndarray(to_i420(pixels) if pixels.ndim == 3 else pixels, format="yuv420p")
