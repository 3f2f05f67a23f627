from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.audio.level import levelled
from s2v.engine.audio.mfcc import MfccFrontEnd
from s2v.engine.audio.windows import MfccWindows, mfcc_windows
from s2v.errors import AudioError
from s2v.spec import LipSyncSpec, Network

PCM = np.load(Path(__file__).parents[2] / "data" / "mfcc_golden.npz")["pcm"]
SPEECH = (PCM / 32768.0).astype(np.float32)
# A prior and a scale of its own for each cepstrum: a mixed-up row would show.
TRAINED = LipSyncSpec(mfcc_mean=tuple(np.linspace(-8.0, 4.0, 13)), mfcc_std=tuple(np.linspace(4.0, 9.0, 13)))

specs = st.builds(
    lambda look_ahead_s, fps, network, gain: replace(
        TRAINED, look_ahead_s=look_ahead_s, fps=fps, network=network, automatic_gain=gain
    ),
    look_ahead_s=st.sampled_from([0.0, 0.04, 0.08, 0.19]),
    fps=st.sampled_from([25, 30]),
    network=st.sampled_from(get_args(Network)),
    gain=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(specs, st.integers(0, 12_000), st.lists(st.integers(0, 3000), max_size=8), st.integers(160, 2000))
def test_chunk_size_does_not_change_the_windows(
    spec: LipSyncSpec, n_samples: int, first_lengths: list[int], later_length: int
) -> None:
    pcm, live, drawn, at = SPEECH[9000 : 9000 + n_samples], MfccWindows(spec), [], 0
    while at < n_samples:
        length = first_lengths.pop() if first_lengths else later_length
        drawn += live.push(pcm[at : at + length])
        at = min(at + length, n_samples)
        ready = sum(spec.ready_at(frame) <= at for frame in range(spec.frame_count(at)))
        assert len(drawn) == ready  # neither before its samples have come nor later
    drawn += live.flush()
    offline = mfcc_windows(pcm, spec)
    assert offline.shape == (spec.frame_count(n_samples), spec.n_cepstra, spec.n_columns)
    assert [frame for frame, _ in drawn] == list(range(len(offline)))
    for frame, window in drawn:
        assert window.dtype == np.float32
        np.testing.assert_allclose(window, offline[frame], atol=1e-5)


def test_single_samples_give_the_same_windows() -> None:
    pcm, live = SPEECH[9000:10500], MfccWindows(TRAINED)
    drawn = [pair for sample in pcm for pair in live.push(sample[None])] + live.flush()
    np.testing.assert_allclose(np.stack([window for _, window in drawn]), mfcc_windows(pcm, TRAINED), atol=1e-5)


@pytest.mark.parametrize("fps", [1, 5, 60, 100])
@pytest.mark.parametrize("look_ahead_s", [0.0, 0.6])
def test_odd_frame_rates_and_long_look_ahead_hold_too(fps: int, look_ahead_s: float) -> None:
    spec = replace(TRAINED, fps=fps, look_ahead_s=look_ahead_s)
    live = MfccWindows(spec)
    drawn = [pair for at in range(0, len(SPEECH), 700) for pair in live.push(SPEECH[at : at + 700])] + live.flush()
    assert [frame for frame, _ in drawn] == list(range(spec.frame_count(len(SPEECH))))
    np.testing.assert_allclose(np.stack([window for _, window in drawn]), mfcc_windows(SPEECH, spec), atol=1e-5)


@pytest.mark.parametrize("fps", [25, 30, 70, 120])
def test_a_stream_that_stops_anywhere_has_the_frames_that_cover_it(fps: int) -> None:
    spec = replace(TRAINED, fps=fps, look_ahead_s=0.0)  # at 70 fps a window may be complete before its frame begins
    for n_samples in range(0, 1200, 7):
        live = MfccWindows(spec)
        drawn = live.push(SPEECH[:n_samples]) + live.flush()
        assert len(drawn) == spec.frame_count(n_samples)


def test_a_chunk_larger_than_the_ring_works() -> None:
    pcm, live = np.tile(SPEECH, 3), MfccWindows(TRAINED)  # 5.7 s at once
    drawn = live.push(pcm) + live.flush()
    np.testing.assert_allclose(np.stack([window for _, window in drawn]), mfcc_windows(pcm, TRAINED), atol=1e-5)


@pytest.mark.parametrize("look_ahead_s", [0.0, 0.08, 0.19])
def test_a_window_sees_exactly_its_own_samples(look_ahead_s: float) -> None:
    """A click shows in those columns that cover it, and in no other: counted from the sample numbers alone."""
    spec = LipSyncSpec(look_ahead_s=look_ahead_s)  # no mean, no scale: raw cepstra
    click_at, frame = 9_000, 13  # frame 13: samples 8320..8959, centre 8640
    pcm = np.zeros(16_000, np.float32)
    pcm[click_at] = 0.5
    window = mfcc_windows(pcm, spec)[frame]
    changed = np.flatnonzero(np.abs(window - window[:, :1]).max(axis=0) > 1.0)  # the oldest column is silence
    newest_end = (8640 + round(look_ahead_s * 16_000) - 400) // 160 * 160 + 400
    ends = newest_end - 160 * np.arange(34, -1, -1)
    covers = (ends - 400 <= click_at) & (click_at < ends)
    np.testing.assert_array_equal(changed, np.flatnonzero(covers))


def test_each_column_is_normalised_by_the_mean_after_it() -> None:
    """Worked out again, one column and one formula at a time."""
    spec, front_end = TRAINED, MfccFrontEnd(TRAINED)
    padded = np.concatenate([np.zeros(16_000, np.float32), SPEECH, np.zeros(16_000, np.float32)])

    def column(m: int) -> np.ndarray:
        return np.asarray(front_end.columns(padded[16_000 + m * 160 - 1 : 16_000 + m * 160 + 400])[0], np.float64)

    frame = 20
    total, weight = np.array(spec.mfcc_mean) * 100.0, 100.0
    newest, normalised = spec.last_column(frame), []
    for m in range(-40, newest + 1):
        if column(m)[0] > np.log(8e-6):
            total, weight = total * np.exp(-1 / 400) + column(m), weight * np.exp(-1 / 400) + 1.0
        normalised.append((column(m) - total / weight) / spec.mfcc_std)
    np.testing.assert_allclose(mfcc_windows(SPEECH, spec)[frame], np.stack(normalised[-35:], axis=1), atol=1e-5)


def test_the_papers_network_gets_the_same_windows_without_c0() -> None:
    paper = mfcc_windows(SPEECH, replace(TRAINED, network="speech2vid"))
    assert paper.shape[1:] == (12, 35)
    np.testing.assert_array_equal(paper, mfcc_windows(SPEECH, TRAINED)[:, 1:])


def test_level_stops_mattering_after_some_seconds() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, 16 * 16_000).astype(np.float32)
    loud, soft = mfcc_windows(noise, TRAINED), mfcc_windows(noise * 0.25, TRAINED)
    apart = np.abs(loud - soft).max(axis=(1, 2))
    assert apart[10] > 0.3  # ln(16) / 4 = 0.69 before any mean is known
    assert apart[-5] < 0.1 * apart[10]  # the very last windows reach into the zeros after the end


def test_a_warped_vocal_tract_changes_the_windows_but_not_their_energy() -> None:
    plain, warped = mfcc_windows(SPEECH, TRAINED), mfcc_windows(SPEECH, TRAINED, vtl_warp=1.15)
    np.testing.assert_array_equal(warped[:, 0], plain[:, 0])
    assert np.abs(warped[:, 1:] - plain[:, 1:]).mean() > 0.1


def test_an_empty_stream_has_no_frames() -> None:
    live = MfccWindows(TRAINED)
    assert live.push(np.zeros(0, np.float32)) == []
    assert live.flush() == []
    assert mfcc_windows(np.zeros(0, np.float32), TRAINED).shape == (0, 13, 35)


def test_a_flushed_stream_has_ended() -> None:
    live = MfccWindows(TRAINED)
    live.push(SPEECH[:1000])
    assert [frame for frame, _ in live.flush()] == [0, 1]
    assert live.flush() == []
    assert live.n_samples == 1000
    with pytest.raises(AudioError, match="was flushed"):
        live.push(SPEECH[:10])


def test_windows_stay_the_callers_own() -> None:
    live = MfccWindows(TRAINED)
    (_, first), *_ = live.push(SPEECH[:2000])
    kept = first.copy()
    live.push(SPEECH[2000:])
    np.testing.assert_array_equal(first, kept)


def test_bad_audio_is_refused_and_leaves_the_stream_usable() -> None:
    live = MfccWindows(TRAINED)
    with pytest.raises(AudioError, match="audio has shape"):
        live.push(np.zeros((2, 4), np.float32))
    with pytest.raises(AudioError, match="audio is int16"):
        live.push(PCM[:100])
    with pytest.raises(AudioError, match="audio is int16"):
        mfcc_windows(PCM, TRAINED)
    drawn = live.push(SPEECH) + live.flush()
    np.testing.assert_allclose(np.stack([window for _, window in drawn]), mfcc_windows(SPEECH, TRAINED), atol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30, -1e30])
def test_one_wrong_sample_is_not_heard_a_second_later(wrong: float) -> None:
    """Neither the gain nor the running mean of a voice may be thrown off by it."""
    spec = replace(TRAINED, automatic_gain=True)
    speech = np.resize(SPEECH, 2 * spec.sample_rate_hz)
    broken = speech.copy()
    broken[4000] = wrong
    given, meant = mfcc_windows(broken, spec), mfcc_windows(speech, spec)
    later = round((4000 / spec.sample_rate_hz + 1) * spec.fps)
    assert np.isfinite(given).all()
    assert not np.array_equal(given[:later], meant[:later])
    assert np.abs(given[later:] - meant[later:]).max() < 0.25


def test_automatic_gain_comes_before_everything_else() -> None:
    quiet = (0.01 * np.tile(SPEECH, 2)).astype(np.float32)
    heard = mfcc_windows(quiet, replace(TRAINED, automatic_gain=True))
    np.testing.assert_array_equal(heard, mfcc_windows(levelled(quiet, 16_000), TRAINED))
    assert np.abs(heard - mfcc_windows(quiet, TRAINED)).max() > 0.3
