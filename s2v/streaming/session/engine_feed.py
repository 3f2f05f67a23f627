"""What the engine is given to hear: a voice without a hole, whatever comes late or not at all."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from s2v.streaming.session.clock import MediaClock
from s2v.streaming.session.engine_worker import EngineWorker
from s2v.streaming.session.heard import HeardVoices
from s2v.streaming.sources.source import Pcm

STEP = 320  # samples at 16 kHz: as much silence at a time as a packet holds
OVERDUE_S = 0.03  # later than expected by so much, audio may still come in time for a frame that is shown a little late
GIVEN_UP_S = 0.04  # a frame due longer ago is not worth drawing: the event loop itself stood still
LENGTHS = 8  # chunks, of which the longest says when the next is expected
SILENCES = 256  # stretches of silence remembered: longer than frames take to be drawn


class Fed(NamedTuple):
    """What became of audio that has come."""

    late: int  # its first samples at 16 kHz, which silence had stood in for: the engine does not hear them
    end: int  # timeline sample at which these end
    stood_in: tuple[int, int]  # timeline samples [from, to) of silence since the audio before


class EngineFeed:
    """Hands audio to the worker in order; where none has come by the time its frame must be drawn, silence.

    So a face idles, in time, while its voice pauses, is muted or lost: nobody can tell which before the next packet.
    A frame that had silence at its end tells nothing of how long frames have to be held back.
    """

    def __init__(self, clock: MediaClock, worker: EngineWorker, heard: HeardVoices) -> None:
        self.look_ahead_s = 0.0  # known once the model is open
        self.stood_in = 0  # samples of silence that stood in for audio that came too late
        self._clock = clock
        self._worker = worker
        self._heard = heard
        self._end: int | None = None  # timeline sample up to which the engine has heard
        self._offset = 0  # of the newest audio ...
        self._heard_until: int | None = None  # ... and where it, or the silence before it, ended
        self._lengths: deque[int] = deque([STEP], maxlen=LENGTHS)
        self._silences: deque[tuple[int, int]] = deque(maxlen=SILENCES)  # timeline samples [from, to), ascending

    def put(self, start: int, offset: int, pcm: Pcm, draws: bool) -> Fed:
        """Audio of the source's sample `start` and following, (n,) at 16 kHz, `offset` further on the timeline.

        Args: draws: somebody looks; else the engine hears nothing.
        """
        at = start + offset
        if self._end is None or offset != self._offset:  # moved: what lies between was never meant to be heard
            self._end, self._offset = max(at, self._end or at), offset
        self._end = max(self._end, at - round(self._clock.playout_delay_s * self._clock.rate_hz))
        stood_in = (self._end if self._heard_until is None else self._heard_until, self._end)
        self._lengths.append(len(pcm))
        if at > self._end:
            self._silence(at, draws)
        late = min(self._end - at, len(pcm))
        if late < len(pcm):
            self._feed(at + late, pcm[late:], draws)
        self._heard_until = self._end
        self.stood_in += late
        return Fed(late, at + late, stood_in)

    def conceal(self, lead_s: float, draws: bool) -> tuple[int, int]:
        """Let silence stand in for what has become due: `patience_s` has passed.

        Returns: the timeline samples [from, to) that it stands in for.
        """
        assert self._end is not None
        missed = -(self.patience_s(lead_s) or 0.0) - GIVEN_UP_S
        begin = self._end
        if missed > 0:
            self._end += round(missed * self._clock.rate_hz)
        self._silence(self._end + STEP, draws)
        self._clock.coast()
        return begin, self._end

    def patience_s(self, lead_s: float) -> float | None:
        """How long the next audio can be waited for; negative when that has passed; None before any has come.

        Args: lead_s: a frame is handed over so long before its moment.
        """
        if self._end is None:
            return None
        drawn_s = self._worker.draw_s + lead_s
        frame_s = self._clock.until(self._end) - self.look_ahead_s - drawn_s
        expected_s = self._clock.until(self._end + max(self._lengths)) - self._clock.actual_delay_s
        return max(frame_s, expected_s + OVERDUE_S)

    def was_silent(self, frame_at: int) -> bool:
        """Whether the last that was heard for the frame at this timeline sample was no audio of the source."""
        last = frame_at + round(self.look_ahead_s * self._clock.rate_hz)
        return any(start < last <= end for start, end in reversed(self._silences))

    def _silence(self, until: int, draws: bool) -> None:
        assert self._end is not None
        start = self._end
        if self._silences and self._silences[-1][1] == start:
            start = self._silences.pop()[0]
        self._silences.append((start, until))
        self._feed(self._end, np.zeros(until - self._end, np.float32), draws)

    def _feed(self, at: int, pcm: Pcm, draws: bool) -> None:
        heard = self._heard.take(len(pcm))
        if draws:
            self._worker.feed(at, pcm, heard)
        self._end = at + len(pcm)
