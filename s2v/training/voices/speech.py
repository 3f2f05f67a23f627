"""What every speech synthesizer is asked and gives: text in, 16 kHz speech out, phones where the engine tells them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.training.voices.phones import SILENCE, Phone

RATE_HZ = 16_000
PAUSE_S = 0.06  # what an engine leaves between words for less is no pause of the lips


@dataclass(frozen=True)
class Speaker:
    """How an engine is to sound."""

    voice: str  # as the engine names it
    pace: float = 1.0  # 1 is how the engine speaks by itself, 2 twice as fast
    pitch: float = 1.0  # times the engine's own
    size: float = 1.0  # of a vocal tract: above 1 deeper voice and formants together, as of a larger person


@dataclass(frozen=True)
class SynthesizedSpeech:
    """Speech, mono int16 at RATE_HZ, and its phones, () where the engine does not tell them."""

    pcm: NDArray[np.int16]
    phones: tuple[Phone, ...] = ()


class Synthesizer(Protocol):
    """An engine. The same speaker, text and seed give the same samples."""

    def missing(self, voice: str) -> str:
        """What to install before it can speak with this voice, or ''."""

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        """Raises: DataError, the engine gave no speech."""


def stretch(speaker: Speaker) -> float:
    """How much longer the engine is to speak: playing it slower for a larger speaker stretches it as well."""
    return 1 / (speaker.pace * speaker.size)


def sized(
    pcm: NDArray[np.int16], rate_hz: int, speaker: Speaker, spoken: list[tuple[list[str], float]]
) -> SynthesizedSpeech:
    """Play it at another rate, which scales pitch and formants together, and bring it to RATE_HZ.

    Args:
        spoken: stretches of phones, and when each ends in s.
    """
    import av

    if not len(pcm):
        raise DataError(f"the voice {speaker.voice} gave no sound")
    played_hz = round(rate_hz / speaker.size)
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate = played_hz
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    parts = [part.to_ndarray()[0] for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return SynthesizedSpeech(np.concatenate(parts), tuple(as_phones(spoken, rate_hz / played_hz)))


def as_phones(spoken: list[tuple[list[str], float]], scale: float) -> list[Phone]:
    """Each stretch shared out between its phones; one without phones is a pause, or part of the phone before it."""
    phones: list[Phone] = []
    start_s = 0.0
    for names, end_s in spoken:
        if not names and phones and (end_s - start_s < PAUSE_S or phones[-1].name == SILENCE):
            phones[-1] = replace(phones[-1], end_s=end_s * scale)
        else:
            step_s = (end_s - start_s) / max(1, len(names))
            for number, name in enumerate(names or [SILENCE]):
                begin_s = start_s + number * step_s
                phones.append(Phone(name, begin_s * scale, (begin_s + step_s) * scale))
        start_s = end_s
    return [phone for phone in phones if phone.end_s > phone.start_s]
