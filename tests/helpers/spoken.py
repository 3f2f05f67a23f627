"""Sounds with the rhythm of speech and without words, at 16 kHz; and what else comes out of microphones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]
RATE_HZ = 16_000


def silence(length_s: float) -> Pcm:
    return np.zeros(round(length_s * RATE_HZ), np.float32)


def tone(length_s: float, hz: float, level: float = 0.2, harmonics: int = 8) -> Pcm:
    """A voice's steady sound: `harmonics` of a fundamental, the higher ones weaker."""
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    waves = [np.sin(2 * np.pi * hz * k * t) / k for k in range(1, harmonics + 1)]
    return np.asarray(level * np.sum(waves, axis=0), np.float32)


def syllable(length_s: float = 0.2, hz: float = 120.0, level: float = 0.2) -> Pcm:
    """A tone that swells and fades."""
    sound = tone(length_s, hz, level)
    return np.asarray(sound * np.hanning(len(sound)), np.float32)


def phrase(*stresses: float, hz: float = 120.0, level: float = 0.2, each_s: float = 0.2) -> Pcm:
    """Syllables one after the other, each so many times as loud and 2 semitones higher for each doubling."""
    return np.concatenate([syllable(each_s, hz * (2 ** (np.log2(x) * 2 / 12)), level * x) for x in stresses])


def speech(length_s: float, seed: int = 0, hz: float = 120.0, level: float = 0.15) -> Pcm:
    """Phrases of 5 to 15 syllables, a few of them stressed, and pauses of 0.4 to 1 s, over a little noise."""
    random = np.random.default_rng(seed)
    parts: list[Pcm] = [silence(random.uniform(0.3, 0.8))]
    while sum(map(len, parts)) < length_s * RATE_HZ:
        n = int(random.integers(5, 16))
        stresses = np.where(random.random(n) < 0.25, 2.0, random.uniform(0.6, 1.1, n))
        parts += [phrase(*stresses, hz=hz, level=level, each_s=random.uniform(0.17, 0.24))]
        parts += [silence(random.uniform(0.4, 1.0))]
    pcm = np.concatenate(parts)[: round(length_s * RATE_HZ)]
    return pcm + noise(length_s, 1e-4, seed)


def noise(length_s: float, level: float, seed: int = 0) -> Pcm:
    random = np.random.default_rng(seed)
    return level * random.standard_normal(round(length_s * RATE_HZ), np.float32)


def clicks(length_s: float, every_s: float = 0.37) -> Pcm:
    pcm = silence(length_s)
    pcm[:: round(every_s * RATE_HZ)] = 1.0
    return pcm


def square_music(length_s: float) -> Pcm:
    """Loud notes of a square wave, eight a second."""
    random = np.random.default_rng(5)
    notes = [tone(0.125, 110 * 2 ** (random.integers(0, 24) / 12), 1.0) for _ in range(round(length_s * 8))]
    return np.asarray(0.7 * np.sign(np.concatenate(notes)), np.float32)


def laughter(length_s: float) -> Pcm:
    """Bursts of a high voice, five a second."""
    burst = np.concatenate([syllable(0.11, 320.0, 0.5), silence(0.09)])
    return np.tile(burst, int(length_s / 0.2) + 1)[: round(length_s * RATE_HZ)]
