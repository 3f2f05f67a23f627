from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.audio.mfcc import (
    COUNTS_ABOVE_LOG_ENERGY,
    FRAME_ENERGY_FLOOR,
    LOUDEST,
    MEL_ENERGY_FLOOR,
    MfccFrontEnd,
    RunningMean,
    as_mono,
    counts,
    hz_to_mel,
    lifted_dct,
    mel_filters,
    mfcc_and_mean,
    start_column,
)
from s2v.errors import AudioError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
GOLDEN = np.load(Path(__file__).parents[2] / "data" / "mfcc_golden.npz")
SPEECH = (GOLDEN["pcm"] / 32768.0).astype(np.float32)


def whole_columns(pcm: np.ndarray) -> np.ndarray:
    """All columns of a clip that begins at sample 0."""
    n = (len(pcm) - SPEC.mfcc_window_samples) // SPEC.mfcc_step_samples + 1
    used = pcm[: (n - 1) * SPEC.mfcc_step_samples + SPEC.mfcc_window_samples]
    return MfccFrontEnd(SPEC).columns(np.concatenate([[0.0], used]).astype(np.float32))


def random_columns(n: int, seed: int = 0) -> np.ndarray:
    """Columns of which about half are loud enough to count."""
    columns = np.random.default_rng(seed).normal(0.0, 3.0, (n, SPEC.n_mfcc)).astype(np.float32)
    columns[:, 0] += COUNTS_ABOVE_LOG_ENERGY
    return columns


def test_real_speech_gives_the_golden_numbers() -> None:
    ours = whole_columns(SPEECH)
    assert ours.shape == GOLDEN["mfcc"].shape
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, GOLDEN["mfcc"], atol=1e-4)


def test_one_column_at_a_time_equals_all_at_once() -> None:
    front_end, at_once = MfccFrontEnd(SPEC), whole_columns(SPEECH)
    padded = np.concatenate([np.zeros(1, np.float32), SPEECH])
    for m, column in enumerate(at_once):
        one = front_end.columns(padded[m * 160 : m * 160 + 401])
        np.testing.assert_allclose(one[0], column, atol=1e-6)


def test_a_file_longer_than_one_block_equals_its_parts() -> None:
    pcm = np.tile(SPEECH, 4)
    long = whole_columns(pcm)
    assert len(long) > 512
    tail = MfccFrontEnd(SPEC).columns(pcm[600 * 160 - 1 : 600 * 160 + 160 * 49 + 400])
    np.testing.assert_allclose(long[600:650], tail, atol=1e-6)


def test_digital_silence_is_the_floor_and_16_bit_rounding_noise_looks_like_it() -> None:
    silence = whole_columns(np.zeros(16_000, np.float32))
    floor = np.full(SPEC.n_mels, math.log(MEL_ENERGY_FLOOR)) @ lifted_dct(SPEC)
    floor[0] = math.log(FRAME_ENERGY_FLOOR)
    np.testing.assert_allclose(silence, np.broadcast_to(floor, silence.shape), atol=1e-5)
    rounding = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000) / 32768.0
    np.testing.assert_allclose(whole_columns(rounding), silence, atol=0.2)
    assert not counts(silence).any()


@pytest.mark.parametrize("length", [0, 1, 400, 402, 560, 562])
def test_a_broken_column_is_refused(length: int) -> None:
    with pytest.raises(AudioError, match=f"{length} samples are no whole columns; wanted 401"):
        MfccFrontEnd(SPEC).columns(np.zeros(length, np.float32))


def test_the_mel_scale_is_htk() -> None:
    assert hz_to_mel(0.0) == 0.0
    assert hz_to_mel(1000.0) == pytest.approx(1000.0, abs=0.1)


@given(st.floats(0.5, 3.0))
def test_no_warped_filter_is_deaf_or_beyond_nyquist(vtl_warp: float) -> None:
    filters = mel_filters(SPEC, vtl_warp)
    assert filters.shape == (SPEC.n_mels, SPEC.n_fft // 2 + 1)
    assert filters.min() == 0.0
    np.testing.assert_array_equal(filters.max(axis=1), 1.0)


@pytest.mark.parametrize("vtl_warp", [0.82, 0.9, 1.1, 1.22])
def test_a_warped_ear_hears_a_warped_tone_as_the_plain_ear_hears_the_plain_one(vtl_warp: float) -> None:
    plain, warped = mel_filters(SPEC), mel_filters(SPEC, vtl_warp)
    bin_hz = SPEC.sample_rate_hz / SPEC.n_fft
    for tone_hz in (600.0, 1000.0, 1500.0, 2500.0):
        heard = int(plain[:, round(tone_hz / bin_hz)].argmax())
        assert abs(int(warped[:, round(tone_hz * vtl_warp / bin_hz)].argmax()) - heard) <= 1
        if vtl_warp != 0.9:
            assert abs(int(warped[:, round(tone_hz / bin_hz)].argmax()) - heard) >= 1


def test_the_running_mean_is_the_weighted_mean_it_says() -> None:
    spec = replace(SPEC, mfcc_mean=tuple(range(13)), mean_time_constant_s=0.5)
    columns = random_columns(300)
    loud = columns[counts(columns)].astype(np.float64)
    assert 50 < len(loud) < 250
    weights = np.exp(-0.01 / 0.5) ** np.arange(len(loud), -1, -1.0)
    weights[0] *= 100.0  # the prior counts like one second, 100 columns
    wanted = weights @ np.vstack([np.arange(13.0), loud]) / weights.sum()
    np.testing.assert_allclose(RunningMean(spec).update(columns)[-1], wanted, atol=1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_cutting_the_columns_does_not_change_the_mean(lengths: list[int]) -> None:
    columns = random_columns(sum(lengths))
    cut, parts, at = RunningMean(SPEC), [], 0
    for length in lengths:
        parts.append(cut.update(columns[at : at + length]))
        at += length
    np.testing.assert_array_equal(np.concatenate(parts), RunningMean(SPEC).update(columns))


def test_silence_leaves_the_mean_where_it_was() -> None:
    mean = RunningMean(replace(SPEC, mfcc_mean=(2.0,) * 13))
    silence = whole_columns(np.zeros(32_000, np.float32))
    np.testing.assert_array_equal(mean.update(silence), 2.0)
    after_speech = mean.update(whole_columns(SPEECH))[-1]
    assert np.abs(after_speech - 2.0).max() > 1.0
    np.testing.assert_array_equal(mean.update(silence)[-1], after_speech)


def test_speech_counts_even_when_quiet() -> None:
    assert counts(whole_columns(SPEECH)).mean() > 0.9
    assert counts(whole_columns(SPEECH * 0.05)).mean() > 0.5  # 26 dB down, about -48 dBFS
    assert not counts(whole_columns(SPEECH * 1e-3)).any()


def test_a_spec_without_enough_means_is_refused() -> None:
    with pytest.raises(AudioError, match="2 means and 13 deviations; wanted 13 of each"):
        RunningMean(replace(SPEC, mfcc_mean=(0.0, 0.0)))


@settings(max_examples=30)
@given(st.integers(0, 8000), st.sampled_from([0.0, 0.08, 0.19, 0.6]))
def test_a_clip_has_the_columns_its_frames_see(n_samples: int, look_ahead_s: float) -> None:
    spec = replace(SPEC, look_ahead_s=look_ahead_s)
    columns, means = mfcc_and_mean(SPEECH[:n_samples], spec)
    n_frames = spec.frame_count(n_samples)
    wanted = spec.last_column(n_frames - 1) - start_column(spec) + 1 if n_frames else 0
    assert columns.shape == means.shape == (wanted, SPEC.n_mfcc)
    assert start_column(spec) <= 0
    assert start_column(spec) <= spec.last_column(0) - spec.n_columns + 1


def test_columns_before_sample_0_are_silence_until_they_reach_it() -> None:
    columns, _ = mfcc_and_mean(np.full(8000, 0.5, np.float32), SPEC)
    first_real = -2 - start_column(SPEC)  # column -2 covers samples -320..79, column -3 ends at -80
    np.testing.assert_array_equal(columns[1:first_real], np.broadcast_to(columns[0], (first_real - 1, SPEC.n_mfcc)))
    assert columns[first_real, 0] > columns[0, 0] + 3.0
    np.testing.assert_allclose(columns[first_real + 2 :][:20], whole_columns(np.full(8000, 0.5))[:20], atol=1e-6)


@pytest.mark.parametrize(
    ("pcm", "complaint"),
    [
        (np.zeros((2, 100), np.float32), r"shape \(2, 100\); wanted \(n,\)"),
        (np.float32(0.0), r"shape \(\)"),
        (np.zeros(100, np.int16), "audio is int16; wanted float32"),
        (np.zeros(100, np.complex64), "audio is complex64"),
        (np.array(["a"]), "audio is <U1"),
    ],
)
def test_what_is_not_mono_float_audio_is_refused(pcm: np.ndarray, complaint: str) -> None:
    with pytest.raises(AudioError, match=complaint) as caught:
        as_mono(pcm)
    assert "\n" not in str(caught.value)


def test_what_is_no_number_is_silence_and_spikes_are_cut() -> None:
    given = np.array([0.5, np.nan, -np.inf, 1e300, 1e30, -1e30, -2.0])
    np.testing.assert_array_equal(as_mono(given), np.array([0.5, 0, 0, 0, LOUDEST, -LOUDEST, -2.0], np.float32))
    assert np.isnan(given[1])  # the caller's own stays as it is


def test_good_samples_are_not_copied() -> None:
    assert as_mono(SPEECH) is SPEECH
    assert as_mono(SPEECH.astype(np.float64)).dtype == np.float32
