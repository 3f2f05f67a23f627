"""How blurred a photo is, so that what is drawn into it can be as blurred.

Source: Zhuo and Sim, "Defocus map estimation from a single image" (Pattern Recognition, 2011): blur the picture
once more; at an edge the gradient shrinks by a factor that tells how blurred the edge was.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, OUTER_LIPS
from s2v.engine.face.photo import Image

# Where a face has edges, and how many face units beyond.
_AROUND = (*((eye.upper + eye.lower, 0.06) for eye in EYES), (OUTER_LIPS, 0.03))
_CALM_PX = 0.7  # blurred first: noise would pass for sharp edges
_AGAIN_PX = 1.5
_STRONG_PERCENTILE = 58  # of the gradients on edges; weaker ones are shading
_SHARPEST_PERCENTILE = 25  # of the blurs found: not every edge of a face is a step
_MIN_EDGES = 20
_PIXEL = 0.6  # standard deviation, in pixels, of what a lens and a sensor do to the sharpest edge
_AREA_PX = 0.29  # standard deviation of the mean over a pixel


def blur_px(face: EnrolledFace) -> float:
    """Standard deviation, in pixels of the photo, of the Gaussian that would blur a sharp picture as much.

    0 for a photo as sharp as its pixels allow, or one without edges to judge. On portraits blurred by 1 to 3 px it
    finds that much and what blur they had, within about a fifth.
    """
    region, where = _features(face)
    luma = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_BGR2GRAY).astype(np.float32)
    calm = _blurred(luma, _CALM_PX)
    x, y = _gradient(calm)
    steep = np.hypot(x, y)
    edges = _ridges(x, y, steep) & (where > 0)
    if edges.sum() < _MIN_EDGES:
        return 0.0
    edges &= steep >= np.percentile(steep[edges], _STRONG_PERCENTILE)
    again = np.hypot(*_gradient(_blurred(calm, _AGAIN_PX)))
    shrunk = np.maximum(steep[edges] / np.maximum(again[edges], 1e-3), 1.01)
    variance = np.percentile(_AGAIN_PX**2 / (shrunk**2 - 1), _SHARPEST_PERCENTILE) - _CALM_PX**2
    return float(np.sqrt(max(0.0, variance)))


def texture_blur_px(photo_blur_px: float) -> float:
    """Standard deviation, in pixels of the photo, that makes a drawing as soft as the photo it will be laid on.

    The drawing is sharp; each of its pixels is the mean of what it covers. What a lens and a sensor do to the sharpest
    edge is added to the photo's own blur.
    """
    return float(np.sqrt(photo_blur_px**2 + _PIXEL**2 - _AREA_PX**2))


def _features(face: EnrolledFace) -> tuple[Image, NDArray[np.uint8]]:
    """The part of the photo that holds eyes and lips, and where in it they are, 0 or 255."""
    where = np.zeros(face.photo.shape[:2], np.uint8)
    for points, beyond in _AROUND:
        one = np.zeros_like(where)
        outline = np.round(face.landmarks[list(points), :2]).astype(np.int32)
        cv2.fillConvexPoly(one, cv2.convexHull(outline), 255)
        grow = 2 * max(1, round(beyond * face.pose.unit_px)) + 1
        where |= cv2.dilate(one, np.ones((grow, grow), np.uint8)).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(where)
    box = np.s_[y : y + height, x : x + width]
    return face.photo[box], where[box]


def _blurred(luma: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma_px), np.float32)


def _gradient(luma: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    central = np.array([[-0.5, 0, 0.5]], np.float32)
    x, y = cv2.filter2D(luma, -1, central), cv2.filter2D(luma, -1, central.T)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _ridges(x: NDArray[np.float32], y: NDArray[np.float32], steep: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a gradient is the steepest along its own direction: the middle of an edge."""
    across = np.abs(x) >= np.abs(y)
    before = np.where(across, np.roll(steep, 1, 1), np.roll(steep, 1, 0))
    after = np.where(across, np.roll(steep, -1, 1), np.roll(steep, -1, 0))
    return np.asarray((steep >= before) & (steep > after))
