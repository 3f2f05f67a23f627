from __future__ import annotations

import numpy as np

from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE
from s2v.engine.compositor.mouth.tongue import (
    GRID_LEFT,
    GRID_PX,
    GRID_SIZE,
    GRID_TOP,
    behind_teeth,
    lip_tucked,
    tongue_between,
)

LOWER_V, CHIN = 0.05, 0.07  # jaw half open
AT_REST = {"lower_v": LOWER_V, "chin": CHIN, "height": 0.3, "front": 0.5, "tip": 0.1}


def at(plane: np.ndarray, u: float, v: float) -> float:
    return float(plane[round((v - GRID_TOP) * GRID_PX - 0.5), round((u - GRID_LEFT) * GRID_PX - 0.5)])


def top_of(plane: np.ndarray) -> float:
    """v below which less than half of the cavity is left, in the middle."""
    column = plane[:, round(-GRID_LEFT * GRID_PX)]
    return float(GRID_TOP + np.argmax(column < 0.5 * column.max()) / GRID_PX)


def test_a_high_tongue_is_higher_and_a_front_one_brighter() -> None:
    tops = [top_of(behind_teeth(**AT_REST | {"height": height}).cavity) for height in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(np.diff(tops), -0.0375, atol=0.011)  # a pixel of the grid
    back, front = (behind_teeth(**AT_REST | {"front": front}).flesh for front in (0.0, 1.0))
    assert at(front, 0.1, LOWER_V) > 1.15 * at(back, 0.1, LOWER_V)


def test_the_tongue_goes_down_with_the_jaw_and_stays_behind_a_wide_one() -> None:
    tops = [
        top_of(behind_teeth(**AT_REST | {"lower_v": LOWER_V + JAW_SHARE * far, "chin": CHIN + far}).cavity)
        for far in (0.0, 0.1)
    ]
    assert 0.015 < tops[1] - tops[0] < 0.06


def test_a_raised_tip_reaches_the_upper_teeth_in_the_middle_only() -> None:
    wide = AT_REST | {"lower_v": LOWER_V + 0.04, "height": 0.0}
    low, high = (behind_teeth(**wide | {"tip": tip}).cavity for tip in (0.0, 1.0))
    assert at(high, 0.0, 0.01) < 0.3 < 0.5 < at(low, 0.0, 0.01)
    assert at(high, 0.2, 0.01) > 0.9 * at(low, 0.2, 0.01)


def test_upper_teeth_shade_what_is_close_below_them() -> None:
    behind = behind_teeth(**AT_REST | {"height": 0.0})
    assert at(behind.shade, 0, 0.0) < 0.8 < at(behind.shade, 0, 0.05)
    assert at(behind.cavity, 0.3, 0.0) < at(behind.cavity, 0.3, 0.03)


def test_the_tongue_comes_between_the_teeth_when_its_tip_is_high_and_in_front() -> None:
    assert tongue_between(LOWER_V, front=1.0, tip=0.3) is None  # "ee"
    assert tongue_between(LOWER_V, front=0.5, tip=0.9) is None  # "l"
    between = tongue_between(LOWER_V, front=1.0, tip=1.0)
    assert between is not None and between.shape == (*GRID_SIZE[::-1], 2)
    assert at(between[..., 1], 0, LOWER_V / 2) > 0.95
    assert at(between[..., 1], 0, LOWER_V + 0.04) == at(between[..., 1], 0.3, LOWER_V / 2) == 0
    assert (between[..., 0] <= 1.1 * between[..., 1]).all()


def test_a_tongue_between_shut_teeth_is_no_error() -> None:
    between = tongue_between(-0.02, front=1.0, tip=1.0)
    assert between is not None and np.isfinite(between).all()


def test_the_lower_lip_lies_under_the_upper_teeth() -> None:
    assert lip_tucked(0.0) is None
    half, whole = lip_tucked(0.5), lip_tucked(1.0)
    assert half is not None and whole is not None
    assert at(whole[..., 1], 0, 0.03) == 1 and at(half[..., 1], 0, 0.03) == 0.5
    assert at(whole[..., 1], 0, -0.02) == 0
    assert at(whole[..., 1], 0.2, -0.005) > 0.9  # the edge of the teeth rises to the sides


def test_shapes_fade_in_and_stay_between_nothing_and_all() -> None:
    for tip in np.linspace(0, 1, 9):
        behind = behind_teeth(**AT_REST | {"tip": float(tip), "front": 1.0})
        for plane in behind:
            assert plane.dtype == np.float32 and plane.shape == GRID_SIZE[::-1]
            assert 0 <= plane.min() <= plane.max() <= 1.11
    one, other = (behind_teeth(**AT_REST | {"tip": tip}).flesh for tip in (0.30, 0.32))
    assert 0 < np.abs(one - other).max() < 0.2
