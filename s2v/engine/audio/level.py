"""A slow automatic gain: a quiet speaker is heard as loudly as one who is close, and a shout stays louder than talk.

Blocks of 10 ms that stand out from the noise, several in a row, tell how loud the voice is. The estimate moves by a
fixed rate towards each of them, so that it settles on their median: quickly while little has been heard, then slowly,
so that it follows the speaker and the microphone and not the words. It rises slower than it falls, and a voice louder
than the target is brought down only half of the way: whoever raises his voice stays above his own level for a while.

Causal, and the same however the audio was cut into chunks: the gain of a block is known from the blocks before it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s2v.engine.audio.voice_activity import BLOCK_S, VoiceActivity, levels_db

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

TARGET_DB = -17.0  # of full scale: median RMS of the blocks that count
LOWEST_GAIN_DB, HIGHEST_GAIN_DB = -12.0, 42.0
FIRST_RATE_DB_S, FIRST_SPEECH_S = 25.0, 1.5  # until that much speech was heard
QUIETER_RATE_DB_S, LOUDER_RATE_DB_S = 3.0, 1.0  # afterwards
LOUD_SHARE = 0.5  # of what a voice is above the target is taken off


class AutomaticGain:
    """The gain of one stream of audio. Owned by whoever owns the stream."""

    def __init__(self, rate_hz: int) -> None:
        self._block = round(BLOCK_S * rate_hz)
        self._ramp = (np.arange(self._block) + 1) / self._block
        self._waiting = np.zeros(0, np.float32)  # the samples of the block that has begun
        self._level_db = TARGET_DB  # of the voice, as far as it is known
        self._heard = 0  # blocks of speech so far
        self._activity = VoiceActivity()
        self._gains_db = (0.0, 0.0)  # where the block that has begun starts and ends

    @property
    def gain_db(self) -> float:
        """The newest gain."""
        return self._gains_db[1]

    def apply(self, samples: Float32) -> Float32:
        """The next samples of the stream, (n,) float32 for any n, at their gain; a new array, not clipped."""
        begun, size = len(self._waiting), self._block
        known = np.concatenate([self._waiting, samples]) if begun else samples
        n_blocks = len(known) // size
        ends_db = [self._gains_db]
        for level_db in levels_db(known[: n_blocks * size].reshape(n_blocks, size)):
            self._hear(level_db)
            ends_db.append(self._gains_db)
        self._waiting = known[n_blocks * size :].copy()
        ends = 10.0 ** (np.array(ends_db) / 20)
        gains = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * self._ramp
        return (samples * gains.reshape(-1)[begun : len(known)]).astype(np.float32)

    def _hear(self, level_db: float) -> None:
        """Take in the level of the block that has ended; decide the gain of the next."""
        if self._activity.hears(level_db):
            self._heard += 1
            off_db = level_db - self._level_db
            rate_db_s = LOUDER_RATE_DB_S if off_db > 0 else QUIETER_RATE_DB_S
            if self._heard * BLOCK_S <= FIRST_SPEECH_S:
                rate_db_s = FIRST_RATE_DB_S
            most_db = rate_db_s * BLOCK_S
            self._level_db += min(most_db, max(-most_db, off_db))
        self._gains_db = self._gains_db[1], gain_for(self._level_db)


def gain_for(level_db: float) -> float:
    """The gain in dB for a voice of a level, dB of full scale."""
    above_db = level_db - TARGET_DB
    return max(LOWEST_GAIN_DB, min(HIGHEST_GAIN_DB, -above_db * (LOUD_SHARE if above_db > 0 else 1.0)))


def levelled(pcm: Float32, rate_hz: int) -> Float32:
    """A whole clip, (n,) float32, as `AutomaticGain` gives it from its first sample on."""
    return AutomaticGain(rate_hz).apply(pcm)
