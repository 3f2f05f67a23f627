"""How loud a voice is, whether it speaks, and at which pitch: every 10 ms, from what was heard until then.

Everything adapts to the microphone: the noise floor falls with the quietest moments and rises slowly (fast in the first
three seconds, and under sound that is too steady for a voice); loudness is counted from the voice's own level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TICK_S = 0.01
SILENCE_DB = -80.0  # of full scale: nothing below it is told apart
QUIETEST_SPEECH_DB = -66.0
FIRST_FLOOR_DB = -60.0
FIRST_S = 3.0  # so long the noise floor rises fast
FLOOR_FIRST_DB_S, FLOOR_LATER_DB_S, FLOOR_STEADY_DB_S = 10.0, 2.0, 40.0
NEAR_FLOOR_DB = 20.0  # what is louder by more is no noise that the floor should come up to quickly
FLOOR_FALL = 0.2  # of the way down in a tick
STEADY_DB, STEADY_S = 5.0, 0.4  # a level that stays within so much for so long is a noise or a tone, not a voice
_POWER_SHARE = 0.8  # of a tick's power in what counts; a click's tail is shorter than a syllable
SPEECH_OVER_FLOOR_DB, STILL_SPEECH_DB = 10.0, 7.0  # to begin, to go on
VOICE_LEVEL_S, FIRST_VOICE_LEVEL_S = 4.0, 0.3  # time constants of the voice's own level
ONSET_DB = 8.0  # a voice's own level is taken to be so much above the first that is heard of it
LOUDNESS_DB = 30.0  # from no loudness to 1
OWN_LOUDNESS = 0.6  # of a voice at its own level
MOST_LOUDNESS = 1.2

# Pitch by YIN: de Cheveigne and Kawahara, "YIN, a fundamental frequency estimator", JASA 111 (2002).
LOWEST_HZ, HIGHEST_HZ = 70.0, 400.0
_COMPARED = 512  # samples that are held against themselves, 32 ms
_STARTED = 0.3  # of a window's energy lies in them, or the sound has only begun
_APERIODIC = 0.2  # a difference below it is a period
PITCH_EVERY = 2  # ticks: between them the pitch stays
PITCH_MEAN_S = 4.0
MOST_SEMITONES = 8.0


@dataclass(frozen=True, slots=True)
class ProsodyTick:
    """10 ms of a voice."""

    loudness: float = 0.0  # 0 silent, 0.6 the voice's own level, 1.2 at most
    speech: bool = False
    semitones: float | None = None  # over the running mean of the pitch; None: without a pitch


SILENT = ProsodyTick()


class Prosody:
    """The prosody of one stream. Args: rate_hz, samples a second."""

    def __init__(self, rate_hz: int) -> None:
        self._hop = round(TICK_S * rate_hz)
        self._rate_hz = rate_hz
        self._shortest, self._longest = int(rate_hz / HIGHEST_HZ), math.ceil(rate_hz / LOWEST_HZ)
        self._lags = np.arange(1.0, self._longest + 2)
        self._past = np.zeros(_COMPARED + self._longest + 1 - self._hop, np.float32)
        self._floor_db = FIRST_FLOOR_DB
        self._voice_db: float | None = None  # the voice's own level
        self._lowest_db = self._highest_db = SILENCE_DB  # since the level was last steady
        self._steady_s = 0.0
        self._power = 0.0
        self._speech = False
        self._speech_s = 0.0
        self._heard_s = 0.0
        self._pitch: float | None = None  # running mean, semitones over 1 Hz
        self._pitched = 0  # how often a pitch was found
        self._semitones: float | None = None  # the newest
        self._ticks = 0

    def hear(self, pcm: Float32) -> list[ProsodyTick]:
        """The next ticks. Args: pcm, (k * hop,) float32, hop the samples of a tick."""
        hops = pcm.reshape(-1, self._hop)
        known = np.concatenate([self._past, pcm])
        self._past = known[len(known) - len(self._past) :].copy()
        powers = np.einsum("ij,ij->i", hops, hops, dtype=np.float64) / self._hop
        flags = [self._hear_level(power) for power in powers.tolist()]
        length = len(self._past) + self._hop
        heard = []
        for i, (loudness, speech) in enumerate(flags):
            if not speech:
                self._semitones = None
            elif self._ticks % PITCH_EVERY == 0:
                self._semitones = self._over_mean(self._period(known[i * self._hop : i * self._hop + length]))
            self._ticks += 1
            heard.append(ProsodyTick(loudness, speech, self._semitones))
        return heard

    def _hear_level(self, power: float) -> tuple[float, bool]:
        """Loudness and whether somebody speaks, after a tick of that power."""
        self._heard_s += TICK_S
        self._power += _POWER_SHARE * (power - self._power)
        level_db = max(SILENCE_DB, 10 * math.log10(self._power + 1e-12))
        self._follow_floor(level_db)
        over_db = level_db - self._floor_db
        least_db = STILL_SPEECH_DB if self._speech else SPEECH_OVER_FLOOR_DB
        self._speech = over_db > least_db and level_db > QUIETEST_SPEECH_DB
        if not self._speech:
            return 0.0, False
        self._speech_s += TICK_S
        if self._voice_db is None:
            self._voice_db = level_db + ONSET_DB
        tau_s = max(FIRST_VOICE_LEVEL_S, min(VOICE_LEVEL_S, self._speech_s))
        self._voice_db += TICK_S / tau_s * (level_db - self._voice_db)
        loudness = OWN_LOUDNESS + (level_db - self._voice_db) / LOUDNESS_DB
        return min(MOST_LOUDNESS, max(0.0, loudness)), True

    def _follow_floor(self, level_db: float) -> None:
        """The noise floor and the level's steadiness, after a tick of that level."""
        self._lowest_db, self._highest_db = min(self._lowest_db, level_db), max(self._highest_db, level_db)
        self._steady_s += TICK_S
        if self._highest_db - self._lowest_db > STEADY_DB:
            self._lowest_db, self._highest_db, self._steady_s = level_db, level_db, 0.0
        if level_db < self._floor_db:
            self._floor_db += FLOOR_FALL * (level_db - self._floor_db)
            return
        near = level_db - self._floor_db < NEAR_FLOOR_DB
        rise_db_s = FLOOR_FIRST_DB_S if self._heard_s < FIRST_S and near else FLOOR_LATER_DB_S
        if self._steady_s > STEADY_S:
            rise_db_s = FLOOR_STEADY_DB_S
        self._floor_db = min(level_db, self._floor_db + rise_db_s * TICK_S)

    def _period(self, window: Float32) -> float | None:
        """The shortest period at the end of a window (compared + longest lag + 1,) in samples; None: no period."""
        products = np.correlate(window, window[:_COMPARED], "valid")
        sums = np.cumsum(np.square(window, dtype=np.float64))
        if sums[_COMPARED - 1] <= _STARTED * sums[-1]:
            return None
        energies = sums[_COMPARED:] - sums[:-_COMPARED]  # of lag 1, 2, ..., as what follows
        difference = np.maximum(sums[_COMPARED - 1] + energies - 2 * products[1:], 0.0)
        normal = difference * self._lags / np.maximum(np.cumsum(difference), 1e-12)
        first = self._shortest - 1
        below = normal[first:-1] < _APERIODIC
        at = int(below.argmax())
        if not below[at]:
            return None
        at += first
        while at + 1 < len(normal) - 1 and normal[at + 1] < normal[at]:
            at += 1
        before, here, after = normal[at - 1 : at + 2].tolist()
        bend = before - 2 * here + after
        return at + 1 + (0.5 * (before - after) / bend if bend > 1e-9 else 0.0)

    def _over_mean(self, period: float | None) -> float | None:
        """Semitones over the running mean of the pitch, which takes this period in."""
        if period is None:
            return None
        pitch = 12 * math.log2(self._rate_hz / period)
        self._pitched += 1
        if self._pitch is None:
            self._pitch = pitch
        self._pitch += (pitch - self._pitch) / min(self._pitched, PITCH_MEAN_S / (PITCH_EVERY * TICK_S))
        return min(MOST_SEMITONES, max(-MOST_SEMITONES, pitch - self._pitch))
