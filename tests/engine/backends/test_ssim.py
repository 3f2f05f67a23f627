from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.backends.ssim import ssim

RANDOM = np.random.default_rng(5)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """One, and the same with noise; grey, uint8."""
    smooth = cv2.GaussianBlur(RANDOM.integers(0, 256, (60, 80), np.uint8), (0, 0), 2)
    return smooth, np.clip(smooth + RANDOM.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def test_it_is_that_of_the_paper() -> None:
    picture = np.clip(0.5 + 0.2 * RANDOM.standard_normal((32, 48, 3)), 0, 1).astype(np.float32)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, picture + np.float32(0.2)) < 0.98
    grey, white = (np.full((16, 16, 3), value, np.float32) for value in (0.5, 1.0))
    # without contrast only the luminance term is left: (2ab + c1) / (a^2 + b^2 + c1)
    assert ssim(grey, white) == pytest.approx((2 * 0.5 + 1e-4) / (0.25 + 1 + 1e-4), rel=1e-4)
    assert ssim(picture, 1 - picture) < 0


def test_it_is_what_opencv_computes() -> None:
    clean, noisy = pictures()
    wanted = cv2.quality.QualitySSIM_compute(clean, noisy)[0][0]  # type: ignore[attr-defined]  # OpenCV's stubs lack it
    assert ssim(clean, noisy, within=True) == pytest.approx(wanted, abs=0.01)
    assert wanted < 0.8


def test_levels_and_shares_are_the_same_picture() -> None:
    clean, noisy = pictures()
    shares = [(picture / 255).astype(np.float32) for picture in (clean, noisy)]
    assert ssim(shares[0], shares[1]) == pytest.approx(ssim(clean, noisy), abs=1e-6)


def test_within_leaves_out_what_the_edges_are_mirrored_for() -> None:
    clean, _ = pictures()
    edged = clean.copy()
    edged[0] = 255 - edged[0]
    assert ssim(clean, edged) < 0.99
    assert ssim(clean[:, :40], edged[:, :40], within=True) < 1  # its window reaches the edge ...
    middle = clean.copy()
    middle[30] = 255 - middle[30]
    assert ssim(clean, middle, within=True) < ssim(clean, middle)  # ... and fewer windows show more of the middle


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_is_like_nothing(broken: float) -> None:
    picture = np.full((16, 16, 3), 0.5, np.float32)
    other = picture.copy()
    other[3, 4, 1] = broken
    assert ssim(picture, other) == ssim(other, picture) == -1
