from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL, head_pose
from s2v.training.evaluation.measures.head.pictures import BESIDE_UNITS, HeadPictures, background_of, gradient_energy


def somebody(face: EnrolledFace) -> NDArray[np.float32]:
    """A matte of the face's oval alone."""
    person = np.zeros(face.photo.shape[:2], np.float32)
    cv2.fillPoly(person, [face.landmarks[list(FACE_OVAL), :2].round().astype(np.int32)], 1.0)
    return person


def test_background_lies_beyond_the_person_with_all_limbs(closed_face: EnrolledFace) -> None:
    person = somebody(closed_face)
    background = background_of(person, closed_face.pose)
    y, x = np.nonzero(background)
    oval = closed_face.landmarks[list(FACE_OVAL), :2]
    gaps = np.linalg.norm(np.stack([x, y], axis=1)[:, None] - oval, axis=-1).min(1) / closed_face.pose.unit_px
    assert BESIDE_UNITS - 0.02 < gaps.min() < BESIDE_UNITS + 0.1
    person[:, :10] = 0.2  # an arm
    assert background[:, :10].any() and not background_of(person, closed_face.pose)[:, :10].any()


def test_what_moves_beside_the_head_is_seen_and_what_moves_in_it_is_not(closed_face: EnrolledFace) -> None:
    photo, pose = closed_face.photo, closed_face.pose
    background = background_of(somebody(closed_face), pose)
    y, x = (int(at[0]) for at in np.nonzero(background))
    beside, within = photo.copy(), photo.copy()
    beside[y, x] = np.clip(beside[y, x].astype(int) + np.where(beside[y, x] > 128, -9, 9), 0, 255)
    within[tuple(closed_face.landmarks[1, 1::-1].round().astype(int))] = 0
    pictures = HeadPictures(photo, somebody(closed_face), closed_face.landmarks, pose)
    for frame in (photo, within, beside, beside):
        pictures.add(frame, closed_face.landmarks, pose)
    found = pictures.figures()
    assert found["background_largest"] == found["background_step"] == 9
    assert found["background_mean"] == pytest.approx(9 * 2 / 4 / background.sum())
    assert found["face_sharpness"] == pytest.approx(1, abs=1e-3)


def test_blur_lowers_sharpness_and_a_shift_or_a_larger_picture_does_not(closed_face: EnrolledFace) -> None:
    photo, landmarks = closed_face.photo, closed_face.landmarks
    own = gradient_energy(photo, landmarks, closed_face.pose)
    blurred = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.7), np.uint8)
    assert gradient_energy(blurred, landmarks, closed_face.pose) < 0.9 * own
    shifted, moved = np.roll(photo, 5, axis=1), landmarks + np.array([5, 0, 0])
    assert gradient_energy(shifted, moved, head_pose(moved.astype(np.float64))) == pytest.approx(own, rel=0.01)
    smooth = np.asarray(cv2.GaussianBlur(photo, (0, 0), 2.0), np.uint8)
    twice = np.asarray(cv2.resize(smooth, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    pose = head_pose(2 * landmarks.astype(np.float64))
    expected = gradient_energy(smooth, landmarks, closed_face.pose)
    assert gradient_energy(twice, 2 * landmarks, pose) == pytest.approx(expected, rel=0.08)
