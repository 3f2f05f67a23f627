from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from spoken import noise, silence, speech, tone

from s2v.training.quality.sound_gates import no_speech
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()


def pcm_of(sound: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.asarray(np.round(np.clip(sound, -1, 1) * 32767), np.int16)


@pytest.mark.parametrize("level", [0.003, 0.15, 0.6])
def test_speech_passes_however_loud(level: float) -> None:
    assert no_speech(pcm_of(speech(3.0, level=level)), LIMITS) is None


def brown(length_s: float, level: float) -> NDArray[np.float32]:
    """Rumble of wind."""
    rumble = np.cumsum(noise(length_s, 1.0))
    rumble -= np.convolve(rumble, np.ones(4000) / 4000, "same")
    return np.asarray(level * rumble / rumble.std(), np.float32)


@pytest.mark.parametrize("length_s", [0.6, 3.0])
@pytest.mark.parametrize(
    ("what", "sound_of"),
    [
        ("the sound is silent", silence),
        ("the sound is silent", lambda length_s: noise(length_s, 1e-4)),
        ("noise of -20 dB that stays as it is", lambda length_s: noise(length_s, 0.1)),
        ("noise of -20 dB that stays as it is", lambda length_s: brown(length_s, 0.1)),
        ("noise of", lambda length_s: tone(length_s, 50)),
    ],
)
def test_where_nobody_speaks_the_clip_is_refused(
    length_s: float, what: str, sound_of: Callable[[float], NDArray[np.float32]]
) -> None:
    refusal = no_speech(pcm_of(sound_of(length_s)), LIMITS)
    assert refusal is not None
    assert refusal.gate == "no-speech"
    assert refusal.reason.startswith(f"nobody speaks: {what}")
    assert refusal.figure is not None
    assert refusal.figure < LIMITS.min_varies_db


def test_nothing_at_all_is_no_speech() -> None:
    assert no_speech(np.zeros(0, np.int16), LIMITS) is not None


def test_speech_cut_tightly_passes_also_in_noise() -> None:
    whole = speech(6.0, seed=4)
    voiced = np.flatnonzero(np.abs(whole) > 0.05)[0]
    for length_s in (0.6, 1.0, 2.0):
        tight = whole[voiced : voiced + round(length_s * 16_000)]
        loud = float(np.sqrt(np.mean(tight**2)))
        assert no_speech(pcm_of(tight), LIMITS) is None
        assert no_speech(pcm_of(tight + noise(length_s, 0.5 * loud)), LIMITS) is None  # 6 dB below


def test_a_word_in_a_long_silence_is_speech() -> None:
    word = pcm_of(np.concatenate([silence(10.0), speech(1.5, seed=2), silence(39.0)]))
    assert no_speech(word, LIMITS) is None
