from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.compositor.mouth.own_row import OwnRow, with_own_teeth

SIZE = (60, 120)  # height, width
PLANE_TO_ROW = np.array([[100.0, 0, 60], [0, 100.0, 30]])  # 100 px a unit, the origin in the middle
EDGE = np.array([0.0, 0.045])  # of the drawn teeth: the lower side of row 34


def drawn() -> np.ndarray:
    row = np.zeros((*SIZE, 3), np.float32)
    row[..., 2] = 1
    row[10:35, 20:100] = [0.8, 0, 0]
    return row


def own(edge_row: int, level: float = 200.0) -> np.ndarray:
    """A photo's teeth, the right half of them darker, down to a row of the window."""
    teeth = np.zeros((*SIZE, 4), np.float32)
    teeth[edge_row - 15 : edge_row, 40:80] = [level, level, level + 20, 1]
    teeth[edge_row - 15 : edge_row, 60:80, :3] *= 0.8
    return teeth


def laid(teeth: np.ndarray) -> OwnRow:
    found = with_own_teeth(teeth, drawn(), PLANE_TO_ROW, EDGE)
    assert found is not None
    return found


@pytest.mark.parametrize("edge_row", [33, 35, 39])
def test_their_edge_goes_where_the_drawn_one_is(edge_row: int) -> None:
    upper = laid(own(edge_row)).upper
    own_light = np.abs(upper[:, 55, 0] - 0.8) > 0.02
    assert np.flatnonzero(own_light & (upper[:, 55, 2] < 0.5))[-1] == 34


def test_they_are_not_moved_further_than_a_lip_hides() -> None:
    there, too_far = laid(own(41)).upper, laid(own(60)).upper
    assert abs(there[27, 50, 0] - 0.8) > 0.02  # up by six rows
    assert too_far[27, 50, 0] == pytest.approx(0.8)  # up by seven, not by twenty-five


def test_none_hangs_below_the_drawn_row() -> None:
    """A lower lip that shines has the colour of teeth."""
    teeth = own(35)
    teeth[35:45, 42:46] = [200, 200, 220, 1]
    upper = laid(teeth).upper
    assert upper[34, 44, 2] < 0.1 and (upper[38:, 40:50, 2] == 1).all()


def test_they_are_as_bright_as_the_drawn_ones_and_keep_their_shapes() -> None:
    for level in (60.0, 200.0):
        upper = laid(own(35, level)).upper
        assert np.median(upper[25:32, 42:78, 0]) == pytest.approx(0.8, rel=0.15)
        assert upper[28, 70, 0] == pytest.approx(0.8 * upper[28, 50, 0], rel=0.02)
        assert upper[28, 30, 0] == pytest.approx(0.8)  # beside them the drawn row goes on


def test_a_gap_between_two_of_them_is_no_notch_and_a_dark_tooth_stays_dark() -> None:
    teeth = own(35)
    teeth[20:35, 50:52, :3] *= 0.74
    upper = laid(teeth).upper
    assert upper[28, 50, 0] == pytest.approx(0.8 * upper[28, 46, 0], rel=0.02)
    teeth[20:35, 46:56, :3] *= 0.74  # as wide as a tooth
    upper = laid(teeth).upper
    assert upper[28, 54, 0] == pytest.approx(0.74 * upper[28, 43, 0], rel=0.03)


def test_what_is_too_dark_for_a_tooth_is_left_to_the_drawn_row() -> None:
    teeth = own(35)
    teeth[30:35, 50:58, :3] *= 0.3
    assert laid(teeth).upper[32, 54, 0] == pytest.approx(0.8)


def test_their_colour_is_that_of_the_bright_ones() -> None:
    np.testing.assert_allclose(laid(own(35)).colour, [200, 200, 220])


def test_spots_far_from_the_front_are_no_teeth() -> None:
    spots = np.zeros((*SIZE, 4), np.float32)
    spots[30:34, 100:104] = [200, 200, 200, 1]
    assert with_own_teeth(spots, drawn(), PLANE_TO_ROW, EDGE) is None
    assert with_own_teeth(np.zeros((*SIZE, 4), np.float32), drawn(), PLANE_TO_ROW, EDGE) is None


def test_the_row_ends_where_they_end_however_they_slope() -> None:
    """Drawn teeth of another slope would peep out below them as jags."""
    teeth, columns = np.zeros((*SIZE, 4), np.float32), np.arange(40, 80)
    edges = 35 + 0.15 * (columns - 60)
    for x, edge_row in zip(columns, edges, strict=True):
        teeth[15 : round(edge_row), x] = [200, 200, 220, 1]
    bare = laid(teeth).upper[..., 2]
    ends = np.array([np.flatnonzero(bare[:, x] < 0.5)[-1] for x in columns])
    assert np.abs(ends + 1 - edges).max() < 1.5
    assert all(bare[end + 3, x] > 0.95 for x, end in zip(columns, ends, strict=True))


def test_they_are_not_cut_off_where_the_drawn_row_ends_at_the_side() -> None:
    teeth = np.zeros((*SIZE, 4), np.float32)
    teeth[20:35, 8:80] = [200, 200, 220, 1]
    upper = laid(teeth).upper
    assert (upper[24:32, 10:20, 2] < 0.1).all() and (upper[24:32, 10:20, 0] > 0.6).all()
