"""Kokoro-82M: neural voices of many languages, which tell exactly when each phone is spoken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.training.voices import espeak
from s2v.training.voices.kokoro_files import STEP_S, STYLE_LENGTHS, load_network, load_styles, missing
from s2v.training.voices.kokoro_phonemes import LANGUAGES, Sound, read_aloud
from s2v.training.voices.speech import Speaker, SynthesizedSpeech, sized, stretch

RATE_HZ = 24_000
# Where a phone begins, in steps of the durations, fitted to pocketsphinx on 760 boundaries of four voices: so much
# before its first letter, and with so much of the space and of the stress before it.
EARLIER_STEPS = 2.4
OF_SPACE, OF_STRESS = 0.6, 0.8
SILENT = 0.006  # of full scale
_LOOK_S = 0.005
_LOOK_SAMPLES = round(RATE_HZ * _LOOK_S)
CLOSURE_S = 0.045  # of a stop after a pause, as of eSpeak's: nothing is heard of it
_STOPS = frozenset(("P", "T", "K", "CH", "B", "D", "G", "JH"))


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
        samples: at RATE_HZ, which tell where the voice begins after a pause and fades before one.
    Raises: DataError, not as many steps as letters.
    """
    if len(steps) != sum(len(sound.letters) for sound in sounds) + 2:
        raise DataError(f"{len(steps)} durations for {sum(len(sound.letters) for sound in sounds)} phonemes and 2 ends")
    last_s = len(samples) / RATE_HZ
    at = float(steps[0]) - EARLIER_STEPS
    ends: list[tuple[list[str], float]] = [([], _within(at, last_s))]
    first = 1
    for sound in sounds:
        took = float(steps[first : first + len(sound.letters)].sum())
        first += len(sound.letters)
        at += took
        if sound.phones or sound.is_pause:
            ends.append((list(sound.phones), _within(at, last_s)))
        else:  # what of it the phone before still has
            rest = 1 - (OF_SPACE if sound.letters == " " else OF_STRESS)
            ends[-1] = (ends[-1][0], min(ends[-1][1] + rest * took * STEP_S, last_s))
    ends.append(([], last_s))
    return _as_heard(ends, samples)


def _within(at_steps: float, last_s: float) -> float:
    return min(max(0.0, at_steps * STEP_S), last_s)


def _as_heard(ends: list[tuple[list[str], float]], samples: NDArray[np.float32]) -> list[tuple[list[str], float]]:
    """The phones beside a pause, as the voice has them: the durations are whole steps, and reach into the silence."""
    whole = samples[: len(samples) // _LOOK_SAMPLES * _LOOK_SAMPLES].reshape(-1, _LOOK_SAMPLES)
    loud = np.abs(whole).max(1, initial=0) > SILENT * np.abs(samples).max(initial=0)
    heard = list(ends)
    for number in range(1, len(ends) - 1):
        (before, start_s), (names, end_s), (after, _) = ends[number - 1 : number + 2]
        start = round(start_s / _LOOK_S)
        if names and not before and loud[start : start + 1].any():
            quiet = np.flatnonzero(~loud[:start])
            onset_s = (int(quiet[-1]) + 1 if len(quiet) else 0) * _LOOK_S
            if names[0] in _STOPS:  # what is heard of it is its end
                onset_s -= CLOSURE_S
            pause_s = heard[number - 2][1] if number > 1 else 0.0
            heard[number - 1] = ([], max(pause_s, min(start_s, onset_s)))
        if names and not after:
            sounding = np.flatnonzero(loud[start : round(end_s / _LOOK_S)])
            if len(sounding):
                heard[number] = (names, min(end_s, (start + int(sounding[-1]) + 1) * _LOOK_S))
    return heard
