"""What a microphone brings that is not speech: a mouth must stay shut and still in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.bundled import BUNDLED_VOICE, PHONES_VOICE
from s2v.media.video_file import read_sound

Pcm = NDArray[np.float32]
SECONDS = 3.0
_RATE_HZ = 16_000


def no_speech_sounds(seconds: float = SECONDS) -> dict[str, Pcm]:
    """Name -> (n,) float32 at 16 kHz; the same samples every time."""
    n = round(seconds * _RATE_HZ)
    random = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 * np.arange(n) / _RATE_HZ) * np.sqrt(2) * 10 ** (-20 / 20)
    return {
        "digital silence": np.zeros(n, np.float32),
        "white noise, -30 dBFS": (random.standard_normal(n) * 10 ** (-30 / 20)).astype(np.float32),
        "key clicks": _key_clicks(n, random),
        "tone of 440 Hz, -20 dBFS": tone.astype(np.float32),
    }


def _key_clicks(n: int, random: np.random.Generator) -> Pcm:
    """Typing: about five clicks a second, each 8 ms of noise that dies away, over a quiet room."""
    sound = random.standard_normal(n) * 10 ** (-60 / 20)
    click = round(0.008 * _RATE_HZ)
    fade = np.exp(-6 * np.linspace(0, 1, click))
    for at in np.cumsum(random.uniform(0.1, 0.3, size=n // 1600) * _RATE_HZ).astype(int):
        if at + click <= n:
            sound[at : at + click] += random.uniform(0.15, 0.4) * random.uniform(-1, 1, click) * fade
    return np.clip(sound, -1, 1).astype(np.float32)


def bundled_voice() -> Pcm:
    """The sample voice of the package, (n,) float32 at 16 kHz: free speech by somebody no test set holds."""
    return (read_sound(BUNDLED_VOICE) / 32768).astype(np.float32)


def phones_voice() -> Pcm:
    """Three sentences with every mouth shape of English, (n,) float32 at 16 kHz; phones.lab says when."""
    return (read_sound(PHONES_VOICE) / 32768).astype(np.float32)


def other_voice(n_samples: int, turn: float, voice: Pcm) -> Pcm:
    """`n_samples` of `voice`, begun at a part `turn` in [0, 1) of it and repeated as needed."""
    return np.resize(np.roll(voice, -round(turn * len(voice))), n_samples).astype(np.float32)
