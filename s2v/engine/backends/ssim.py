"""Structural similarity: how alike two pictures are to an eye.

Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with its Gaussian
window of 11 pixels and its constants.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WINDOW_PX, _SIGMA_PX = 11, 1.5
_K1, _K2 = 0.01, 0.03


def ssim(
    a: NDArray[np.float32] | NDArray[np.uint8], b: NDArray[np.float32] | NDArray[np.uint8], within: bool = False
) -> float:
    """Mean similarity of two pictures, (h, w) or (h, w, channels); 1 for equal ones, -1 if either is not finite.

    Args:
        a, b: float in [0, 1], or uint8.
        within: only where the window lies within the picture, as the paper does; else the edges are mirrored.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return -1.0
    peak = 255.0 if a.dtype == np.uint8 else 1.0
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x, variance_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    margin = _WINDOW_PX // 2 if within else 0
    return float(likeness[margin : len(likeness) - margin, margin : likeness.shape[1] - margin].mean())


def _smooth(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, (_WINDOW_PX, _WINDOW_PX), _SIGMA_PX), np.float64)
