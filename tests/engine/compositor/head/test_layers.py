from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.compositor.head.layers import Layers, layers
from s2v.engine.face.background import Background
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL


def layers_of(face: EnrolledFace, background: Background | None = None) -> Layers:
    return layers(face.photo, face.landmarks, face.plane, background)


def face_pixels(face: EnrolledFace) -> tuple[slice, slice]:
    oval = face.landmarks[list(FACE_OVAL), :2]
    middle, half = oval.mean(0), np.ptp(oval, axis=0) / 4
    left, top = (middle - half).astype(int)
    right, bottom = (middle + half).astype(int)
    return slice(top, bottom), slice(left, right)


@pytest.fixture(scope="module")
def own(closed_face: EnrolledFace) -> Layers:
    return layers_of(closed_face)


def test_before_its_own_background_a_photo_is_itself_at_rest(closed_face: EnrolledFace, own: Layers) -> None:
    assert own.at_rest is closed_face.photo
    free = own.matte == 0
    assert 0.3 < free.mean() < 0.8
    np.testing.assert_array_equal(own.background[free], closed_face.photo[free])
    assert (own.matte[face_pixels(closed_face)] == 1).all()


def test_the_head_is_gone_from_the_background(closed_face: EnrolledFace, own: Layers) -> None:
    # Behind this man's black hair is the sky: brighter, and blue.
    hair = own.background[20:90, 200:290].astype(int)
    assert closed_face.photo[40:70, 220:250].mean() < 60
    assert hair.min() > 120
    assert (hair[..., 0] > hair[..., 2]).all()


def test_a_colour_stands_behind_the_person_and_shines_through_nowhere(closed_face: EnrolledFace) -> None:
    green = layers_of(closed_face, Background(colour=(0, 255, 0)))
    assert (green.background == [0, 255, 0]).all()
    assert (green.at_rest[:150, :90] == [0, 255, 0]).all()
    face = face_pixels(closed_face)
    np.testing.assert_array_equal(green.at_rest[face], closed_face.photo[face])
    assert (green.matte[face] == 1).all()
    # What is seen at rest is the head over the background, to the level.
    assert (green.at_rest[green.matte == 0] == [0, 255, 0]).all()


def test_no_sky_is_left_around_the_hair(closed_face: EnrolledFace) -> None:
    black = layers_of(closed_face, Background(colour=(0, 0, 0))).at_rest[:90, 130:360].astype(int)
    bluish = (black[..., 0] - black[..., 2] > 60) & (black[..., 0] > 110)
    before = closed_face.photo[:90, 130:360].astype(int)
    assert ((before[..., 0] - before[..., 2] > 60) & (before[..., 0] > 110)).mean() > 0.2
    assert bluish.mean() < 0.002


def test_a_blurred_background_keeps_its_colours_and_loses_its_edges(closed_face: EnrolledFace) -> None:
    blurred = layers_of(closed_face, Background())
    side = np.s_[280:, -50:]  # houses and trees
    was, now = closed_face.photo[side].astype(int), blurred.at_rest[side].astype(int)
    assert np.abs(np.diff(now, axis=0)).mean() < 0.3 * np.abs(np.diff(was, axis=0)).mean()
    assert np.abs(now.mean((0, 1)) - was.mean((0, 1))).max() < 15
    face = face_pixels(closed_face)
    np.testing.assert_array_equal(blurred.at_rest[face], closed_face.photo[face])
    assert np.abs(blurred.background[40:70, 220:250].astype(int)).min() > 100  # no dark shadow of the head
