"""What a moving head does to the picture: does the background stay, is the face as sharp as its photo?"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import EYES, FACE_OVAL, OUTER_LIPS, Points, Pose
from s2v.engine.face.photo import Image

BESIDE_UNITS = 0.4  # a head moves by 0.15, its rim and what is filled in behind it reach 0.2 further
_PERSON = 0.1  # of the matte: from there on a pixel is somebody's
MIN_SHARE = 0.01  # of the picture: with less background than that nothing is said of it
_INSIDE = 0.85  # of the oval is looked at: its rim shows background when the head turns
_MARGIN_UNITS = 0.06  # around eyes and lips, which move by themselves

Landmarks = NDArray[np.floating[Any]]


def background_of(person: NDArray[np.floating[Any]], pose: Pose) -> NDArray[np.bool_]:
    """(h, w) where the picture may not move at all: BESIDE_UNITS from the person, arms and shoulders included.

    Args: person: (h, w) in [0, 1], of `person_matte`. pose: of the head on the photo.
    """
    far: NDArray[np.bool_] = (
        cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5) > BESIDE_UNITS * pose.unit_px
    )
    return far


def gradient_energy(picture: Image, landmarks: Landmarks, pose: Pose) -> float:
    """Mean square of the luma's slope over the skin of a face, for one face unit of way: a larger picture is no blur.

    Nothing is resampled: the region follows the landmarks (>=468, 3), in pixels. Eyes and lips are left out.
    """
    region = np.zeros(picture.shape[:2], np.uint8)
    points: Points = landmarks[:, :2].astype(np.float64)
    oval = points[list(FACE_OVAL)]
    cv2.fillPoly(region, [_shape(oval.mean(0) + _INSIDE * (oval - oval.mean(0)))], 1)
    margin = max(1, round(_MARGIN_UNITS * pose.unit_px))
    for hole in (OUTER_LIPS, *((*eye.upper, *eye.lower[::-1]) for eye in EYES)):
        cv2.fillPoly(region, [_shape(points[list(hole)])], 0)
        cv2.polylines(region, [_shape(points[list(hole)])], True, 0, 2 * margin)
    luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope = cv2.Sobel(luma, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(luma, cv2.CV_32F, 0, 1) ** 2
    inside = slope[region > 0]
    return float(inside.mean()) * pose.unit_px**2 if len(inside) else float("nan")


class HeadPictures:
    """Is shown the frames of one face in order, with its head moving."""

    def __init__(self, photo: Image, person: NDArray[np.floating[Any]], landmarks: Landmarks, pose: Pose) -> None:
        """Args: photo: that the frames are drawn from. person: (h, w) of `person_matte`. landmarks: (>=468, 3) of its
        face. pose: of its head."""
        background = background_of(person, pose)
        self._background = background if background.mean() >= MIN_SHARE else None
        self._photo = _luma(photo)
        self._before = self._photo
        self._sharp = max(1e-6, gradient_energy(photo, landmarks, pose))
        self._changes: list[tuple[float, float, float]] = []  # largest and mean to the photo, largest to the one before
        self._energies: list[float] = []

    def add(self, frame: Image, landmarks: Landmarks, pose: Pose) -> None:
        """The next frame, (h, w, 3) like the photo, with landmarks (>=468, 3) and pose seen in it."""
        self._energies.append(gradient_energy(frame, landmarks, pose) / self._sharp)
        if self._background is not None:
            luma = _luma(frame)
            changed = np.abs(luma - self._photo)[self._background]
            step = np.abs(luma - self._before)[self._background]
            self._changes.append((float(changed.max()), float(changed.mean()), float(step.max())))
            self._before = luma

    def figures(self) -> dict[str, float]:
        """`face_sharpness`, median frame over the photo; `background_*`, grey levels, where there is background."""
        found = {"face_sharpness": float(np.nanmedian(self._energies))} if self._energies else {}
        if self._changes:
            largest, mean, step = np.array(self._changes).T
            found |= {
                "background_largest": float(largest.max()),
                "background_mean": float(mean.mean()),
                "background_step": float(step.max()),
            }
        return found


def _shape(points: Points) -> NDArray[np.int32]:
    return np.round(points).astype(np.int32)


def _luma(picture: Image) -> NDArray[np.int16]:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.int16)
