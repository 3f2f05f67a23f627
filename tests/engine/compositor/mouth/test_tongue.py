from __future__ import annotations

import numpy as np

from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE
from s2v.engine.compositor.mouth.tongue import (
    GRID_LEFT,
    GRID_PX,
    GRID_SIZE,
    GRID_TOP,
    behind_teeth,
    between,
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


def test_the_tongue_comes_between_the_teeth_for_th_alone() -> None:
    assert tongue_between(LOWER_V, dental=0.3) is None  # "l"
    out = tongue_between(LOWER_V, dental=1.0)
    assert out is not None and out.shape == (*GRID_SIZE[::-1], 2)
    assert at(out[..., 1], 0, LOWER_V / 2) > 0.95
    assert at(out[..., 1], 0, LOWER_V + 0.04) == at(out[..., 1], 0.3, LOWER_V / 2) == 0
    assert (out[..., 0] <= 1.25 * out[..., 1]).all()
    assert between(0.3) == 0 < between(0.7) < between(1.0) == 1


def test_a_tongue_between_shut_teeth_is_no_error() -> None:
    out = tongue_between(-0.02, dental=1.0)
    assert out is not None and np.isfinite(out).all()


def test_the_body_is_round_with_a_groove_and_shines_beside_it() -> None:
    flesh = behind_teeth(**AT_REST | {"height": 1.0}).flesh
    top = top_of(behind_teeth(**AT_REST | {"height": 1.0}).cavity)
    middle, ridge, side = (at(flesh, u, top + 0.09) for u in (0.0, 0.05, 0.2))
    assert middle < 0.95 * ridge and side < 0.8 * ridge
    shine = [at(flesh, 0.05, top + below) / at(flesh, 0.1, top + below) for below in (0.02, 0.07)]
    assert shine[0] > 1.05 * shine[1]


def test_a_raised_tip_has_a_midline() -> None:
    flesh = behind_teeth(**AT_REST | {"tip": 1.0}).flesh
    assert at(flesh, 0.0, 0.05) < 0.97 * at(flesh, 0.025, 0.05)


def test_cheeks_are_seen_at_the_sides_of_the_cavity() -> None:
    behind = behind_teeth(**AT_REST | {"height": 0.0})
    assert at(behind.flesh, 0.0, -0.02) < 0.05 < at(behind.flesh, 0.25, -0.02)
    assert at(behind.cavity, 0.25, -0.02) < 0.9 * at(behind.cavity, 0.0, -0.02)


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


def test_the_tongue_is_no_sheet_but_darkens_to_the_back_and_the_sides_and_leaves_the_cavity_above() -> None:
    wide = AT_REST | {"lower_v": 0.12, "chin": 0.16, "height": 0.95, "front": 1.0, "tip": 0.0}  # of an open vowel
    seen = behind_teeth(**wide)
    top = top_of(seen.cavity)
    assert at(seen.flesh, 0.05, top + 0.01) < 0.55 * at(seen.flesh, 0.05, top + 0.07)
    assert at(seen.flesh, 0.18, 0.11) < 0.6 * at(seen.flesh, 0.03, 0.11)
    assert top > -0.01 and at(seen.cavity, 0.20, 0.03) > 0.7
