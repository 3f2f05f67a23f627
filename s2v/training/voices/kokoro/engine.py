"""Kokoro-82M: neural voices of many languages, which tell exactly when each phone is spoken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.training.voices import espeak
from s2v.training.voices.kokoro.model_files import STEP_S, STYLE_LENGTHS, load_network, load_styles, missing
from s2v.training.voices.kokoro.phonemes import LANGUAGES, Sound, read_aloud
from s2v.training.voices.speech import Speaker, SynthesizedSpeech, sized, stretch

RATE_HZ = 24_000
# The sound comes earlier than the durations say: half of what the network stretches each phoneme with, two steps of its
# filters. Against pocketsphinx, and the silence of stops.
EARLIER_STEPS = 2.5
SILENT = 0.006  # of full scale
_STEP_SAMPLES = round(RATE_HZ * STEP_S)


class Kokoro:
    """Kokoro-82M, 8-bit, by onnxruntime: 2 to 3 s of one core for a second of speech."""

    def missing(self, voice: str) -> str:
        return missing() or ("" if espeak.available() else "apt install espeak-ng")

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        if speaker.pitch != 1:
            raise DataError("Kokoro has no pitch to set: give its voices a size")
        language = LANGUAGES.get(speaker.voice[:1])
        if language is None:
            raise DataError(f"no language is known for the voice {speaker.voice!r}: {', '.join(LANGUAGES)} begin one")
        network, styles = load_network(), load_styles(speaker.voice)
        sounds = [_known(sound, network.vocabulary) for sound in read_aloud(text, language)]
        tokens = [network.vocabulary[letter] for sound in sounds for letter in sound.letters]
        if not 0 < len(tokens) <= STYLE_LENGTHS:
            raise DataError(f"{len(tokens)} phonemes are not 1 to {STYLE_LENGTHS}: give shorter sentences")
        fed = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles[len(tokens) - 1][None],
            "speed": np.array([1 / stretch(speaker)], np.float32),
        }
        samples, steps = (np.ravel(part) for part in network.session.run(None, fed))
        spoken = phone_ends(sounds, steps, samples)
        pcm = np.asarray((samples * 32767).clip(-32768, 32767), np.int16)
        return sized(pcm, RATE_HZ, speaker, spoken)


def _known(sound: Sound, vocabulary: dict[str, int]) -> Sound:
    """Without letters that the network has no number for: they say nothing that it could say."""
    return Sound("".join(letter for letter in sound.letters if letter in vocabulary), sound.phones)


def phone_ends(
    sounds: list[Sound], steps: NDArray[np.float32], samples: NDArray[np.float32]
) -> list[tuple[list[str], float]]:
    """Stretches of phones and when each ends in s, [] for a pause; the last ends with the samples.

    Args:
        steps: of each letter of the sounds, and before and after all of them; in STEP_S.
        samples: at RATE_HZ, in which the phone before a pause fades.
    Raises: DataError, not as many steps as letters.
    """
    if len(steps) != sum(len(sound.letters) for sound in sounds) + 2:
        raise DataError(f"{len(steps)} durations for {sum(len(sound.letters) for sound in sounds)} phonemes and 2 ends")
    last_s = len(samples) / RATE_HZ
    at = float(steps[0]) - EARLIER_STEPS
    ends: list[tuple[list[str], float]] = [([], _within(at, last_s))]
    first = 1
    for sound in sounds:
        at += float(steps[first : first + len(sound.letters)].sum())
        first += len(sound.letters)
        if sound.phones:
            ends.append((list(sound.phones), _within(at, last_s)))
        elif sound.is_pause:
            ends.append(([], _within(at, last_s)))
        # Stress and the space between words are the beginning of the phone that follows.
    ends.append(([], last_s))
    return _faded(ends, samples)


def _within(at_steps: float, last_s: float) -> float:
    return min(max(0.0, at_steps * STEP_S), last_s)


def _faded(ends: list[tuple[list[str], float]], samples: NDArray[np.float32]) -> list[tuple[list[str], float]]:
    """The phone before a pause ends where the voice does: its step is stretched into the silence."""
    whole = samples[: len(samples) // _STEP_SAMPLES * _STEP_SAMPLES].reshape(-1, _STEP_SAMPLES)
    loud = np.abs(whole).max(1) > SILENT * np.abs(samples).max()
    faded = list(ends)
    for number in range(1, len(ends) - 1):
        names, end_s = ends[number]
        if names and not ends[number + 1][0]:
            start = round(ends[number - 1][1] / STEP_S)
            sounding = np.flatnonzero(loud[start : round(end_s / STEP_S)])
            if len(sounding):
                faded[number] = (names, min(end_s, (start + sounding[-1] + 1) * STEP_S))
    return faded
