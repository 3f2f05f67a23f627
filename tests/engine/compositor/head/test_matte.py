from __future__ import annotations

import numpy as np

from s2v.engine.compositor.head.matte import head_matte, widened, without_islands
from s2v.engine.compositor.head.person import person_matte
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


def test_a_heads_matte_holds_the_person_and_a_rim_and_little_more(closed_face: EnrolledFace) -> None:
    person = person_matte(closed_face.photo, closed_face.landmarks, closed_face.plane)
    matte = head_matte(closed_face.photo, closed_face.landmarks, closed_face.plane)
    assert (matte[person > 0.3] == 1).all()
    assert (matte[:, :60] == 0).all()
    assert (matte[:200, -130:] == 0).all()
    rim = (matte > 0.5).sum() - (person > 0.5).sum()
    assert 0.02 < rim / (person > 0.5).sum() < 0.25
