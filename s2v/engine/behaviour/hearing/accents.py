"""Accents of a voice: moments that stand out in loudness and pitch from what was said just before."""

from __future__ import annotations

from s2v.engine.behaviour.hearing.prosody import OWN_LOUDNESS, TICK_S, ProsodyTick

FAST_S, SLOW_S = 0.10, 1.2  # time constants of the loudness that is compared
FIRST_SLOW_S = 0.6  # of speech at the voice's own level is taken to lie before the first that is heard
PAUSE_S = 6.0  # and of the slow one in pauses: a phrase's first syllable is not an accent for being the first
PER_SEMITONE = 0.03  # of loudness, over the running mean of the pitch
PITCH_S = 0.08
SHORTEST_GAP_S = 0.30
WANTED_PER_S = 1.3  # of speech: the threshold follows the voice until about so many are found
FIRST_THRESHOLD, LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.13, 0.05, 0.5
FIRST_HEIGHT = 0.24  # of a usual accent
FIRST_RATE, THRESHOLD_RATE = 0.06, 0.02  # by which an accent raises it: at first, later
RISING_S = 0.06  # so long after the threshold was passed the accent is taken, were it still growing
STRONG = 1.25  # times the usual height of an accent
PEAK_SHARE = 0.15  # by which the usual height follows each accent


class Accents:
    """Finds accents in the prosody of one voice, tick by tick."""

    def __init__(self) -> None:
        self._fast = self._pitch = 0.0
        self._slow = OWN_LOUDNESS
        self._spoken_s = 0.0
        self._threshold = FIRST_THRESHOLD
        self._usual = FIRST_HEIGHT
        self._since_s = SHORTEST_GAP_S
        self._above_s = 0.0
        self._before = 0.0

    def hear(self, sound: ProsodyTick, speaking: bool) -> float:
        """Strength of the accent that is found in this tick, about 1 for a usual one, 2 at most; 0: none.

        Args:
            speaking: within a phrase; there are no accents elsewhere.
        """
        self._fast += TICK_S / FAST_S * (sound.loudness - self._fast)
        if sound.speech:
            self._spoken_s += TICK_S
        mean_s = min(SLOW_S, FIRST_SLOW_S + self._spoken_s) if sound.speech else PAUSE_S
        self._slow += TICK_S / mean_s * (sound.loudness - self._slow)
        self._pitch += TICK_S / PITCH_S * ((sound.semitones or 0.0) - self._pitch)
        height = self._fast - self._slow + PER_SEMITONE * self._pitch
        self._since_s += TICK_S
        rate = max(THRESHOLD_RATE, FIRST_RATE / (1 + self._spoken_s))
        if sound.speech:
            self._threshold -= rate * WANTED_PER_S * TICK_S
        above = speaking and sound.speech and height > self._threshold
        self._above_s = self._above_s + TICK_S if above else 0.0
        peaked = height < self._before or self._above_s >= RISING_S
        self._before = height
        strength = 0.0
        if above and peaked and self._since_s >= SHORTEST_GAP_S:
            self._since_s = 0.0
            self._threshold += rate
            strength = min(2.0, height / self._usual)
            self._usual += PEAK_SHARE * (height - self._usual)
        self._threshold = min(HIGHEST_THRESHOLD, max(LOWEST_THRESHOLD, self._threshold))
        return strength
