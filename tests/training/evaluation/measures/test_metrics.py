from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from fakes import voice
from hypothesis import given
from hypothesis import strategies as st

from s2v.engine.face.geometry import canonical_face
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import (
    LIPS,
    OFFSETS_FRAMES,
    best_offset,
    closures,
    correlation,
    landmark_distance,
    lip_speed,
    loudness,
    luma_ssim,
    offset_sweep,
    pauses,
    psnr,
    runs,
    sharpness,
)

SPEC = LipSyncSpec()


def curve(n: int, seed: int) -> np.ndarray:
    return np.convolve(np.random.default_rng(seed).standard_normal(n + 8), np.hanning(9), "valid")


@given(st.integers(0, 2**32 - 1), st.integers(-8, 8))
def test_the_sweep_peaks_where_one_curve_follows_the_other(seed: int, frames: int) -> None:
    film = curve(120, seed)
    prediction = film[8 - frames : 108 - frames]  # `frames` late
    sweep = offset_sweep(prediction, film[8:108])
    assert sweep.shape == (17,)
    assert OFFSETS_FRAMES[int(sweep.argmax())] == best_offset(prediction, film[8:108]) == frames
    assert sweep.max() == pytest.approx(1)
    assert sweep[8] == correlation(prediction, film[8:108])


def test_of_equal_offsets_the_nearest_is_taken() -> None:
    assert best_offset(np.zeros(50), curve(50, 0)) == 0  # what never moves fits nowhere better
    assert best_offset(np.arange(50.0), np.arange(50.0)) == 0


def test_a_clip_shorter_than_the_sweep_has_figures_too() -> None:
    assert np.isfinite(offset_sweep(curve(6, 0), curve(6, 1))).all()


def spoken_and_silent(*parts: tuple[float, float]) -> np.ndarray:
    """Noise of (seconds, level) one after the other."""
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(0, level, round(16_000 * s)) for s, level in parts]).astype(np.float32)


def test_pauses_are_where_nobody_speaks_and_end_before_the_lips_move() -> None:
    pcm = spoken_and_silent((1, 0.001), (1, 0.2), (0.4, 0.001), (0.6, 0.2), (0.12, 0.001), (0.88, 0.2))
    # The first second but for two frames; 0.4 s less two frames at both ends; 0.12 s is a stop, not a pause.
    assert runs(pauses(pcm, 100, SPEC)) == [(0, 23), (52, 58)]


def test_what_is_never_quiet_has_no_pause_and_digital_silence_is_all_pause() -> None:
    assert not pauses(spoken_and_silent((2, 0.1)), 50, SPEC).any()
    assert pauses(np.zeros(32_000, np.float32), 50, SPEC).all()


def test_loudness_is_that_of_the_frame_itself() -> None:
    pcm = np.zeros(16_000, np.float32)
    pcm[640 * 7 : 640 * 8] = 0.5
    loud = loudness(pcm, 25, SPEC)
    assert loud.shape == (25,)
    assert np.flatnonzero(loud > loud.min()).tolist() == [7]
    assert loud[7] == pytest.approx(np.log(0.25 + 1e-5))
    assert len(loudness(pcm[:100], 25, SPEC)) == 25  # what is missing is silence


def test_closures_count_only_lips_closed_for_two_frames_while_somebody_speaks() -> None:
    film = np.array([0.1, 0.0, 0.1, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0])
    ours = np.array([0.1, 0.1, 0.1, 0.0, 0.1, 0.1, 0.0, 0.0, 0.1])
    spoken = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1], bool)
    assert closures(ours, film, spoken) == pytest.approx(2 / 4)  # of frames 3, 4, 7, 8
    assert np.isnan(closures(ours, np.full(9, 0.1), spoken))


def test_lip_speed_is_in_eye_distances_a_second() -> None:
    moving = np.repeat(canonical_face()[None], 6, axis=0)
    moving[:, list(LIPS), 0] += 0.01 * np.arange(6)[:, None]
    everywhere = np.ones(6, bool)
    assert lip_speed(moving, everywhere, 25) == pytest.approx(0.25)
    moving[:, 10] += np.arange(6)[:, None]  # the forehead does not count
    assert lip_speed(moving, everywhere, 25) == pytest.approx(0.25)
    assert np.isnan(lip_speed(moving, np.array([1, 0, 1, 0, 1, 0], bool), 25))


def test_landmark_distance_is_in_hundredths_and_of_lips_seen_from_the_front() -> None:
    film = np.repeat(canonical_face()[None], 3, axis=0)
    drawn = film.copy()
    drawn[:, list(LIPS), :2] += [0.03, 0.04]
    drawn[..., 2] += 7
    assert landmark_distance(drawn, film) == pytest.approx(5)
    assert landmark_distance(film, film) == 0


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(random.integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
    return smooth, np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error_is_its_decibels() -> None:
    flat = np.full((20, 20, 3), 100, np.uint8)
    assert psnr(flat, flat + 5) == pytest.approx(20 * np.log10(255 / 5), abs=1e-4)
    assert psnr(flat, flat) == 99


def test_ssim_is_of_the_luma() -> None:
    clean, noisy = pictures()
    gray, gray_noisy = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (clean, noisy))
    quality: Any = cv2.quality  # not declared
    assert luma_ssim(clean, noisy) == pytest.approx(quality.QualitySSIM_compute(gray, gray_noisy)[0][0], abs=0.01)
    assert luma_ssim(clean, np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)) == pytest.approx(
        1, abs=1e-3
    )  # colour aside


def test_a_blurred_picture_is_less_sharp() -> None:
    clean, noisy = pictures()
    assert sharpness(np.asarray(cv2.GaussianBlur(clean, (0, 0), 2), np.uint8)) < sharpness(clean) / 2 < sharpness(noisy)


def test_a_voice_with_rests_has_pauses_in_them() -> None:
    pcm = np.concatenate([voice(1.0), np.zeros(16_000, np.float32)])
    assert pauses(pcm, 50, SPEC)[28:50].all()
