from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.compositor.mouth.teeth_texture import (
    ABOVE_MM,
    BELOW_MM,
    PX_PER_MM,
    REACH_MM,
    Texture,
    lower_row,
    upper_row,
)

ROWS = {"upper": upper_row, "lower": lower_row}


def at(row: Texture, s_mm: float, t_mm: float) -> np.ndarray:
    return np.asarray(row[round((t_mm + BELOW_MM) * PX_PER_MM), round((s_mm + REACH_MM) * PX_PER_MM)])


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_teeth_under_gums_over_nothing(name: str) -> None:
    row = ROWS[name](0)
    assert row.shape[0] == pytest.approx((BELOW_MM + ABOVE_MM) * PX_PER_MM, abs=1)
    assert row.dtype == np.float32 and row.min() >= 0 and row[..., 2].max() == 1
    tooth, gum, nothing = at(row, 3, 5), at(row, 3, 13), at(row, 3, -1.5)
    assert tooth[0] > 0.85 and tooth[1] == 0 and tooth[2] == 1
    assert gum[0] == 0 and gum[1] > 0.6 and gum[2] == 1
    np.testing.assert_array_equal(nothing, 0)


@pytest.mark.parametrize(("name", "width_mm"), [("upper", 8.4), ("lower", 5.3)])
def test_gaps_are_darker_and_stand_as_far_apart_as_teeth_are_wide(name: str, width_mm: float) -> None:
    for seed in range(5):
        line = ROWS[name](seed)[round((5 + BELOW_MM) * PX_PER_MM), :, 0]
        middle = round(REACH_MM * PX_PER_MM)
        for side in (-1, 1):
            begin, end = sorted(
                (middle + side * round(0.6 * width_mm * PX_PER_MM), middle + side * round(1.4 * width_mm * PX_PER_MM))
            )
            gap_mm = abs(begin + line[begin:end].argmin() - middle) / PX_PER_MM
            assert gap_mm == pytest.approx(width_mm, rel=0.15)
        assert line[middle - 2 : middle + 3].min() < 0.85 * line[middle + 15]


def test_upper_incisors_are_wider_than_lower_ones_and_the_lateral_one_is_shorter() -> None:
    for seed in range(5):
        edges = []
        for s_mm in (4.2, 11.6):
            column = upper_row(seed)[:, round((s_mm + REACH_MM) * PX_PER_MM), 2]
            edges.append(np.argmax(column > 0.5) / PX_PER_MM - BELOW_MM)
        assert edges[0] < edges[1] + 0.1


@pytest.mark.parametrize("name", ROWS)
def test_a_seed_is_a_person(name: str) -> None:
    row = ROWS[name]
    np.testing.assert_array_equal(row(7), row(7))
    apart = np.abs(row(7) - row(8))[..., 0]
    assert 0.005 < apart.mean() < 0.2  # another person's, and still teeth
