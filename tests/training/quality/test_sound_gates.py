from __future__ import annotations

import numpy as np
import pytest
from helpers.spoken import clicks, noise, silence, speech
from numpy.typing import NDArray

from s2v.training.quality.sound_gates import no_speech
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()


def pcm_of(sound: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.asarray(np.round(np.clip(sound, -1, 1) * 32767), np.int16)


@pytest.mark.parametrize("level", [0.003, 0.15, 0.6])
def test_speech_passes_however_loud(level: float) -> None:
    assert no_speech(pcm_of(speech(3.0, level=level)), LIMITS) is None


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("silent", silence(3.0)),
        ("silent", noise(3.0, 1e-4)),
        ("noise of -20 dB", noise(3.0, 0.1)),
        ("noise of", clicks(3.0)),
        ("silent", silence(0.0)),
    ],
)
def test_where_nobody_speaks_the_clip_is_refused(name: str, sound: NDArray[np.float32]) -> None:
    refusal = no_speech(pcm_of(sound), LIMITS)
    assert refusal is not None
    assert refusal.gate == "no-speech"
    assert refusal.reason.startswith("nobody speaks: 0.0 s of speech")
    assert name in refusal.reason


def test_a_word_in_a_long_silence_is_too_little() -> None:
    word = pcm_of(np.concatenate([silence(5.0), speech(1.0, seed=2), silence(14.0)]))
    refusal = no_speech(word, LIMITS)
    assert refusal is not None
    assert refusal.threshold == pytest.approx(2.0)
    assert refusal.figure is not None
    assert 0 < refusal.figure < 1
