"""Speech that was sent ahead of its time, waiting to be said."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from s2v.errors import StreamError
from s2v.media.audio_file import PLAYBACK_HZ

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
MAX_BUFFERED_S = 60.0
PREBUFFER_SAMPLES = PLAYBACK_HZ * 60 // 1000  # a sender that just keeps up sends in bursts: begin with a little in hand
PIECE_S = 0.02  # converted at a time, so that no call takes long however much was sent at once
JOIN_S = 0.1  # smaller frames are joined: a million of one sample each must not take a million arrays
FADE_SAMPLES = PLAYBACK_HZ * 5 // 1000  # what is cut off in mid-word would click

Pcm = NDArray[np.float32]


class End(NamedTuple):
    """Of an utterance."""

    utterance: int  # its number
    at: int  # index in what has been taken
    said: int  # samples of it at PLAYBACK_HZ; silence that stood in for what had not come is none


class Taken(NamedTuple):
    """The next stretch of a voice that never ends."""

    pcm: Pcm  # (n,) float32 in [-1, 1] at PLAYBACK_HZ
    ended: list[End]  # utterances that end in it


class SpeechBuffer:
    """16-bit sound of any rate goes in as fast as it comes, 48 kHz comes out as it is needed, silence between.

    An utterance is what lies between two `flush`es. However it was cut into pushes, the same samples come out.
    Pure arithmetic: no clock, no event loop.
    """

    def __init__(self) -> None:
        self.underruns = 0  # times that an utterance stopped because its next part had not come
        self._waiting: deque[tuple[int, NDArray[np.int16]] | int] = deque()  # (rate, samples), or an utterance's end
        self._waiting_s = Fraction(0)
        self._ready = np.zeros(0, np.float32)  # converted, not yet taken
        self._ends: deque[tuple[int, int]] = deque()  # (utterance, index in `_ready`)
        self._resampler: av.AudioResampler | None = None
        self._rate_hz = 0
        self._speaking = False
        self._said = 0  # samples of it that have been taken
        self._within = False  # an utterance has begun, and its end has not been taken
        self._fade = 0  # samples of something forgotten that are ready before anything else
        self._waited_samples = 0  # of silence, while the beginning of an utterance was there

    @property
    def buffered_s(self) -> float:
        """Seconds that have been pushed and not taken."""
        return float(self._waiting_s) + len(self._ready) / PLAYBACK_HZ

    @property
    def said_s(self) -> float:
        """Seconds taken of the utterance under way; after `clear`, of the one that it cut, its fade included."""
        return self._said / PLAYBACK_HZ

    def push(self, pcm: NDArray[np.int16], rate_hz: int) -> None:
        """Append mono samples, shape (n,).

        Raises: StreamError, more would wait than MAX_BUFFERED_S; nothing of it is kept.
        """
        assert MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ
        seconds = Fraction(len(pcm), rate_hz)
        if self.buffered_s + seconds > MAX_BUFFERED_S:
            raise StreamError(
                f"{self.buffered_s:.1f} s are waiting and {float(seconds):.1f} s more came: keep at most "
                f"{MAX_BUFFERED_S:g} s ahead; this frame was left out"
            )
        if not len(pcm):
            return
        self._waiting_s += seconds
        last = self._waiting[-1] if self._waiting else 0
        if not isinstance(last, int) and last[0] == rate_hz and len(last[1]) + len(pcm) < JOIN_S * rate_hz:
            self._waiting[-1] = (rate_hz, np.concatenate([last[1], pcm]))
        else:
            self._waiting.append((rate_hz, pcm))

    def flush(self, utterance: int) -> None:
        """What has been pushed so far is complete: `take` will say when its end has been reached."""
        self._waiting.append(utterance)

    def clear(self) -> float:
        """Forget everything but a fade of some milliseconds; returns the seconds forgotten."""
        forgotten_s = self.buffered_s
        tail = np.zeros(0, np.float32)
        if self._speaking:
            self._convert_up_to(FADE_SAMPLES)
            tail = self._ready[:FADE_SAMPLES]
            tail = tail * np.linspace(1, 0, len(tail), dtype=np.float32)
        self._said = self._said + len(tail) if self._within else 0
        self._waiting.clear()
        self._ends.clear()
        self._ready, self._waiting_s, self._resampler = tail, Fraction(0), None
        self._within, self._fade, self._waited_samples = False, len(tail), 0
        return forgotten_s

    def take(self, length: int) -> Taken:
        """The next `length` samples: speech if there is any, silence for the rest."""
        if not self._speaking and not self._may_begin(length):
            return Taken(np.zeros(length, np.float32), [])
        self._convert_up_to(length)
        pcm = np.zeros(length, np.float32)
        part = self._ready[:length]
        pcm[: len(part)] = part
        self._ready = self._ready[len(part) :]
        ended = self._count(len(part))
        spoke, self._speaking = self._speaking or len(part) > 0, len(part) == length
        self.underruns += spoke and not self._speaking and self._within
        return Taken(pcm, ended)

    def _count(self, length: int) -> list[End]:
        """What the next `length` samples are of; returns the utterances that end in them."""
        if not self._within:  # another begins
            self._said = 0
        begin = min(self._fade, length)  # what fades was counted when it was cut
        self._fade -= begin
        ended = list[End]()
        while self._ends and self._ends[0][1] <= length:
            utterance, at = self._ends.popleft()
            ended.append(End(utterance, at, self._said + at - begin))
            self._said, self._within, begin = 0, False, at
        self._ends = deque((utterance, at - length) for utterance, at in self._ends)
        self._said += length - begin
        self._within = self._within or length > begin
        return ended

    def _may_begin(self, length: int) -> bool:
        """Enough is in hand, or all of it, or it has waited long enough."""
        if not self._waiting and not len(self._ready):
            return False
        complete = any(isinstance(item, int) for item in self._waiting)
        if complete or self.buffered_s >= PREBUFFER_SAMPLES / PLAYBACK_HZ or self._waited_samples >= PREBUFFER_SAMPLES:
            self._waited_samples = 0
            return True
        self._waited_samples += length
        return False

    def _convert_up_to(self, length: int) -> None:
        """Convert until `length` samples are ready or nothing waits."""
        parts, ready = [self._ready], len(self._ready)
        while self._waiting and (ready < length or isinstance(self._waiting[0], int)):
            item = self._waiting.popleft()
            if isinstance(item, int):
                part = self._drain()
                self._ends.append((item, ready + len(part)))
            else:
                part = self._convert(*item)
            parts.append(part)
            ready += len(part)
        self._ready = np.concatenate(parts)

    def _convert(self, rate_hz: int, pcm: NDArray[np.int16]) -> Pcm:
        """The first piece of `pcm`, resampled; the rest goes back to the front."""
        drained = self._drain() if rate_hz != self._rate_hz else np.zeros(0, np.float32)
        if self._resampler is None:
            self._resampler, self._rate_hz = av.AudioResampler(format="fltp", layout="mono", rate=PLAYBACK_HZ), rate_hz
        piece = round(PIECE_S * rate_hz)
        if len(pcm) > piece:
            self._waiting.appendleft((rate_hz, pcm[piece:]))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[None, :piece]), format="s16", layout="mono")
        frame.sample_rate = rate_hz
        self._waiting_s -= Fraction(frame.samples, rate_hz)
        return np.concatenate([drained, *_samples(self._resampler, frame)])

    def _drain(self) -> Pcm:
        """What the resampler still holds back; the next sample begins a new one."""
        resampler, self._resampler = self._resampler, None
        return np.concatenate([np.zeros(0, np.float32), *(_samples(resampler, None) if resampler else ())])


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Pcm]:
    return [np.clip(part.to_ndarray()[0], -1.0, 1.0) for part in resampler.resample(frame)]
