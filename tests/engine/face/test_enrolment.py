from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2v.engine.face import enrolment as face_module
from s2v.engine.face.enrolment import EnrolledFace, enrol, face_from_landmarks, face_grid, network_input, sample
from s2v.engine.face.face_search import detect_faces
from s2v.engine.face.geometry import N_MESH, OUTER_EYES, head_pose
from s2v.engine.face.photo import Image, fit_photo
from s2v.errors import FaceError, NoFaceError, SeveralFacesError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
PORTRAIT = Path(__file__).parents[2] / "data" / "closed_lips.jpg"


def test_a_portrait_is_enrolled(closed_face: EnrolledFace) -> None:
    assert closed_face.photo.shape == (512, 512, 3)
    assert closed_face.landmarks.shape == (478, 3)
    assert closed_face.canonical.shape == closed_face.rest.shape == (N_MESH, 3)
    assert closed_face.network_input.shape == (1, 6, SPEC.face_px, SPEC.face_px)
    assert closed_face.network_input.dtype == np.float32
    assert 0 <= closed_face.network_input.min() < closed_face.network_input.max() <= 1
    assert abs(closed_face.pose.yaw_degrees) < 10


def test_landmarks_and_canonical_points_are_the_same_face(closed_face: EnrolledFace) -> None:
    there = closed_face.pose.to_photo(closed_face.canonical)
    np.testing.assert_allclose(there, closed_face.landmarks[:N_MESH], atol=1e-6)


def test_enrolling_leaves_the_photo_as_it_is(closed_photo: Image) -> None:
    before = closed_photo.copy()
    enrol(closed_photo, SPEC)
    np.testing.assert_array_equal(closed_photo, before)


def test_the_crop_is_the_same_for_a_smaller_and_shifted_photo(closed_face: EnrolledFace) -> None:
    turn = np.array([[0.7, 0, 31.0], [0, 0.7, 55.0]])
    photo = cv2.warpAffine(closed_face.photo, turn, (420, 440), flags=cv2.INTER_AREA, borderValue=(90, 90, 90))
    other = enrol(fit_photo(np.asarray(photo, np.uint8)), SPEC)
    assert np.abs(other.network_input[:, 3:] - closed_face.network_input[:, 3:]).mean() < 0.03
    assert np.abs(other.canonical - closed_face.canonical).mean() < 0.01


def test_the_crop_shows_the_eyes_above_the_middle_and_the_mouth_below(closed_face: EnrolledFace) -> None:
    grid = face_grid(closed_face.plane, SPEC)
    in_crop = (closed_face.landmarks[:, :2] - grid[:, 2]) @ np.linalg.inv(grid[:, :2]).T
    assert (in_crop[list(OUTER_EYES), 1] < SPEC.face_px / 2).all()
    assert (in_crop[[13, 14], 1] > SPEC.face_px / 2).all()
    assert 0 < in_crop[:N_MESH, 0].min() < in_crop[:N_MESH, 0].max() < SPEC.face_px


def test_the_network_sees_no_lower_half_of_the_target() -> None:
    target, reference = np.full((112, 112, 3), 200, np.uint8), np.full((112, 112, 3), 100, np.uint8)
    reference[0, 0] = [1, 2, 3]
    both = network_input(target, reference)
    assert (both[0, :3, 56:] == 0).all()
    np.testing.assert_allclose(both[0, :3, :56], 200 / 255)
    np.testing.assert_allclose(both[0, 3:, 0, 0], np.array([1, 2, 3]) / 255, rtol=1e-6)  # BGR
    assert (target == 200).all()


@pytest.mark.parametrize("shrink", [1.0, 3.0, 4.2])
def test_sampling_keeps_pixel_centres_where_they_are(shrink: float) -> None:
    x, y = np.meshgrid(np.arange(300.0), np.arange(300.0))
    photo = np.stack([0.5 * x, 0.5 * y, 0 * x], -1).round().astype(np.uint8)
    grid = np.array([[shrink, 0, 20.0], [0, shrink, 40.0]])
    cut = sample(photo, grid, (50, 40))
    assert cut.shape == (40, 50, 3)
    np.testing.assert_allclose(cut[..., 0], np.tile(0.5 * (20 + shrink * np.arange(50)), (40, 1)), atol=1.01)
    np.testing.assert_allclose(cut[..., 1].T, np.tile(0.5 * (40 + shrink * np.arange(40)), (50, 1)), atol=1.01)


def test_sampling_does_not_alias() -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = sample(stripes, np.array([[6.0, 0, 3.0], [0, 6.0, 3.0]]), (40, 40))
    assert 120 < cut.min() <= cut.max() < 135


# --- refusals ------------------------------------------------------------------------------------------


def test_a_photo_of_nobody_is_refused() -> None:
    with pytest.raises(NoFaceError, match="use one where a face looks at the camera"):
        enrol(np.full((300, 400, 3), 128, np.uint8), SPEC)


@pytest.fixture(scope="module")
def couple(closed_photo: Image, smiling_photo: Image) -> Image:
    """The man on the left, the woman on the right."""
    return np.hstack([closed_photo, cv2.resize(smiling_photo, (512, 512))])


def test_of_two_people_one_must_be_chosen(couple: Image) -> None:
    with pytest.raises(SeveralFacesError, match=r"2 faces on the photo: pass --face-index 0\.\.1 \(0 is the leftmost"):
        enrol(couple, SPEC)
    with pytest.raises(SeveralFacesError) as caught:
        enrol(couple, SPEC)
    assert caught.value.count == 2


def test_the_face_index_counts_from_the_left(couple: Image) -> None:
    left, right = (enrol(couple, SPEC, face_index=index) for index in (0, 1))
    assert left.landmarks[:, 0].mean() < 512 < right.landmarks[:, 0].mean()


@pytest.mark.parametrize("index", [-1, 2, 7])
def test_a_face_that_is_not_there_cannot_be_chosen(couple: Image, index: int) -> None:
    with pytest.raises(FaceError, match=f"--face-index {index}: the photo has 2 face"):
        enrol(couple, SPEC, face_index=index)


def test_people_in_the_background_do_not_count(closed_photo: Image, smiling_photo: Image) -> None:
    photo = np.asarray(cv2.resize(smiling_photo, (512, 512)), np.uint8)
    photo[-130:, -130:] = cv2.resize(closed_photo[40:330, 90:380], (130, 130), interpolation=cv2.INTER_AREA)
    assert len(detect_faces(photo)) == 1
    assert len(detect_faces(np.ascontiguousarray(photo[200:, 300:]))) == 1  # on a photo of his own he does


def test_a_small_face_is_refused_with_its_size(closed_photo: Image) -> None:
    small = np.asarray(cv2.resize(closed_photo, (200, 200), interpolation=cv2.INTER_AREA), np.uint8)
    with pytest.raises(FaceError, match=r"too small: 3\d px between the eyes on a 200x200 photo, at least 36"):
        enrol(small, SPEC)


def test_a_face_cut_off_at_the_chin_is_refused(closed_face: EnrolledFace) -> None:
    mouth_y, chin_y = closed_face.landmarks[[14, 152], 1]
    cropped = fit_photo(closed_face.photo[: round(0.4 * mouth_y + 0.6 * chin_y)])
    with pytest.raises(FaceError, match="cut off by the edge"):
        enrol(cropped, SPEC)


def rotated(face: EnrolledFace, yaw_degrees: float, pitch_degrees: float) -> np.ndarray:
    """The face's landmarks after turning the head about its middle."""
    yaw, pitch = np.radians([yaw_degrees, pitch_degrees])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    middle = face.landmarks[list(OUTER_EYES)].mean(0)
    return np.asarray((face.landmarks - middle) @ (about_x @ about_y).T + middle)


@pytest.mark.parametrize(("yaw", "pitch"), [(50, 0), (-50, 0), (0, 45), (0, -45)])
def test_a_face_turned_away_is_refused(closed_face: EnrolledFace, yaw: float, pitch: float) -> None:
    landmarks = rotated(closed_face, yaw, pitch)
    with pytest.raises(FaceError, match="turned away"):
        face_module._refuse_unusable(closed_face.photo, landmarks, head_pose(landmarks))


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 15), (0, -15)])
def test_a_face_turned_a_little_is_taken(closed_face: EnrolledFace, yaw: float, pitch: float) -> None:
    landmarks = rotated(closed_face, yaw, pitch)
    face_module._refuse_unusable(closed_face.photo, landmarks, head_pose(landmarks))


def test_known_landmarks_give_what_enrolment_gives(closed_face: EnrolledFace) -> None:
    again = face_from_landmarks(closed_face.photo, closed_face.landmarks, SPEC)
    np.testing.assert_array_equal(again.network_input, closed_face.network_input)
    np.testing.assert_array_equal(again.rest, closed_face.rest)
    larger = face_from_landmarks(closed_face.photo, closed_face.landmarks, replace(SPEC, face_px=64))
    assert larger.network_input.shape == (1, 6, 64, 64)
