"""Which blocks of 10 ms are speech, by their level alone: they stand out from the noise, several in a row."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BLOCK_S = 0.01
OVER_NOISE_DB = 12.0  # what a block must be above the noise to count as speech
MIN_RUN_BLOCKS = 4  # so many in a row: keys and knocks are shorter
QUIETEST_SPEECH_DB = -68.0
_FLOOR_BLOCKS = 100  # the noise floor is the quietest block of this one and the last stretch of a second
_SILENCE_DB = -75.0  # below it nothing was recorded: no measure of the noise, unless it parts one sound from the next


class VoiceActivity:
    """Of one stream, block after block."""

    def __init__(self) -> None:
        self._run = 0  # loud blocks in a row
        self._floors_db = (math.inf, math.inf)  # of the last stretch and of this one
        self._count = 0  # blocks of this stretch
        self._loudest_db = -math.inf  # of them

    def hears(self, level_db: float) -> bool:
        """Take in the level of the next block, dB of full scale; whether it is speech."""
        last_db, this_db = self._floors_db
        if level_db > _SILENCE_DB or min(last_db, this_db) < math.inf:
            self._floors_db = last_db, min(this_db, level_db)
        floor_db = min(self._floors_db)
        self._loudest_db = max(self._loudest_db, level_db)
        self._count += 1
        if self._count == _FLOOR_BLOCKS:
            this_db = self._floors_db[1] if self._loudest_db > _SILENCE_DB else math.inf
            self._count, self._loudest_db, self._floors_db = 0, -math.inf, (this_db, math.inf)
        loud = level_db > max(floor_db + OVER_NOISE_DB, QUIETEST_SPEECH_DB)
        self._run = self._run + 1 if loud else 0
        return self._run >= MIN_RUN_BLOCKS


def levels_db(blocks: npt.NDArray[np.float32]) -> list[float]:
    """RMS of blocks (n, size) in dB of full scale, -200 for silence."""
    power = np.add.reduce(np.square(blocks, dtype=np.float64), axis=1) / max(1, blocks.shape[1])
    return [10 * math.log10(max(of_block, 1e-20)) for of_block in power.tolist()]
