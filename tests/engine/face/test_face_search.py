from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.face_search import detect_faces, film_detector
from s2v.engine.face.geometry import N_MESH, Points, head_pose
from s2v.engine.face.photo import Image
from s2v.errors import FaceError, NoFaceError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
# From ear to ear below the eyes: the jaw, the cheeks and the bridge of the nose.
_LOWER_FACE = (234, 132, 172, 150, 176, 152, 400, 379, 397, 361, 454, 346, 6, 117)


def turned(photo: Image, clockwise_degrees: float) -> tuple[Image, Points]:
    """The whole photo on a larger grey one, and the map (2, 3) from its pixels to there."""
    side = round(1.42 * photo.shape[0])
    middle = photo.shape[1] / 2, photo.shape[0] / 2
    there = np.array(cv2.getRotationMatrix2D(middle, -clockwise_degrees, 1.0), np.float64)
    there[:, 2] += (side - np.array(photo.shape[1::-1], np.float64)) / 2
    return np.asarray(cv2.warpAffine(photo, there, (side, side), borderValue=(120, 120, 120)), np.uint8), there


def off_by(found: Points, face: EnrolledFace, there: Points) -> float:
    """Mean distance from where the face's landmarks are on another picture, in eye distances."""
    wanted = face.landmarks[:N_MESH, :2] @ there[:, :2].T + there[:, 2]
    return float(np.linalg.norm(found[:N_MESH, :2] - wanted, axis=1).mean() / face.pose.unit_px)


@pytest.mark.parametrize("roll_degrees", [-165, -135, -105, -75, -30, 45, 90, 120, 150, 180])
def test_a_face_is_found_however_it_is_turned(closed_face: EnrolledFace, roll_degrees: float) -> None:
    photo, there = turned(closed_face.photo, roll_degrees)
    (found,) = detect_faces(photo)
    assert off_by(found, closed_face, there) < 0.1
    assert (head_pose(found).roll_degrees - closed_face.pose.roll_degrees - roll_degrees + 180) % 360 == pytest.approx(
        180, abs=6
    )


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_photo_on_its_side_or_upside_down_is_set_upright(closed_face: EnrolledFace, quarter_turns: int) -> None:
    other = enrol(np.rot90(closed_face.photo, quarter_turns), SPEC)
    np.testing.assert_array_equal(other.photo, closed_face.photo)
    np.testing.assert_allclose(other.landmarks, closed_face.landmarks, atol=1e-6)


@pytest.mark.parametrize("roll_degrees", [-40, 130])
def test_a_face_askew_is_enrolled_within_an_eighth_of_a_turn(closed_face: EnrolledFace, roll_degrees: float) -> None:
    other = enrol(turned(closed_face.photo, roll_degrees)[0], SPEC)
    assert abs(other.pose.roll_degrees) < 48
    # The same mouth is cut out; of a mesh on the forehead it would be hair.
    assert np.abs(other.network_input[:, 3:] - closed_face.network_input[:, 3:]).mean() < 0.1


def test_a_small_face_of_a_large_picture_is_found_and_cut_out_sharp(closed_face: EnrolledFace) -> None:
    panorama = np.full((512, 7000, 3), 120, np.uint8)
    panorama[:, 5000:5512] = closed_face.photo
    face = enrol(panorama, SPEC)
    assert face.pose.unit_px == pytest.approx(closed_face.pose.unit_px, rel=0.02)  # no pixel of it was given away
    assert 6 * face.pose.unit_px < face.photo.shape[0] <= 512  # head and shoulders
    assert 6 * face.pose.unit_px < face.photo.shape[1] <= 1080
    crop = np.abs(face.network_input - closed_face.network_input)
    assert crop.mean() < 0.01


def test_a_large_face_keeps_all_of_its_photo(closed_face: EnrolledFace) -> None:
    wide = cv2.copyMakeBorder(closed_face.photo, 0, 0, 700, 700, cv2.BORDER_CONSTANT, value=(90, 90, 90))
    assert enrol(np.asarray(wide, np.uint8), SPEC).photo.shape == (288, 1080, 3)


@pytest.mark.parametrize("people", [4, 7])
def test_everybody_of_a_row_is_counted(closed_photo: Image, smiling_photo: Image, people: int) -> None:
    small = [cv2.resize(photo, (150, 150), interpolation=cv2.INTER_AREA) for photo in (closed_photo, smiling_photo)]
    row = np.hstack([small[n % 2] for n in range(people)])
    room = cv2.copyMakeBorder(row, 120, 200, 60, 60, cv2.BORDER_CONSTANT, value=(100, 110, 120))
    faces = detect_faces(np.asarray(room, np.uint8))
    middles = [face[:, 0].mean() for face in faces]
    assert len(faces) == people
    np.testing.assert_allclose(np.diff(middles), 150, atol=25)  # each where it is, from the left


def test_nobody_is_found_in_noise() -> None:
    blotches = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    with pytest.raises(NoFaceError):
        detect_faces(np.asarray(cv2.resize(blotches, (900, 600), interpolation=cv2.INTER_CUBIC), np.uint8))


def test_a_transparent_face_is_refused_and_a_transparent_background_is_white(closed_face: EnrolledFace) -> None:
    opaque = np.full((512, 512, 1), 255, np.uint8)
    opaque[:100] = 0
    noise = np.random.default_rng(1).integers(0, 255, (100, 512, 3), np.uint8)
    hidden = np.concatenate([np.concatenate([noise, closed_face.photo[100:]]), opaque], axis=2)
    shown = enrol(hidden, SPEC).photo
    assert (shown[:100] == 255).all()
    np.testing.assert_array_equal(shown[100:], closed_face.photo[100:])

    mouth = closed_face.landmarks[13, :2].astype(int)
    hidden[..., 3] = 255
    hidden[mouth[1] - 20 : mouth[1] + 20, mouth[0] - 40 : mouth[0] + 40, 3] = 0
    with pytest.raises(FaceError, match="the face itself is transparent"):
        enrol(hidden, SPEC)

    inner, outer = closed_face.landmarks[[33, 133], :2].round().astype(int)
    hidden[..., 3] = 255
    hidden[inner[1] - 3 : inner[1] + 3, inner[0] : outer[0], 3] = 0  # an eye is a hundredth of the face
    with pytest.raises(FaceError, match="the face itself is transparent"):
        enrol(hidden, SPEC)


@pytest.mark.parametrize("colour", [(22, 20, 20), (50, 80, 40)])
def test_a_dark_mask_is_no_forehead_of_a_face_on_its_head(
    closed_face: EnrolledFace, smiling_face: EnrolledFace, colour: tuple[int, int, int]
) -> None:
    for face in (closed_face, smiling_face):
        photo = face.photo.copy()
        cv2.fillPoly(photo, [face.landmarks[list(_LOWER_FACE), :2].astype(np.int32)], colour)
        with pytest.raises(FaceError, match="before the mouth"):
            enrol(photo, SPEC)


def test_a_film_on_its_side_is_followed(closed_face: EnrolledFace) -> None:
    with film_detector() as find:
        for roll_degrees in (0, 150, 155, -90):  # the camera is turned between two frames
            frame, there = turned(closed_face.photo, roll_degrees)
            found = find(frame)
            assert found is not None
            assert off_by(found, closed_face, there) < 0.1
        assert find(np.full((200, 200, 3), 100, np.uint8)) is None
