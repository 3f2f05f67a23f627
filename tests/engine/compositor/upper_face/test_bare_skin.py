from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.upper_face.bare_skin import bare_skin
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points

SKIN, HAT = (120, 150, 190), (40, 120, 40)


@pytest.fixture
def plain(closed_face: EnrolledFace) -> EnrolledFace:
    """A photo that is nothing but skin."""
    return replace(closed_face, photo=np.full_like(closed_face.photo, SKIN))


def above(face: EnrolledFace) -> Points:
    return np.stack([np.linspace(-0.5, 0.5, 41), np.full(41, -0.2)], -1)


def covered(face: EnrolledFace, corners: list[list[float]], colour: tuple[int, int, int]) -> EnrolledFace:
    """The photo with a polygon (k, 2) of the face plane painted over."""
    photo = face.photo.copy()
    cv2.fillPoly(photo, [face.plane.to_photo(np.array(corners)).round().astype(np.int32)], colour)
    return replace(face, photo=photo)


def test_skin_reaches_to_the_rim_of_a_hat(plain: EnrolledFace) -> None:
    hat = covered(plain, [[-1, -0.35], [1, -0.35], [1, -2], [-1, -2]], HAT)
    np.testing.assert_allclose(bare_skin(hat, above(plain)), 0.15, atol=0.03)


def test_hair_over_one_side_leaves_the_other(plain: EnrolledFace) -> None:
    reach = bare_skin(covered(plain, [[-1, -0.1], [0, -0.1], [0, -2], [-1, -2]], (15, 12, 12)), above(plain))
    assert reach[:8].max() < 0.06
    assert reach[-8:].min() > 0.3
    assert (np.diff(reach) > -1e-9).all()


def test_a_wrinkle_is_skin(plain: EnrolledFace) -> None:
    wrinkled = covered(plain, [[-1, -0.3], [1, -0.3], [1, -0.31], [-1, -0.31]], (50, 60, 80))
    np.testing.assert_allclose(bare_skin(wrinkled, above(plain)), bare_skin(plain, above(plain)))


def test_skin_ends_with_the_photo(plain: EnrolledFace) -> None:
    middle, top = plain.plane.to_plane(np.array([[plain.photo.shape[1] / 2, 0.0]]))[0]
    start = np.stack([np.full(9, middle), np.full(9, top + 0.1)], -1)
    np.testing.assert_allclose(bare_skin(plain, start), 0.1, atol=0.02)
