from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.mouth.colours import InteriorColours, interior_colours
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES


def lab(bgr: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor((bgr / 255).astype(np.float32).reshape(1, 1, 3), cv2.COLOR_BGR2Lab)[0, 0])


def recoloured(face: EnrolledFace, change: tuple[float, float, float], factor: float = 1.0) -> EnrolledFace:
    """The same face with its Lab shifted, L scaled first."""
    whole = cv2.cvtColor(face.photo.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) * [factor, 1, 1] + change
    photo = np.clip(255 * cv2.cvtColor(whole.astype(np.float32), cv2.COLOR_Lab2BGR), 0, 255)
    return replace(face, photo=photo.astype(np.uint8))


def grey(face: EnrolledFace) -> EnrolledFace:
    one = cv2.cvtColor(face.photo, cv2.COLOR_BGR2GRAY)
    return replace(face, photo=np.ascontiguousarray(np.repeat(one[..., None], 3, axis=2)))


@pytest.fixture(scope="module")
def colours(closed_face: EnrolledFace) -> InteriorColours:
    return interior_colours(closed_face)


def test_teeth_are_the_lightest_and_flesh_is_red(colours: InteriorColours, closed_face: EnrolledFace) -> None:
    x, y = closed_face.landmarks[50, :2].round().astype(int)
    cheek = lab(np.median(closed_face.photo[y - 4 : y + 5, x - 4 : x + 5], axis=(0, 1)))
    teeth, flesh, cavity = lab(colours.teeth), lab(colours.flesh), lab(colours.cavity)
    assert 0.85 * cheek[0] < teeth[0] < 100
    assert cavity[0] < 0.3 * cheek[0] < flesh[0] < teeth[0]
    assert flesh[1] > 20 > 6 > abs(teeth[1])
    assert 0 <= teeth[2] < 25


def test_dark_skin_has_light_teeth(closed_face: EnrolledFace) -> None:
    """Its eyes are as white as anybody's."""
    dark = recoloured(closed_face, (0, 0, 0), factor=0.45)
    for eye in EYES:
        outline = dark.landmarks[[*eye.upper, *eye.lower[::-1]], :2].round().astype(np.int32)
        cv2.fillPoly(dark.photo, [outline], (170, 175, 180))
    x, y = dark.landmarks[50, :2].round().astype(int)
    cheek = lab(np.median(dark.photo[y - 4 : y + 5, x - 4 : x + 5], axis=(0, 1)))
    assert lab(interior_colours(dark).teeth)[0] > cheek[0] + 12


def test_a_grey_photo_has_a_grey_mouth(closed_face: EnrolledFace) -> None:
    found = interior_colours(grey(closed_face))
    for colour in (found.teeth, found.flesh, found.cavity, found.lip):
        assert np.abs(lab(colour)[1:]).max() < 1
    np.testing.assert_allclose(found.shade_exponents, 1, atol=0.02)


def test_teeth_are_never_cyan(closed_face: EnrolledFace) -> None:
    for change in ((0.0, -60.0, 0.0), (0.0, 0.0, -60.0), (0.0, -40.0, -40.0)):  # as filters make photos
        teeth = lab(interior_colours(recoloured(closed_face, change)).teeth)
        assert teeth[1] > -1.5 and teeth[2] > -1.5


def test_light_that_falls_on_flesh_reddens_its_shadows(colours: InteriorColours) -> None:
    blue, green, red = colours.shade_exponents
    assert red < 0.8 < 1.1 < green == blue


def test_shut_eyes_are_no_error(closed_face: EnrolledFace, colours: InteriorColours) -> None:
    landmarks = closed_face.landmarks.copy()
    for eye in EYES:
        landmarks[list(eye.upper)] = landmarks[list(eye.lower)]
    teeth = interior_colours(replace(closed_face, landmarks=landmarks)).teeth
    assert abs(lab(teeth)[0] - lab(colours.teeth)[0]) < 20


def test_teeth_seen_on_the_photo_give_their_colour_and_not_all_of_their_light(colours: InteriorColours) -> None:
    yellow = colours.with_teeth(np.array([40, 200, 230], np.float32))
    assert lab(yellow.teeth)[2] > lab(colours.teeth)[2] + 20
    black = colours.with_teeth(np.array([10, 10, 10], np.float32))
    assert lab(colours.teeth)[0] - 9 < lab(black.teeth)[0] < lab(colours.teeth)[0] - 7
    np.testing.assert_array_equal(yellow.flesh, colours.flesh)
    white = colours.with_teeth(np.array([255, 255, 255], np.float32))  # a smile in full light
    assert lab(colours.teeth)[0] + 12 < lab(white.teeth)[0] < lab(colours.teeth)[0] + 21


def test_the_wet_inner_side_of_the_lip_is_darker_and_redder(colours: InteriorColours) -> None:
    wet, tucked = lab(colours.inner_lip), lab(colours.lip)
    assert wet[0] < 0.85 * tucked[0] and wet[1] > tucked[1]


def test_layers_are_teeth_flesh_cavity_lip(colours: InteriorColours) -> None:
    assert colours.layers.shape == (3, 4)
    for column, colour in zip(
        colours.layers.T, (colours.teeth, colours.flesh, colours.cavity, colours.lip), strict=True
    ):
        np.testing.assert_array_equal(column, colour)


def test_burnt_out_skin_leaves_teeth_white_and_the_tongue_dark_and_red(closed_face: EnrolledFace) -> None:
    usual = interior_colours(closed_face)
    bright = recoloured(closed_face, (76, 0, 0), factor=0.25)
    found = interior_colours(bright)
    shade = np.float32(0.75)
    assert lab(found.teeth * shade**found.shade_exponents)[0] > lab(usual.teeth * shade**usual.shade_exponents)[0]
    assert (found.shade_exponents < usual.shade_exponents).all()
    assert lab(found.flesh)[0] <= 61 and lab(found.flesh)[1] > 20
    assert lab(found.cavity)[0] < 20
    grey_flesh = lab(interior_colours(grey(bright)).flesh)
    assert np.abs(grey_flesh[1:]).max() < 1
