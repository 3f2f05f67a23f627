from __future__ import annotations

import numpy as np

from s2v.engine.compositor.mouth_corners import corners_displacement
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP, canonical_face

NOSE_TIP, CHIN, MIDDLES = 1, 152, (0, 13, 14, 17)


def test_corners_go_by_one_up_out_and_a_little_back() -> None:
    left, right = corners_displacement(canonical_face())[list(MOUTH_CORNERS)]
    np.testing.assert_allclose(np.linalg.norm([left, right], axis=1), 1, atol=0.02)
    assert left[0] < 0 < right[0]
    assert left[1] < -0.8
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.02)


def test_the_middle_of_the_lips_nose_and_chin_stay() -> None:
    moved = np.linalg.norm(corners_displacement(canonical_face()), axis=1)
    assert moved[[*MIDDLES, NOSE_TIP, CHIN, 33, 263]].max() < 0.03
    assert set(np.argsort(moved)[-2:]) == set(MOUTH_CORNERS)  # what comes next goes by 0.89
    assert np.sort(moved)[-3] < 0.93


def test_lips_that_lie_above_each_other_go_the_same_way() -> None:
    moved = corners_displacement(canonical_face())
    np.testing.assert_allclose(moved[list(UPPER_INNER_LIP)], moved[list(LOWER_INNER_LIP)], atol=0.04)  # 0.029


def test_lips_bend_from_the_middle_to_the_corner() -> None:
    up = -corners_displacement(canonical_face())[list(UPPER_INNER_LIP[5:]), 1]
    assert (np.diff(up) > 0).all()
    assert up[2] < 0.4 * up[-1]
