"""Makes clean training speech sound like what live audio brings: rooms, microphones, noise, levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]


def spoil(pcm: Pcm, rng: np.random.Generator, rate_hz: int = 16_000) -> Pcm:
    """One random room, microphone, noise and level; (n,) float32 in [-1, 1] -> the same shape."""
    spoiled: Pcm = pcm
    if rng.random() < 0.3:
        spoiled = reverberate(spoiled, rng, rate_hz)
    if rng.random() < 0.6:
        spoiled = equalise(spoiled, rng, rate_hz)
    if rng.random() < 0.6:
        snr_db = rng.uniform(5, 40)
        level = float(np.sqrt(np.mean(spoiled**2)) + 1e-6)
        spoiled = spoiled + noise(len(pcm), rng) * level * 10 ** (-snr_db / 20)
    gain_db = rng.normal(0, 8)
    return np.asarray(np.clip(spoiled * 10 ** (gain_db / 20), -1, 1), np.float32)


def noise(n_samples: int, rng: np.random.Generator) -> Pcm:
    """Noise of RMS 1 between white and brown, (n,)."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    slope = rng.uniform(0, 1)
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** slope
    wave = np.fft.irfft(spectrum, n_samples)
    return np.asarray(wave / (np.sqrt(np.mean(wave**2)) + 1e-12), np.float32)


def equalise(pcm: Pcm, rng: np.random.Generator, rate_hz: int) -> Pcm:
    """A random smooth frequency response within about 10 dB, sometimes cut off like a telephone's."""
    hz = np.fft.rfftfreq(len(pcm), 1 / rate_hz)
    knots_hz = np.array([0, 200, 500, 1000, 2000, 4000, 8000])
    gain_db = np.interp(hz, knots_hz, rng.normal(0, 4, len(knots_hz)))
    if rng.random() < 0.2:
        gain_db -= 40 * ((hz < 300) | (hz > 3400))
    return np.asarray(np.fft.irfft(np.fft.rfft(pcm) * 10 ** (gain_db / 20), len(pcm)), np.float32)


def reverberate(pcm: Pcm, rng: np.random.Generator, rate_hz: int) -> Pcm:
    """A room: the direct sound and an exponentially dying tail, 0.1 to 0.6 s to -60 dB."""
    dies_s = rng.uniform(0.1, 0.6)
    tail = rng.standard_normal(round(dies_s * rate_hz)) * np.exp(-6.9 * np.linspace(0, 1, round(dies_s * rate_hz)))
    tail *= rng.uniform(0.05, 0.4) / (np.sqrt((tail**2).sum()) + 1e-9)
    tail[0] = 1.0
    size = len(pcm) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(pcm, size) * np.fft.rfft(tail, size), size)[: len(pcm)]
    return np.asarray(wet, np.float32)


def no_speech(n_samples: int, rng: np.random.Generator) -> Pcm:
    """What a microphone brings when nobody speaks: digital silence, hiss or hum, (n,)."""
    level_db = rng.uniform(-75, -25)
    wave = noise(n_samples, rng) * 10 ** (level_db / 20)
    kind = rng.random()
    if kind < 0.25:
        wave[:] = 0
    elif kind < 0.5:
        hum_hz = rng.choice([50, 60, 100, 120])
        wave += 10 ** (level_db / 20) * np.sin(2 * np.pi * hum_hz * np.arange(n_samples) / 16_000)
    return np.asarray(np.clip(wave, -1, 1), np.float32)
