"""Makes clean training speech sound like what live audio brings: rooms, microphones, noise, levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]
LEVELS_DB = (-40.0, 5.0)  # from a whisper across the room to an overdriven microphone


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
        slope = 0.0 if rng.random() < 0.4 else None  # white noise hides what tells closed lips from open ones
        spoiled = spoiled + noise(len(pcm), rng, slope) * level * 10 ** (-snr_db / 20)
    gain_db = rng.uniform(*LEVELS_DB) if rng.random() < 0.5 else rng.normal(0, 8)
    return np.asarray(np.clip(spoiled * 10 ** (gain_db / 20), -1, 1), np.float32)


def mixed(pcm: Pcm, others: Pcm, snr_db: float) -> Pcm:
    """Somebody else in the room: `others`, of the same length, that much quieter than `pcm`."""
    level, other = (float(np.sqrt(np.mean(sound**2)) + 1e-6) for sound in (pcm, others))
    return np.asarray(pcm + others * (level / other) * 10 ** (-snr_db / 20), np.float32)


def _quick_size(n_samples: int) -> int:
    """The next power of two: FFTs of odd lengths take ten times as long."""
    return 1 << max(1, n_samples - 1).bit_length()


def noise(n_samples: int, rng: np.random.Generator, slope: float | None = None) -> Pcm:
    """Noise of RMS 1, (n,): white at a slope of 0, brown at 1, between them by chance if not told."""
    size = _quick_size(n_samples)
    spectrum = np.fft.rfft(rng.standard_normal(size, np.float32))
    slope = rng.uniform(0, 1) if slope is None else slope
    spectrum /= np.maximum(np.arange(len(spectrum), dtype=np.float32), 1) ** np.float32(slope)
    wave = np.fft.irfft(spectrum, size)[:n_samples]
    return np.asarray(wave / (np.sqrt(np.mean(wave**2)) + 1e-12), np.float32)


def equalise(pcm: Pcm, rng: np.random.Generator, rate_hz: int) -> Pcm:
    """A random smooth frequency response within about 10 dB, sometimes cut off like a telephone's."""
    size = _quick_size(len(pcm))
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    knots_hz = np.array([0, 200, 500, 1000, 2000, 4000, 8000])
    gain_db = np.interp(hz, knots_hz, rng.normal(0, 4, len(knots_hz)))
    if rng.random() < 0.2:
        gain_db -= 40 * ((hz < 300) | (hz > 3400))
    response = (10 ** (gain_db / 20)).astype(np.float32)
    return np.asarray(np.fft.irfft(np.fft.rfft(pcm, size) * response, size)[: len(pcm)], np.float32)


def reverberate(pcm: Pcm, rng: np.random.Generator, rate_hz: int) -> Pcm:
    """A room: the direct sound and an exponentially dying tail, 0.1 to 0.6 s to -60 dB."""
    dies_s = rng.uniform(0.1, 0.6)
    tail = rng.standard_normal(round(dies_s * rate_hz)) * np.exp(-6.9 * np.linspace(0, 1, round(dies_s * rate_hz)))
    tail *= rng.uniform(0.05, 0.4) / (np.sqrt((tail**2).sum()) + 1e-9)
    tail[0] = 1.0
    size = _quick_size(len(pcm) + len(tail))
    wet = np.fft.irfft(np.fft.rfft(pcm, size) * np.fft.rfft(tail.astype(np.float32), size), size)[: len(pcm)]
    return np.asarray(wet, np.float32)


def no_speech(n_samples: int, rng: np.random.Generator, rate_hz: int = 16_000) -> Pcm:
    """What a microphone brings when nobody speaks: silence, hiss, hum, tones, keys and knocks, (n,)."""
    level = 10 ** (rng.uniform(-75, -25) / 20)
    wave = noise(n_samples, rng) * level
    at_s = np.arange(n_samples) / rate_hz
    kind = rng.random()
    if kind < 0.2:
        wave[:] = 0
    elif kind < 0.4:
        wave += level * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * at_s)
    elif kind < 0.6:  # a beep or a chord, steady or on and off
        if rng.random() < 0.5:
            wave[:] = 0  # made by a machine: not a trace of noise
        hz = np.exp(rng.uniform(np.log(150), np.log(3500), (int(rng.integers(1, 4)), 1)))
        sounding = np.sin(2 * np.pi * rng.uniform(0.1, 3) * at_s) > rng.uniform(-2, 0.5)
        wave += 10 ** (rng.uniform(-50, -12) / 20) * np.sin(2 * np.pi * hz * at_s).sum(0) * sounding
    elif kind < 0.9:
        if rng.random() < 0.6:
            wave *= 0.03  # typing in a quiet room: nothing hides the clicks
        wave += clicks(n_samples, rng, rate_hz) * 10 ** (rng.uniform(-40, -6) / 20)
    return np.asarray(np.clip(wave, -1, 1), np.float32)


def clicks(n_samples: int, rng: np.random.Generator, rate_hz: int) -> Pcm:
    """Keys and knocks: a few short dying bursts a second, the first at once, peak about 1, (n,).

    At once, because a sound is hardest to tell from speech while the running mean has heard nothing else.
    """
    wave = np.zeros(n_samples)
    first = round(0.4 * rate_hz)
    for number in range(1 + int(rng.poisson(rng.uniform(1, 8) * n_samples / rate_hz))):
        length = round(rng.uniform(0.003, 0.06) * rate_hz)
        burst = rng.standard_normal(length) * np.exp(-5 * np.arange(length) / length) * rng.uniform(0.2, 1)
        start = int(rng.integers(max(1, (n_samples if number else min(first, n_samples)) - length)))
        wave[start : start + length] += burst[: n_samples - start] / 3
    return np.asarray(wave, np.float32)
