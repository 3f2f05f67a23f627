from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.head.strands import above_shoulders, ears, strands
from s2v.engine.face.geometry import FacePlane
from s2v.engine.face.photo import Image

UNIT_PX = 100.0
MIDDLE, RADIUS = 150, 60
FACE = FacePlane(np.array([[UNIT_PX, 0, MIDDLE], [0, UNIT_PX, MIDDLE - 40.0]]))


@pytest.fixture
def plain() -> Image:
    """A wall, a little uneven, and a dark disc before it."""
    rng = np.random.default_rng(0)
    wall = np.clip(120 + rng.normal(0, 2, (300, 300, 3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.circle(wall, (MIDDLE, MIDDLE), RADIUS, (30, 30, 60), -1), np.uint8)


def disc() -> np.ndarray:
    return cv2.circle(np.zeros((300, 300), np.float32), (MIDDLE, MIDDLE), RADIUS, 1.0, -1)


def test_a_hoop_that_hangs_on_is_found_and_nothing_else(plain: Image) -> None:
    hoop = (MIDDLE + RADIUS + 12, MIDDLE)
    drawn = cv2.circle(plain.copy(), hoop, 12, (90, 190, 220), 2)
    found = strands(np.asarray(drawn, np.uint8), disc(), UNIT_PX, FACE) > 0.5
    ring = cv2.circle(np.zeros((300, 300), np.uint8), hoop, 12, 1, 2) > 0
    outside = disc() == 0
    assert found[ring & outside].mean() > 0.8
    assert not found[~cv2.dilate(ring.astype(np.uint8), np.ones((5, 5))).astype(bool)].any()
    assert not strands(plain, disc(), UNIT_PX, FACE).any()
    assert not strands(np.asarray(drawn, np.uint8), disc(), UNIT_PX).any()  # where no ear is it is the background's


def test_a_thin_lock_of_the_hairs_colour_is_found_and_a_bar_of_another_is_not(plain: Image) -> None:
    start, end = (MIDDLE + RADIUS - 2, MIDDLE), (MIDDLE + RADIUS + 28, MIDDLE - 10)
    where = cv2.line(np.zeros((300, 300), np.uint8), start, end, 1, 4) > 0
    where &= disc() == 0
    lock, bar = (cv2.line(plain.copy(), start, end, colour, 4) for colour in ((30, 30, 60), (240, 240, 240)))
    assert strands(np.asarray(lock, np.uint8), disc(), UNIT_PX)[where].mean() > 0.8
    assert not strands(np.asarray(bar, np.uint8), disc(), UNIT_PX).any()


def test_what_has_the_colour_of_skin_or_stands_off_the_shoulders_is_no_hair(plain: Image) -> None:
    start, end = (MIDDLE + 34, MIDDLE - 44), (MIDDLE + 64, MIDDLE - 52)  # higher than ears
    picture = np.asarray(cv2.line(plain, start, end, (30, 30, 60), 4), np.uint8)
    beside = FacePlane(
        np.array([[UNIT_PX, 0, MIDDLE + 500.0], [0, UNIT_PX, MIDDLE - 40]])
    )  # whose cheeks are the wall, far from here
    assert strands(picture, disc(), UNIT_PX, beside).any()
    assert not strands(picture, disc(), UNIT_PX, FACE).any()  # whose cheeks are the disc
    above = FacePlane(np.array([[UNIT_PX, 0, MIDDLE + 500.0], [0, UNIT_PX, MIDDLE - 180]]))
    assert not strands(picture, disc(), UNIT_PX, above).any()


def test_the_shoulders_begin_below_a_chin_also_of_a_tilted_head() -> None:
    for roll in (0.0, 0.4):
        c, s = UNIT_PX * np.cos(roll), UNIT_PX * np.sin(roll)
        plane = FacePlane(np.array([[c, -s, 150.0], [s, c, 100]]))
        at = above_shoulders(plane, (300, 300))
        for v, expected in ((1.1, True), (1.3, False)):
            column, row = plane.to_photo(np.array([0.3, v])).round().astype(int)
            assert at[row, column] == expected


def test_a_thick_thing_of_the_hairs_colour_is_no_lock(plain: Image) -> None:
    headrest = cv2.rectangle(plain.copy(), (MIDDLE + RADIUS, 142), (MIDDLE + RADIUS + 16, 158), (30, 30, 60), -1)
    assert not strands(np.asarray(headrest, np.uint8), disc(), UNIT_PX).any()


def test_a_light_between_two_dark_things_is_not_taken_for_grey_hair() -> None:
    dark = np.random.default_rng(2).normal(35, 2, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    picture = cv2.circle(dark, (MIDDLE, MIDDLE), RADIUS, (95, 100, 105), -1)
    for grey, expected in ((100, True), (245, False)):
        line = cv2.line(picture.copy(), (MIDDLE + RADIUS - 2, MIDDLE), (MIDDLE + RADIUS + 26, MIDDLE), (grey,) * 3, 4)
        assert strands(np.asarray(line, np.uint8), disc(), UNIT_PX).any() == expected


def test_ear_rings_hang_beside_the_face_and_below_the_eyes() -> None:
    at = ears(FacePlane(np.array([[UNIT_PX, 0, 150.0], [0, UNIT_PX, 100]])), (300, 300))
    assert at[150, 150 + 90]
    assert at[150, 150 - 90]
    assert not at[150, 150]  # the face
    assert not at[60, 150 + 90]  # hair
    assert not at[230, 150 + 90]  # shoulders


def test_what_does_not_touch_the_person_or_goes_on_is_background(plain: Image) -> None:
    apart = cv2.circle(plain.copy(), (MIDDLE + RADIUS + 28, MIDDLE), 5, (240, 240, 240), -1)
    assert not strands(np.asarray(apart, np.uint8), disc(), UNIT_PX).any()
    pole = cv2.line(plain.copy(), (MIDDLE + RADIUS - 2, MIDDLE), (299, MIDDLE), (240, 240, 240), 3)
    assert not strands(np.asarray(pole, np.uint8), disc(), UNIT_PX).any()


def test_a_busy_background_hangs_on_nobody() -> None:
    rng = np.random.default_rng(1)
    leaves = cv2.resize(rng.integers(0, 255, (60, 60, 3), np.uint8), (300, 300), interpolation=cv2.INTER_NEAREST)
    picture = cv2.circle(leaves, (MIDDLE, MIDDLE), RADIUS, (30, 30, 60), -1)
    assert strands(np.asarray(picture, np.uint8), disc(), UNIT_PX).mean() < 0.002
