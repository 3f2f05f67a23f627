"""How hard somebody speaks: whoever raises his voice moves his lips further than when he talks.

The loudness of the last third of a second of speech is held against the speaker's own level, which follows slowly, or
against the loudest that talk is recorded at, if that is less: a shout is one from its first word on. The automatic gain
takes both away before the network listens, so what is said is heard the same, and how far the lips go for it is scaled
here.
Source: Schulman, "Articulatory dynamics of loud and normal speech", JASA 85 (1989): lips move further, not otherwise.

Causal, and the same however the audio was cut into chunks: a frame's effort is that of the blocks before the newest
sample that the frame hears. In pauses it stays.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from s2v.engine.audio.voice_activity import BLOCK_S, VoiceActivity, levels_db
from s2v.spec import LipSyncSpec

LEAST, MOST = 0.9, 1.25
LOUDEST_TALK_DB = -12.0  # of full scale, mean level of speech: above it somebody shouts, or it was recorded too loudly
USUAL_DB = 3.0  # talk is that much louder or quieter than its own mean from word to word
FURTHER_PER_DB, LESS_PER_DB = 0.05, 0.02  # beyond it
_NOW_S, _FIRST_S, _OWN_S = 0.3, 1.5, 30.0  # of speech: what counts as now; the first idea of a level; its changes


class VocalEffort:
    """The effort of one stream of audio. Owned by whoever owns the stream."""

    def __init__(self, spec: LipSyncSpec) -> None:
        self._spec = spec
        self._size = round(BLOCK_S * spec.sample_rate_hz)
        self._waiting = np.zeros(0, np.float32)  # the samples of the block that has begun
        self._activity = VoiceActivity()
        self._heard = 0  # blocks of speech so far
        self._now = 0.0  # mean square of the last speech
        self._own_db = 0.0  # of the speaker, as far as it is known
        self._first = 0.0  # mean square of the first speech
        self._efforts = [1.0]  # after each block from `_kept_from` on
        self._kept_from = -1  # before the first block there is no effort

    def hear(self, pcm: npt.NDArray[np.float32]) -> None:
        """Append mono samples, (n,) float32 for any n."""
        known = np.concatenate([self._waiting, pcm])
        n_blocks = len(known) // self._size
        for level_db in levels_db(known[: n_blocks * self._size].reshape(n_blocks, self._size)):
            self._efforts.append(self._after(level_db))
        self._waiting = known[n_blocks * self._size :].copy()

    def at(self, frame: int) -> float:
        """How far the lips go in a frame, times usual, LEAST to MOST; frames in order.

        What of the frame's sound is not there yet counts as a pause.
        """
        newest = self._spec.ready_at(frame) // self._size - 1
        passed = min(max(0, newest - self._kept_from), len(self._efforts) - 1)
        del self._efforts[:passed]
        self._kept_from += passed
        return self._efforts[0]

    def _after(self, level_db: float) -> float:
        """The effort when a block of that level has ended."""
        if not self._activity.hears(level_db):
            return self._efforts[-1]
        self._heard += 1
        heard_s = self._heard * BLOCK_S
        square = 10 ** (level_db / 10)
        self._now += (square - self._now) * BLOCK_S / min(heard_s, _NOW_S)
        now_db = 10 * math.log10(self._now)
        if heard_s <= _FIRST_S:  # of squares, as `_now`: the weak beginning of a word is no speaker's level
            self._first += (square - self._first) * BLOCK_S / heard_s
            self._own_db = 10 * math.log10(self._first)
        else:
            self._own_db += (now_db - self._own_db) * BLOCK_S / _OWN_S
        return effort_of(now_db - min(self._own_db, LOUDEST_TALK_DB))


def effort_of(raised_db: float) -> float:
    """LEAST to MOST times usual, for a voice that is so much louder than usual."""
    further = FURTHER_PER_DB * max(raised_db - USUAL_DB, 0.0) + LESS_PER_DB * min(raised_db + USUAL_DB, 0.0)
    return min(MOST, max(LEAST, 1 + further))


def efforts(pcm: npt.NDArray[np.float32], spec: LipSyncSpec) -> npt.NDArray[np.float32]:
    """Of every frame of a whole clip, (spec.frame_count(n),)."""
    stream = VocalEffort(spec)
    stream.hear(pcm)
    return np.array([stream.at(frame) for frame in range(spec.frame_count(len(pcm)))], np.float32)
