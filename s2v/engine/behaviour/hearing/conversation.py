"""What happens in a conversation, 10 ms by 10 ms: who speaks, accents, phrases; made once for everything that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from s2v.engine.behaviour.hearing.accents import Accents
from s2v.engine.behaviour.hearing.phrases import NO_PHRASE, Phrase, Phrases
from s2v.engine.behaviour.hearing.prosody import SILENT, TICK_S, Float32, Prosody, ProsodyTick

Role = Literal["talking", "listening", "idle"]

TALKS_ON_S = 0.8  # after its last sound a voice is still held to be talking
LISTENS_ON_S = 4.0  # after the other's last sound


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick of a conversation, as the face that speaks or listens takes it in."""

    time_s: float  # of its end
    role: Role = "idle"
    sound: ProsodyTick = SILENT  # of the own voice
    accent: float = 0.0  # strength, see `Accents`
    phrase: Phrase = NO_PHRASE
    other: Phrase = NO_PHRASE  # of the other voice


class Conversation:
    """Turns two voices into moments. Args: rate_hz, samples a second."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._own, self._accents, self._phrases = Prosody(rate_hz), Accents(), Phrases()
        self._other: tuple[Prosody, Phrases] | None = None  # once somebody is heard
        self._ticks = 0
        self._has_spoken = self._has_listened = False

    def hear(self, voice: Float32, heard: Float32 | None) -> list[Moment]:
        """The next ticks. Args: voice and heard, (k * hop,) float32; heard None: nobody."""
        sounds = self._own.hear(voice)
        others = self._hear_other(heard, len(sounds))
        return [self._moment(sound, other) for sound, other in zip(sounds, others, strict=True)]

    def _hear_other(self, heard: Float32 | None, n_ticks: int) -> list[Phrase]:
        if self._other is None:
            if heard is None or not heard.any():
                return [NO_PHRASE] * n_ticks
            self._other = Prosody(self._rate_hz), Phrases()
        prosody, phrases = self._other
        pcm = heard if heard is not None else _silence(n_ticks, self._rate_hz)
        return [phrases.hear(sound) for sound in prosody.hear(pcm)]

    def _moment(self, sound: ProsodyTick, other: Phrase) -> Moment:
        self._ticks += 1
        phrase = self._phrases.hear(sound)
        accent = self._accents.hear(sound, phrase.speaking)
        self._has_spoken |= phrase.begins
        self._has_listened |= other.begins
        if sound.speech and not phrase.speaking:  # a knock is heard, but not as a voice
            sound = SILENT
        role: Role = "idle"
        if phrase.speaking or (self._has_spoken and phrase.pause_s < TALKS_ON_S and not other.speaking):
            role = "talking"
        elif other.speaking or (self._has_listened and other.pause_s < LISTENS_ON_S):
            role = "listening"
        return Moment(self._ticks * TICK_S, role, sound, accent, phrase, other)


def _silence(n_ticks: int, rate_hz: int) -> Float32:
    return np.zeros(n_ticks * round(TICK_S * rate_hz), np.float32)
