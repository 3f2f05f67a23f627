from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.upper_face.expression_room import expression_room
from s2v.engine.compositor.upper_face.glasses import glasses_share
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES


def with_glasses(face: EnrolledFace, eyes: tuple[int, ...], dark: float) -> EnrolledFace:
    """Round frames drawn around some of the eyes. Args: dark: 1 is black."""
    photo = face.photo.copy()
    unit = face.pose.unit_px
    for mesh in (EYES[n] for n in eyes):
        middle = face.landmarks[[mesh.upper[0], mesh.upper[-1]], :2].mean(0).round().astype(int)
        cv2.circle(
            photo,
            (int(middle[0]), int(middle[1])),
            round(0.24 * unit),
            (20, 15, 15),
            max(2, round(0.03 * unit)),
            cv2.LINE_AA,
        )
    mixed = face.photo + dark * (photo.astype(np.float32) - face.photo)
    return replace(face, photo=mixed.astype(np.uint8))


@pytest.fixture(params=["closed_face", "smiling_face"])
def face(request: pytest.FixtureRequest) -> EnrolledFace:
    found: EnrolledFace = request.getfixturevalue(request.param)
    return found


def test_a_bare_face_wears_none(face: EnrolledFace) -> None:
    assert glasses_share(face) < 0.1
    assert expression_room(face.canonical, glasses_share(face)).brows > 0.95


def test_dark_frames_are_seen_and_hold_brows_and_cheeks(face: EnrolledFace) -> None:
    worn = with_glasses(face, (0, 1), dark=1.0)
    assert glasses_share(worn) > 0.95
    room = expression_room(worn.canonical, glasses_share(worn))
    assert room.brows < 0.05 and room.cheeks < 0.05


def test_one_line_under_one_eye_is_no_pair_of_glasses(closed_face: EnrolledFace) -> None:
    assert glasses_share(with_glasses(closed_face, (0,), dark=1.0)) < 0.1


def test_fainter_frames_count_less(closed_face: EnrolledFace) -> None:
    shares = [glasses_share(with_glasses(closed_face, (0, 1), dark)) for dark in (0.0, 0.2, 0.4, 0.8)]
    assert shares == sorted(shares)
    assert shares[2] > 0.05


def test_a_photo_without_light_is_no_error(closed_face: EnrolledFace) -> None:
    assert glasses_share(replace(closed_face, photo=np.zeros_like(closed_face.photo))) == 0
