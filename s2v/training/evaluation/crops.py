"""Pictures with the head's pose taken out, so that a still head can be held against one that moves."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.face.enrolment import EnrolledFace, sample
from s2v.engine.face.geometry import FacePlane, Points, Pose
from s2v.engine.face.photo import Image
from s2v.training.evaluation.measures.metrics import LIPS, luma_ssim, psnr, sharpness

PX_PER_UNIT = 100
Window = tuple[float, float, float]  # left, top and size in face units
FACE: Window = (-0.95, -0.40, 1.90)  # above the brows to below the chin
MOUTH_SIZE = (0.80, 0.56)  # width and height in face units, around the closed lips
_MOUTH_DEPTH = -0.2  # face units: the lips are that much nearer to the camera than the eyes
FACE_PX = round(FACE[2] * PX_PER_UNIT)


def face_crop(picture: Image, pose: Pose, window: Window = FACE, size_px: int = FACE_PX) -> Image:
    """A window of the face, upright and frontal, (size_px, size_px, 3)."""
    left, top, size = window
    unit = size / size_px
    to_plane = np.array([[unit, 0, left + unit / 2], [0, unit, top + unit / 2], [0, 0, 1]])
    return sample(picture, FacePlane.at_depth(pose, _MOUTH_DEPTH).matrix @ to_plane, (size_px, size_px))


def mouth_of_crop(lips: Points) -> tuple[slice, slice]:
    """Rows and columns of a face crop that show the mouth. Args: lips: (n, 3) of the closed mouth, face units."""
    corner = (lips[:, :2].mean(0) - np.array(MOUTH_SIZE) / 2 - FACE[:2]) * PX_PER_UNIT
    width, height = (round(side * PX_PER_UNIT) for side in MOUTH_SIZE)
    left, top = (int(at) for at in np.clip(corner, 0, [FACE_PX - width, FACE_PX - height]))
    return np.s_[top : top + height, left : left + width]


def mouth_of_picture(pose: Pose, lips: Points, picture: Image) -> tuple[slice, slice]:
    """Rows and columns of a picture around a mouth: nothing is resampled, so sharpness stays what it is.

    Args: lips: (n, 3) of the closed mouth, face units.
    """
    centre = pose.to_photo(lips.mean(0))[:2]
    half = np.array(MOUTH_SIZE) * pose.unit_px / 2
    height, width = picture.shape[:2]
    left, top = np.clip(np.round(centre - half), 0, [width - 8, height - 8]).astype(int)
    right, bottom = np.clip(np.round(centre + half), [left + 8, top + 8], [width, height]).astype(int)
    return np.s_[top:bottom, left:right]


def closed_lips(face: EnrolledFace) -> Points:
    """(n, 3) the mouth's landmarks of an enrolled face at rest, face units."""
    lips: Points = (face.canonical + face.rest)[list(LIPS)]
    return lips


def sharpness_of(frame: Image, face: EnrolledFace) -> float:
    """Of the mouth of a frame drawn from a face, over its photo's."""
    box = mouth_of_picture(face.pose, closed_lips(face), face.photo)
    return sharpness(frame[box]) / max(1e-6, sharpness(face.photo[box]))


def jitter_of(frame: Image, face: EnrolledFace) -> float:
    """The largest difference, of 255, between a frame and its photo outside the box that may move."""
    left, top, right, bottom = lower_face_box(face)
    difference = cv2.absdiff(frame, face.photo)
    difference[top:bottom, left:right] = 0
    return float(difference.max())


class Comparison:
    """Drawn frames against filmed ones, fed one by one in order; the figures are means over them."""

    def __init__(self, face: EnrolledFace, still: Image, tile_frames: set[int], same_scale: bool = True) -> None:
        """Args: tile_frames: of which frames the crops are kept for the contact sheet.

        same_scale: photo and film have the same pixels, so that their sharpness can be compared.
        """
        self.tiles: list[tuple[int, Image, Image]] = []  # frame, film, ours
        self.mouth = mouth_of_crop(closed_lips(face))
        self._face, self._tile_frames, self._same_scale = face, tile_frames, same_scale
        self._still = face_crop(still, face.pose)
        self._rows: list[tuple[float, ...]] = []
        self._film_sharpness: list[float] = []

    def add(self, drawn: Image, film: Image, film_pose: Pose) -> None:
        """The next frame: as drawn from the face, and as filmed with the head's pose there."""
        ours, theirs = face_crop(drawn, self._face.pose), face_crop(film, film_pose)
        mouth = self.mouth
        if len(self._rows) in self._tile_frames:
            self.tiles.append((len(self._rows), theirs, ours))
        box = mouth_of_picture(film_pose, closed_lips(self._face), film)
        self._film_sharpness.append(sharpness(film[box]))
        self._rows.append(
            (
                psnr(ours, theirs),
                luma_ssim(ours, theirs),
                psnr(ours[mouth], theirs[mouth]),
                luma_ssim(ours[mouth], theirs[mouth]),
                psnr(self._still[mouth], theirs[mouth]),
                luma_ssim(self._still[mouth], theirs[mouth]),
                sharpness_of(drawn, self._face),
                jitter_of(drawn, self._face),
            )
        )

    def figures(self) -> dict[str, float]:
        """PSNR and SSIM: means. Sharpness: of the median frame. Jitter: of the worst."""
        rows = np.array(self._rows)
        names = ("psnr_face", "ssim_face", "psnr_mouth", "ssim_mouth", "psnr_mouth_still", "ssim_mouth_still")
        found = {name: float(column.mean()) for name, column in zip(names, rows.T, strict=False)}
        box = mouth_of_picture(self._face.pose, closed_lips(self._face), self._face.photo)
        photo = max(1e-6, sharpness(self._face.photo[box]))
        found["sharpness"] = float(np.median(rows[:, 6]))
        film = float(np.median(self._film_sharpness)) / photo
        found["sharpness_film"] = film if self._same_scale else float("nan")
        found["jitter"] = float(rows[:, 7].max())
        return found
