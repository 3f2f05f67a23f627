from __future__ import annotations

import numpy as np
import pytest
from fakes import voice
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.training.train.augment import equalise, no_speech, noise, reverberate, spoil

SEEDS = st.integers(0, 2**32 - 1)


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def band(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Energy between two pitches."""
    hz = np.fft.rfftfreq(len(wave), 1 / 16_000)
    return float((np.abs(np.fft.rfft(wave)) ** 2)[(hz >= low_hz) & (hz < high_hz)].sum())


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.2, 2.0))
def test_spoiled_speech_is_still_audio_of_the_same_length(seed: int, seconds: float) -> None:
    clean = voice(seconds)
    before = clean.copy()
    spoiled = spoil(clean, np.random.default_rng(seed))
    assert spoiled.shape == clean.shape
    assert spoiled.dtype == np.float32
    assert np.isfinite(spoiled).all()
    assert np.abs(spoiled).max() <= 1
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(spoil(clean, np.random.default_rng(seed)), spoiled)


def test_spoiling_varies_level_and_sound_but_not_time() -> None:
    clean, rng = voice(2.0), np.random.default_rng(1)
    spoiled = [spoil(clean, rng) for _ in range(30)]
    levels_db = [20 * np.log10(rms(wave) / rms(clean)) for wave in spoiled]
    assert np.std(levels_db) > 3
    loudness = [np.abs(wave).reshape(-1, 320).mean(1) for wave in (clean, *spoiled)]
    for heard in loudness[1:]:
        likeness = [np.corrcoef(loudness[0][10:-10], np.roll(heard, -shift)[10:-10])[0, 1] for shift in range(-5, 6)]
        assert abs(int(np.argmax(likeness)) - 5) <= 1  # within 20 ms, a room's echo included


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_noise_has_unit_level_and_falls_towards_high_pitch(seed: int) -> None:
    wave = noise(16_000, np.random.default_rng(seed))
    assert rms(wave) == pytest.approx(1, rel=1e-3)
    assert band(wave, 100, 2000) / 1900 > 0.7 * band(wave, 4000, 8000) / 4000


def test_noise_is_as_white_as_asked_for() -> None:
    white, brown = (noise(64_000, np.random.default_rng(1), slope) for slope in (0.0, 1.0))
    assert band(white, 100, 2000) / 1900 == pytest.approx(band(white, 4000, 8000) / 4000, rel=0.15)
    assert band(brown, 100, 2000) / 1900 > 20 * band(brown, 4000, 8000) / 4000


def test_some_talkers_are_very_far_away() -> None:
    speech = voice(1.0)
    levels_db = np.array(
        [20 * np.log10(rms(spoil(speech, np.random.default_rng(seed))) / rms(speech)) for seed in range(80)]
    )
    assert 0.1 < (levels_db < -22).mean() < 0.4
    assert levels_db.min() > -45


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_room_rings_after_the_sound_and_never_before(seed: int) -> None:
    click = np.zeros(16_000, np.float32)
    click[4000] = 0.5
    wet = reverberate(click, np.random.default_rng(seed), 16_000)
    assert np.abs(wet[:4000]).max() < 1e-6
    assert wet[4000] == pytest.approx(0.5, rel=1e-4)
    assert 0 < np.abs(wet[4001:]).max() < 0.25
    assert rms(wet[14_500:]) < 1e-4  # gone after 0.6 s


def test_an_equaliser_changes_the_colour_within_bounds() -> None:
    white = noise(32_000, np.random.default_rng(5)) * np.float32(0.1)
    for seed in range(20):
        heard = equalise(white, np.random.default_rng(seed), 16_000)
        for low_hz in (400, 800, 1600, 2800):
            change_db = 10 * np.log10(band(heard, low_hz, 1.2 * low_hz) / band(white, low_hz, 1.2 * low_hz))
            assert abs(change_db) < 16


def test_some_equalisers_are_telephones() -> None:
    white = noise(32_000, np.random.default_rng(5))
    lost_db = [
        10 * np.log10(band(equalise(white, np.random.default_rng(seed), 16_000), 4000, 8000) / band(white, 4000, 8000))
        for seed in range(40)
    ]
    telephones = sum(change < -25 for change in lost_db)
    assert 2 <= telephones <= 20


def test_silence_comes_as_hiss_hum_tones_knocks_and_nothing_at_all() -> None:
    rng = np.random.default_rng(2)
    waves = [no_speech(8000, rng) for _ in range(60)]
    assert all(wave.shape == (8000,) and wave.dtype == np.float32 for wave in waves)
    levels = np.array([rms(wave) for wave in waves])
    assert 3 <= (levels == 0).sum() <= 30
    assert levels.max() < 0.4  # a loud beep
    heard = levels[levels > 0]
    assert heard.max() > 20 * heard.min()
