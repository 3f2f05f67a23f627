from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import decode_picture

from s2v.benchmarks.live.click_track import (
    COLUMNS,
    GAP_S,
    PIP_HZ,
    ROWS,
    UNIT_SAMPLES,
    ClickFinder,
    click_track,
    read_code,
    square_px,
    write_code,
)
from s2v.engine.compositor.pixel_format import to_i420


def speech(seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """A loud buzz with hissing in it: as much at 5 kHz as speech has."""
    random, t = np.random.default_rng(seed), np.arange(round(seconds * rate_hz)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 20))
    hiss = random.standard_normal(len(t)) * (np.sin(2 * np.pi * 1.7 * t) > 0.6)
    return (0.3 * buzz + 0.1 * hiss).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(rate_hz=st.sampled_from([16_000, 48_000]), seed=st.integers(0, 99), cut=st.integers(100, 5000))
def test_every_click_is_found_once_to_a_tenth_of_a_millisecond_however_the_sound_is_cut(
    rate_hz: int, seed: int, cut: int
) -> None:
    track, onsets = click_track(speech(3.0, rate_hz, seed), 8.0, rate_hz, seed)
    finder = ClickFinder(rate_hz)
    found = [at for start in range(0, len(track), cut) for at in finder.push(track[start : start + cut])]
    assert len(found) == len(onsets) >= 5
    assert np.abs(np.array(found) - onsets).max() <= 1e-4 * rate_hz + 1
    assert np.diff(onsets).min() >= GAP_S[0] * rate_hz


@settings(max_examples=20, deadline=None)
@given(level=st.floats(0.35, 0.65), noise=st.floats(0, 0.03), seed=st.integers(0, 99))
def test_a_click_that_was_coded_louder_softer_or_noisier_is_found_to_a_millisecond(
    level: float, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    pcm = noise * random.standard_normal(48_000)
    pcm[20_000:21_920] += level * np.sin(2 * np.pi * PIP_HZ * np.arange(1920) / 48_000)
    found = ClickFinder(48_000).push(pcm.astype(np.float32))
    assert found == [pytest.approx(20_000, abs=48)]


def test_speech_without_clicks_has_none() -> None:
    assert ClickFinder(48_000).push(speech(10.0, 48_000, 1)) == []


@given(offset=st.integers(-4000, 4000), side=st.sampled_from([128, 256, 512, 640]))
def test_the_code_survives_a_lossy_picture_and_tells_the_offset(offset: int, side: int) -> None:
    picture = np.full((side, side, 3), 120, np.uint8)
    write_code(picture, offset)
    coded = decode_picture(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes())
    assert read_code(coded) == pytest.approx(offset, abs=UNIT_SAMPLES / 2)


@given(offset=st.integers(-4000, 4000), size=st.sampled_from([(128, 128), (256, 200), (360, 640), (300, 400)]))
def test_the_code_reads_the_same_in_a_picture_that_is_converted_already(offset: int, size: tuple[int, int]) -> None:
    colourful = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    i420 = to_i420(colourful)
    write_code(i420, offset)
    back = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), np.uint8)
    assert read_code(back) == pytest.approx(offset, abs=UNIT_SAMPLES / 2)
    side, (height, width) = square_px(i420), size
    squares = back[: ROWS * side, : COLUMNS * side]
    assert np.isin(squares, (0, 255)).all(), "no colour of the picture is left in it"
    beyond = np.ones((height, width), bool)
    beyond[: ROWS * side + 1, : COLUMNS * side + 1] = False
    whole = cv2.cvtColor(to_i420(colourful), cv2.COLOR_YUV2BGR_I420)
    np.testing.assert_array_equal(back[beyond], whole[beyond])


def test_no_click_an_offset_out_of_range_and_damage_read_as_none() -> None:
    picture = np.full((256, 256, 3), 120, np.uint8)
    for offset in (None, 5000, -5000):
        write_code(picture, offset)
        assert read_code(picture) is None
    write_code(picture, 100)
    side = 256 // 16
    picture[:side, side : 2 * side] = 255 - picture[:side, side : 2 * side]  # one bit turned over
    assert read_code(picture) is None
