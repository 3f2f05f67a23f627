from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.compositor.head.extent import Extent
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL, Points
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()


@pytest.fixture(scope="module")
def face() -> EnrolledFace:
    return drawn_face(SPEC, (900, 1080))


def head_and_body(face: EnrolledFace) -> np.ndarray:
    """The face with hair around it, a neck, and a body to both sides of a photo that goes far down."""
    height, width = face.photo.shape[0] + 600, face.photo.shape[1]
    mask = np.zeros((height, width), np.uint8)
    oval = face.landmarks[list(FACE_OVAL), :2]
    middle = oval.mean(0)
    cv2.fillPoly(mask, [(middle + 1.15 * (oval - middle)).round().astype(np.int32)], 1)
    chin = face.landmarks[152, :2].astype(int)
    mask[chin[1] + 40 :] = 1
    return mask.astype(np.float32)


def extent(face: EnrolledFace, matte: np.ndarray) -> Extent:
    return Extent(face.landmarks, face.plane, matte.astype(np.float32), face.pose.unit_px)


def follows(face: EnrolledFace, matte: np.ndarray, places: Points) -> tuple[Points, Points]:
    return extent(face, matte).follows(places[None])


def test_face_and_hair_go_along_and_the_neck_less_and_less(face: EnrolledFace) -> None:
    unit_px, at = face.pose.unit_px, face.landmarks[:, :2]
    hair = at[10] - [0, 0.1 * unit_px]
    down = at[152] + np.arange(0, 1.0, 0.2)[:, None] * unit_px * [0, 1]
    head, breath = follows(face, head_and_body(face), np.concatenate([at[[4, 13, 152]], [hair], down]))
    np.testing.assert_allclose(head[0, :4], 1, atol=1e-9)
    assert (np.diff(head[0, 5:]) < 0).all()
    assert head[0, -1] < 0.3 and breath[0, -1] > 0.5
    assert (breath[0, :2] == 0).all() and (np.diff(breath[0, 4:]) >= 0).all()
    assert follows(face, head_and_body(face), at[152] + [[0, 1.0 * unit_px]])[0] < 0.05


def test_a_head_that_reaches_the_border_moves_whole_and_counts_as_being_there(face: EnrolledFace) -> None:
    free, touching = head_and_body(face), head_and_body(face)
    middle = int(face.landmarks[10, 0])
    touching[: int(face.landmarks[10, 1]), middle - 60 : middle + 60] = 1  # hair up to the top
    at_top = np.array([[middle, 0.0], [middle, -20.0], [0.0, face.landmarks[10, 1]]])
    for matte in (free, touching):
        np.testing.assert_array_equal(follows(face, matte, at_top)[0], 1)
    assert extent(face, free).above_units > 0.2
    assert extent(face, touching).above_units == 0
    assert extent(face, touching).beside_units == extent(face, free).beside_units


def test_shoulders_do_not_count_as_a_head_at_the_border(face: EnrolledFace) -> None:
    assert extent(face, head_and_body(face)).beside_units > 0.2


def test_room_is_what_lies_between_features_and_the_border(face: EnrolledFace) -> None:
    assert extent(face, head_and_body(face)).room == 1
    outermost = face.landmarks[[33, 50, 70], 0].min()  # eye, cheek, brow
    cut_px = outermost - 0.1 * face.pose.unit_px
    cut = face.landmarks - [cut_px, 0, 0]
    part = np.ascontiguousarray(head_and_body(face)[:, int(cut_px) :])
    room = Extent(cut, face.plane, part, face.pose.unit_px).room
    assert room == pytest.approx(0.1 / 0.25, rel=0.05)


def test_a_shoulder_that_is_raised_above_the_chin_is_no_hair_at_the_border(face: EnrolledFace) -> None:
    matte = head_and_body(face)
    mouth, chin = face.landmarks[[17, 152], 1].astype(int)
    raised, long_hair = matte.copy(), matte.copy()
    raised[(mouth + chin) // 2 :, :60] = 1
    long_hair[int(face.landmarks[4, 1]) :, :60] = 1
    assert extent(face, raised).beside_units == extent(face, matte).beside_units > 0.2
    assert extent(face, long_hair).beside_units == 0
