from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2v.engine.compositor.mouth.opening import (
    BRIGHTEST,
    Plane,
    apart,
    light_through,
    lip_gap,
    open_share,
    widened,
)
from s2v.engine.face.geometry import Points

UNIT_PX = 100.0
SIZE = (96, 96)


def lens(gap: float, roll_degrees: float = 0.0) -> np.ndarray:
    """Outline of a mouth 60 px wide around (48, 48) whose lips are `gap` px apart in the middle."""
    u = np.linspace(-1, 1, 11)
    upper = np.c_[30 * u, -gap / 2 * (1 - u**2)]
    outline = np.concatenate([upper, (upper * [1, -1])[-2:0:-1]])
    a = np.radians(roll_degrees)
    return np.asarray(outline @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + 48)


@given(st.floats(-8, 8), st.floats(-180, 180))
def test_the_gap_does_not_know_how_the_head_is_rolled(gap: float, roll_degrees: float) -> None:
    found, down = lip_gap(lens(gap, roll_degrees))
    assert found == pytest.approx(gap if gap > 0 else gap * (1 - 0.8**2), abs=1e-6)
    a = np.radians(roll_degrees)
    np.testing.assert_allclose(down, [-np.sin(a), np.cos(a)], atol=1e-6)


def test_closed_lips_show_nothing_and_open_ones_all() -> None:
    assert apart(-3, UNIT_PX) == apart(0, UNIT_PX) == 0
    assert 0 < apart(0.9, UNIT_PX) < apart(1.7, UNIT_PX) < 1 == apart(1.81, UNIT_PX)


@given(st.floats(-180, 180))
def test_both_lips_give_way_by_the_margin(roll_degrees: float) -> None:
    outline = lens(10, roll_degrees)
    gap, down = lip_gap(outline)
    wider = widened(outline, down, 2.0)
    assert lip_gap(wider)[0] == pytest.approx(gap + 4)
    assert np.linalg.norm(wider[10] - wider[0]) == pytest.approx(64)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5, 0.8])
def test_the_share_of_a_pixel_that_is_open_is_right_between_pixels_too(shift: float) -> None:
    square = np.array([[20, 30], [60, 30], [60, 50], [20, 50]]) + shift
    share = open_share(square, SIZE, blur_px=0.8)
    assert share.shape == SIZE[::-1] and share.dtype == np.float32
    assert share.sum() == pytest.approx(40 * 20, rel=0.004)
    rows, columns = np.mgrid[:96, :96]
    for axis, middle in ((rows, 40 + shift), (columns, 40 + shift)):
        assert (share * axis).sum() / share.sum() == pytest.approx(middle, abs=0.15)


def test_an_outline_outside_the_picture_is_no_error() -> None:
    assert open_share(lens(6) + 500, SIZE, 1.0).max() == 0


def test_the_narrower_the_slit_the_darker_it_is_inside_and_corners_are_dark() -> None:
    middle, corner = [], []
    for gap in (1.0, 3.0, 6.0, 12.0, 30.0):
        outline = lens(gap)
        opening = light_through(open_share(outline, SIZE, 0.8), *lip_gap(outline), UNIT_PX)
        assert all(plane.shape == SIZE[::-1] and plane.dtype == np.float32 for plane in opening)
        middle.append(float(opening.light[48, 48]))
        corner.append(float(opening.light[48, 21]))
    assert middle[0] < middle[1] < middle[2] < middle[3] <= middle[4]
    assert middle[0] < 0.25 and 0.95 * BRIGHTEST < middle[-1] <= BRIGHTEST + 1e-6
    assert all(c < 0.8 * m for c, m in zip(corner[2:], middle[2:], strict=True))


def test_corners_fade_instead_of_turning_black() -> None:
    outline = lens(12)
    gate = open_share(outline, SIZE, 0.8)
    cover = light_through(gate, *lip_gap(outline), UNIT_PX).cover
    assert cover[48, 48] > 0.98
    assert cover[48, 19] < 0.75 * gate[48, 19]


@pytest.mark.parametrize("roll_degrees", [0.0, 90.0])
def test_the_upper_lip_throws_a_shadow(roll_degrees: float) -> None:
    outline = lens(30, roll_degrees)
    light = light_through(open_share(outline, SIZE, 0.8), *lip_gap(outline), UNIT_PX).light
    under, over = (light[36, 48], light[60, 48]) if roll_degrees == 0 else (light[48, 60], light[48, 36])
    assert under < 0.93 * over


@pytest.mark.parametrize("roll_degrees", [0.0, 90.0])
def test_light_from_above_falls_on_what_is_near_the_lower_lip(roll_degrees: float) -> None:
    opening = light_through(*seen_through(30, roll_degrees))
    under, over = (opening.light[at_lips(y, roll_degrees)] for y in (35, 61))  # 2 px from the lips
    assert over > 1.2 * under


@pytest.mark.parametrize("roll_degrees", [0.0, 90.0, 180.0])
def test_the_lower_lip_shows_its_inner_side_in_an_open_mouth(roll_degrees: float) -> None:
    lip = light_through(*seen_through(30, roll_degrees)).lower_lip
    near, inside, upper = (float(lip[at_lips(y, roll_degrees)]) for y in (62, 56, 34))
    assert near > 0.5 > 0.05 > inside and upper == 0
    slit = light_through(*seen_through(3, roll_degrees))
    assert (slit.lower_lip * slit.cover).max() < 0.1  # which has no room for it


def seen_through(gap: float, roll_degrees: float) -> tuple[Plane, float, Points, float]:
    """What `light_through` takes of a lens."""
    outline = lens(gap, roll_degrees)
    return open_share(outline, SIZE, 0.8), *lip_gap(outline), UNIT_PX


def at_lips(y: float, roll_degrees: float) -> tuple[int, int]:
    """Row and column of a point above or below (48, 48) before it was rolled."""
    a = np.radians(roll_degrees)
    return round(48 + (y - 48) * float(np.cos(a))), round(48 - (y - 48) * float(np.sin(a)))


def test_wide_blurs_of_large_faces_are_those_of_small_ones_enlarged() -> None:
    """They are made on fewer pixels."""
    outline = 5 * (lens(20) + 0.5) - 0.5
    gate = open_share(outline, (480, 480), 5.0)
    gap, down = lip_gap(outline)
    large = light_through(gate, gap, down, 5 * UNIT_PX).light.reshape(96, 5, 96, 5).mean((1, 3))
    small = light_through(gate.reshape(96, 5, 96, 5).mean((1, 3)), gap / 5, down, UNIT_PX).light
    np.testing.assert_allclose(large, small, atol=0.012)
