"""A speech engine that hums: a module of its own, for worker processes must be able to import it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2v.errors import DataError
from s2v.training.voices.phones import Phone
from s2v.training.voices.speech import Speaker, SynthesizedSpeech


class Humming:
    """Each word is a tone of 0.1 s at pace 1; it refuses to say "unspeakable", and writes down what it says."""

    def __init__(self, said: Path, needs: str = "", tells_phones: bool = True) -> None:
        self.said, self.needs, self.tells_phones = said, needs, tells_phones

    def missing(self, voice: str) -> str:
        return self.needs

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        if "unspeakable" in text:
            raise DataError("no tongue for that")
        with self.said.open("a") as file:
            file.write(f"{text}\n")
        seconds = 0.1 * len(text.split()) / speaker.pace
        time_s = np.arange(round(16_000 * seconds)) / 16_000
        tone = 1000 * np.sin(2 * np.pi * 100 * (1 + seed % 5) * speaker.pitch * time_s)
        phones = (Phone("M", 0.0, seconds / 2), Phone("AA", seconds / 2, seconds)) if self.tells_phones else ()
        return SynthesizedSpeech(tone.astype(np.int16), phones)
