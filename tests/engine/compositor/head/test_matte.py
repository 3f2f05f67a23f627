from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.layers import layers
from s2v.engine.compositor.head.matte import plainness, widened, without_islands
from s2v.engine.compositor.head.person import face_unit_px, person_matte
from s2v.engine.face.enrolment import EnrolledFace

UNIT_PX = 100.0


def half(size: int = 120) -> np.ndarray:
    """A person who fills the left half."""
    matte = np.zeros((size, size), np.float32)
    matte[:, : size // 2] = 1
    return matte


def test_the_rim_is_whole_for_a_twentieth_of_the_eye_distance_and_gone_after_a_tenth_more() -> None:
    row = widened(half(), UNIT_PX)[60]
    assert (row[:60] == 1).all()
    assert (row[60:65] == 1).all()  # 5 px of 100
    assert (row[60 + 15 :] == 0).all()
    assert (np.diff(row[64:75]) < 0).all()
    assert 0.4 < row[69] < 0.6


def test_a_small_gap_is_closed_and_a_large_one_is_not() -> None:
    matte = np.ones((300, 300), np.float32)
    matte[100:120, 50:80] = 0
    matte[200:250, 100:200] = 0
    closed = without_islands(matte, UNIT_PX)
    assert (closed[90:130, 40:90] == 1).all()
    np.testing.assert_array_equal(closed[150:], matte[150:])
    np.testing.assert_array_equal(without_islands(half(), UNIT_PX), half())


def test_a_narrow_channel_does_not_keep_a_gap_open() -> None:
    matte = half(300)
    matte[100:125, 80:110] = 0
    matte[110:113, 110:] = 0  # 3 px wide
    assert without_islands(matte, UNIT_PX)[112, 95] == 1


def letters() -> np.ndarray:
    """A light wall with dark letters on its lower half, right of the person, (300, 300, 3)."""
    wall = np.full((300, 300, 3), 190, np.uint8)
    return np.asarray(cv2.putText(wall, "NE", (150, 240), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (30, 30, 30), 14), np.uint8)


def test_the_rim_is_half_as_wide_beside_letters_and_whole_beside_a_plain_wall() -> None:
    plain = plainness(letters(), UNIT_PX)
    assert (plain[:80] == 1).all()
    assert (plain[205:235, 155:180] == 0).all()
    rim = widened(half(300), UNIT_PX, plain)
    assert rim[40, 150 + 10] > 0.3
    assert rim[220, 150 + 8] == 0
    assert rim[220, 150] == 1
    assert (rim[:, :150] == 1).all()


def test_noise_and_thin_hairs_leave_a_wall_plain() -> None:
    wall = np.random.default_rng(0).normal(150, 4, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    for y in range(20, 300, 40):
        cv2.line(wall, (100, y), (200, y - 8), (20, 20, 20), 2)
    assert plainness(wall, UNIT_PX).min() > 0.9


def test_the_rim_before_a_photos_sky_is_whole(closed_face: EnrolledFace) -> None:
    unit_px = face_unit_px(closed_face.plane)
    person = person_matte(closed_face.photo, closed_face.landmarks, closed_face.plane)
    cut = layers(closed_face.photo, closed_face.landmarks, closed_face.plane)
    assert (cut.matte[person > 0.3] == 1).all()
    assert (cut.matte[:, :60] == 0).all()
    assert (cut.matte[:200, -130:] == 0).all()
    rim = (cut.matte > 0.5).sum() - (person > 0.5).sum()
    assert 0.02 < rim / (person > 0.5).sum() < 0.25
    above = np.s_[: int(closed_face.pose.to_photo(np.zeros(3))[1] - 0.8 * unit_px)]
    np.testing.assert_allclose(cut.matte[above], widened(person, unit_px)[above], atol=0.3)
