from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.audio.level import (
    FIRST_RATE_DB_S,
    HIGHEST_GAIN_DB,
    LOUDER_RATE_DB_S,
    LOWEST_GAIN_DB,
    TARGET_DB,
    AutomaticGain,
    gain_for,
    levelled,
)

RATE_HZ = 16_000


def rms_db(pcm: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(pcm, dtype=np.float64))))


def talk(seconds: float, level_db: float, noise_db: float = -90.0, seed: int = 0) -> np.ndarray:
    """Syllables of 0.2 s with 0.1 s between them, each of that level, over noise."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    spoken = np.arange(n) / RATE_HZ % 0.3 < 0.2
    voice = rng.standard_normal(n) * spoken * 10 ** (level_db / 20)
    return (voice + rng.standard_normal(n) * 10 ** (noise_db / 20)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9000), st.lists(st.integers(0, 700), min_size=1, max_size=40), st.floats(-60, 0))
def test_chunks_do_not_change_a_bit(n_samples: int, lengths: list[int], level_db: float) -> None:
    pcm = talk(1.0, level_db)[:n_samples]
    stream, parts, at = AutomaticGain(RATE_HZ), [np.zeros(0, np.float32)], 0
    while at < n_samples:
        length = lengths.pop() if lengths else 333
        parts.append(stream.apply(pcm[at : at + length]))
        at += length
    np.testing.assert_array_equal(np.concatenate(parts), levelled(pcm, RATE_HZ))


def test_single_samples_give_the_same() -> None:
    pcm, stream = talk(0.5, -40.0), AutomaticGain(RATE_HZ)
    one_by_one = np.concatenate([stream.apply(sample[None]) for sample in pcm])
    np.testing.assert_array_equal(one_by_one, levelled(pcm, RATE_HZ))
    assert one_by_one.dtype == np.float32


def test_what_comes_later_changes_nothing_before_it() -> None:
    pcm = talk(3.0, -40.0)
    other = np.concatenate([pcm[:20_000], 0.9 * np.ones(28_000, np.float32)])
    np.testing.assert_array_equal(levelled(other, RATE_HZ)[:20_000], levelled(pcm, RATE_HZ)[:20_000])


@pytest.mark.parametrize("level_db", [-57.0, -40.0, -25.0, TARGET_DB])
def test_a_quiet_voice_comes_to_the_target(level_db: float) -> None:
    heard = levelled(talk(6.0, level_db), RATE_HZ)
    last_syllable = heard[round(5.71 * RATE_HZ) : round(5.89 * RATE_HZ)]
    assert rms_db(last_syllable) == pytest.approx(TARGET_DB, abs=1.0)


def test_the_gain_moves_no_faster_than_it_may() -> None:
    stream, gains = AutomaticGain(RATE_HZ), []
    for block in talk(4.0, -50.0).reshape(-1, 160):
        stream.apply(block)
        gains.append(stream.gain_db)
    assert 0 < np.abs(np.diff(gains)).max() <= FIRST_RATE_DB_S * 0.01 + 1e-9
    assert np.diff(gains).min() >= -1.0  # and does not swing


def test_within_a_block_the_gain_glides() -> None:
    pcm = talk(4.0, -50.0)
    gain = levelled(pcm, RATE_HZ)[pcm != 0] / pcm[pcm != 0]
    assert gain.max() > 10
    assert (np.abs(np.diff(gain)) < 0.001 * gain[1:]).all()


def test_who_raises_his_voice_stays_above_himself() -> None:
    usual, raised = talk(6.0, -30.0), talk(3.0, -24.0, seed=1)
    heard = levelled(np.concatenate([usual, raised]), RATE_HZ)
    before, after = heard[round(5.4 * RATE_HZ) : round(5.59 * RATE_HZ)], heard[-round(0.29 * RATE_HZ) : -1600]
    # Two thirds of three seconds are speech, a dB taken off in each.
    assert rms_db(after) - rms_db(before) == pytest.approx(6 - 2 * LOUDER_RATE_DB_S, abs=0.7)


def test_a_shout_is_brought_down_by_half_only() -> None:
    assert gain_for(TARGET_DB + 10) == -5
    assert gain_for(TARGET_DB - 10) == 10
    assert gain_for(20.0) == LOWEST_GAIN_DB
    assert gain_for(-90.0) == HIGHEST_GAIN_DB


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 5 * RATE_HZ
    at_s = np.arange(n) / RATE_HZ
    clicks = rng.standard_normal(n) * 10 ** (-70 / 20)
    for at in range(3000, n - 200, 3200):
        clicks[at : at + 128] += 0.03 * rng.standard_normal(128)
    silence_then_noise = rng.standard_normal(n) * 0.01 * (at_s > 1)
    return {
        "digital silence": np.zeros(n),
        "rounding": rng.integers(-1, 2, n) / 32768,
        "white noise": 0.003 * rng.standard_normal(n),
        "noise after silence": silence_then_noise,
        "hum": 0.003 * np.sin(2 * np.pi * 50 * at_s),
        "hum of 60 Hz": 0.003 * np.sin(2 * np.pi * 60 * at_s),
        "tone": 0.02 * np.sin(2 * np.pi * 440 * at_s),
        "key clicks": clicks,
    }


@pytest.mark.parametrize("name", list(sounds()))
def test_what_is_no_speech_is_not_raised(name: str) -> None:
    pcm = sounds()[name].astype(np.float32)
    np.testing.assert_array_equal(levelled(pcm, RATE_HZ), pcm)


def test_a_pause_changes_no_gain() -> None:
    pcm = np.concatenate([talk(3.0, -40.0, noise_db=-60.0), talk(4.0, -200.0, noise_db=-60.0)])
    stream = AutomaticGain(RATE_HZ)
    stream.apply(pcm[: 3 * RATE_HZ])
    before_db = stream.gain_db
    assert before_db > 15
    stream.apply(pcm[3 * RATE_HZ : 7 * RATE_HZ])
    assert stream.gain_db == before_db


def test_nothing_in_gives_nothing() -> None:
    assert levelled(np.zeros(0, np.float32), RATE_HZ).shape == (0,)
