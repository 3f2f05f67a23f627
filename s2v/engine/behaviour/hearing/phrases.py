"""Where phrases begin and end, and whether the pitch rose towards the end."""

from __future__ import annotations

from dataclasses import dataclass

from s2v.engine.behaviour.hearing.prosody import TICK_S, ProsodyTick

BEGINS_AFTER_S = 0.08  # of speech
ENDS_AFTER_S = 0.22  # of silence: shorter gaps are stops and breaths within the phrase
SHORTEST_S = 0.35  # what is shorter has no end of its own: a knock, a cough
CONTOUR_S, RISE_SEMITONES = 0.12, 2.5  # a question: the end is so much above the phrase's own mean
MIN_PITCHED_TICKS = 21  # of a phrase, before it has a mean
LOW_SEMITONES, LOW_S = -2.0, 0.11  # a region of low pitch: see `Phrase.low`


@dataclass(frozen=True, slots=True)
class Phrase:
    """What one tick tells of the phrases of a voice."""

    speaking: bool = False  # within a phrase
    begins: bool = False  # now
    ends: bool = False  # now: it is known ENDS_AFTER_S after the last sound
    rises: bool = False  # it ended on a high pitch
    low: bool = False  # the pitch has just been low for a while, a cue for the listener
    spoken_s: float = 0.0  # length of the phrase so far, of the last one after its end
    pause_s: float = 0.0  # silence since the last sound


NO_PHRASE = Phrase()


class Phrases:
    """Follows the phrases of one voice, tick by tick."""

    def __init__(self) -> None:
        self._speaking = False
        self._sound_s = 0.0  # without a gap
        self._pause_s = 0.0
        self._spoken_s = 0.0
        self._mean = self._end = 0.0  # semitones: of the phrase, of its newest moments
        self._pitched = 0  # ticks of the phrase with a pitch
        self._low_s = 0.0

    def hear(self, sound: ProsodyTick) -> Phrase:
        """The next tick."""
        self._follow_pitch(sound)
        self._sound_s, self._pause_s = (self._sound_s + TICK_S, 0.0) if sound.speech else (0.0, self._pause_s + TICK_S)
        begins = not self._speaking and self._sound_s >= BEGINS_AFTER_S
        over = self._speaking and self._pause_s >= ENDS_AFTER_S
        if begins:
            self._speaking, self._spoken_s = True, self._sound_s
            self._pitched, self._mean, self._end = 0, 0.0, 0.0
        elif over:
            self._speaking = False
            self._spoken_s -= self._pause_s - TICK_S
        elif self._speaking:
            self._spoken_s += TICK_S
        ends = over and self._spoken_s >= SHORTEST_S
        rises = ends and self._pitched >= MIN_PITCHED_TICKS and self._end - self._mean > RISE_SEMITONES
        low = self._speaking and sound.semitones is not None and LOW_S <= self._low_s < LOW_S + TICK_S
        return Phrase(self._speaking, begins, ends, rises, low, self._spoken_s, self._pause_s)

    def _follow_pitch(self, sound: ProsodyTick) -> None:
        if sound.semitones is None:
            if not sound.speech:
                self._low_s = 0.0
            return
        self._pitched += 1
        self._mean += (sound.semitones - self._mean) / self._pitched
        self._end += TICK_S / CONTOUR_S * (sound.semitones - self._end)
        self._low_s = self._low_s + TICK_S if sound.semitones < LOW_SEMITONES else 0.0
