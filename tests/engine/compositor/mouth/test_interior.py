"""What is drawn between the lips, judged on pixels of a mouth drawn into the window of a plain picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.compositor.face_tables import face_tables
from s2v.engine.compositor.mouth.interior import MouthInterior
from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE, LOWER_DEPTH, UPPER_DEPTH, InteriorTables
from s2v.engine.compositor.mouth.tongue import GRID_LEFT, GRID_PX, GRID_TOP
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
SKIN = (120, 140, 190)
STILL = np.eye(2, 3)
REST = (0.3, 0.5, 0.1, 0.0, 0.0)
TEETH, FLESH, CAVITY, LIP = [250, 0, 0], [0, 0, 200], [0, 100, 0], [0, 200, 200]  # told apart by colour


@cache
def tables() -> InteriorTables:
    """Of a face of 280 px a unit, its layers in colours that no mouth has, its shadows colourless."""
    found = face_tables(drawn_face(SPEC, (700, 840)), SPEC, moving=False).interior
    colours = np.array([TEETH, FLESH, CAVITY, LIP], np.float32).T
    return replace(found, colours=np.ascontiguousarray(colours), shade_exponents=np.ones(3, np.float32))


def to_window(u: np.ndarray | float, v: np.ndarray | float, of: InteriorTables | None = None) -> np.ndarray:
    """Pixels of the window of a point below the middle of the upper teeth's edge, face units."""
    grid = (of or tables()).grid_to_window
    at = np.stack([(np.asarray(n) - low) * GRID_PX - 0.5 for n, low in ((u, GRID_LEFT), (v, GRID_TOP))], -1)
    return np.asarray(at @ grid[:, :2].T + grid[:, 2])


def lips(upper_v: float, lower_v: float, half_width: float = 0.22) -> np.ndarray:
    """Outline of an opening between these heights in the middle."""
    u = np.linspace(-1, 1, 11)
    middle = (upper_v + lower_v) / 2
    above, below = (middle + (v - middle) * (1 - u**4) for v in (upper_v, lower_v))
    outline = np.concatenate([np.c_[u, above], np.c_[u, below][-2:0:-1]])
    return to_window(half_width * outline[:, 0], outline[:, 1])


WIDE = (-0.06, 0.14)


def jaw(chin_down: float) -> np.ndarray:
    """Motion that moves the chin down by so much, in face units."""
    moves = tables().chin_moves[:, 1]
    return np.asarray(moves * (chin_down / (moves**2).sum()), np.float32)


def drawn(
    opening: tuple[float, float] = WIDE,
    chin_down: float = 0.1,
    tract: tuple[float, ...] = REST,
    carry: np.ndarray = STILL,
    of: InteriorTables | None = None,
    depth_shift: tuple[float, float] = (0.0, 0.0),
) -> Image:
    found = of or tables()
    left, top, right, bottom = found.window
    mouth = np.full((bottom - top, right - left, 3), SKIN, np.uint8)
    outline = lips(*opening) @ carry[:, :2].T + carry[:, 2]
    given = outline, carry, jaw(chin_down), np.array(tract, np.float32), np.array(depth_shift)
    MouthInterior(found).draw(mouth, *given)
    return mouth


def column(picture: Image, u: float = 0.02, low: float = -0.05, high: float = 0.13) -> tuple[np.ndarray, np.ndarray]:
    """v and BGR along a line down the middle of a tooth."""
    v = np.linspace(low, high, 400)
    at = to_window(np.full_like(v, u), v).astype(np.float32)
    return v, cv2.remap(picture, at[None, :, :1], at[None, :, 1:], cv2.INTER_LINEAR)[0].astype(int)


def teeth_edges(picture: Image, **where: float) -> tuple[float, float]:
    """v of the upper teeth's edge and of the lower teeth's."""
    v, colours = column(picture, **where)
    teeth = colours[:, 0] > 90
    change = np.flatnonzero(np.diff(teeth.astype(int)))
    assert len(change) == 2 and teeth[0] and teeth[-1], "upper teeth, something else, lower teeth"
    return float(v[change[0]]), float(v[change[1]])


# --- where things are -----------------------------------------------------------------------------------


def test_upper_teeth_stay_on_the_skull_and_lower_ones_follow_the_jaw() -> None:
    shut, wide = (teeth_edges(drawn(chin_down=down, tract=(0, 0.5, 0, 0, 0))) for down in (0.06, 0.12))
    assert shut[0] == pytest.approx(0, abs=0.012)
    assert wide[0] == pytest.approx(shut[0], abs=0.002)
    assert wide[1] - shut[1] == pytest.approx(JAW_SHARE * 0.06, abs=0.006)


def test_lower_teeth_bite_behind_the_upper_ones() -> None:
    v, colours = column(drawn(chin_down=0.0))
    assert (colours[np.abs(v) < 0.03, 0] > 60).all(), "no gap between shut teeth"


def test_a_tongue_shows_between_the_rows_and_a_high_one_higher() -> None:
    tops = []
    for height in (0.0, 1.0):
        v, colours = column(drawn(tract=(height, 0.5, 0, 0, 0)))
        tops.append(v[np.argmax((colours[:, 2] > 60) & (colours[:, 0] < 60))])
    assert tops[0] > tops[1] + 0.02


def test_the_tip_is_up_for_l() -> None:
    below_teeth = to_window(0, 0.012).round().astype(int)
    down, up = (drawn(tract=(0.2, 0.5, tip, 0, 0))[below_teeth[1], below_teeth[0]].astype(int) for tip in (0.0, 1.0))
    assert up[2] > down[2] + 60 and down[1] > up[1] + 15  # flesh instead of the dark
    beside = to_window(0.17, 0.012).round().astype(int)
    one, other = (drawn(tract=(0.2, 0.5, tip, 0, 0))[beside[1], beside[0]].astype(int) for tip in (0.0, 1.0))
    assert np.abs(one - other).max() < 12


def test_the_tongue_is_between_the_teeth_for_th() -> None:
    """Over the lower teeth, under the upper ones."""
    narrow = partial(drawn, opening=(-0.03, 0.05), chin_down=0.03)
    on_lower, on_upper = (to_window(0.0, v).round().astype(int) for v in (0.019, -0.02))
    l_like, th = narrow(tract=(0.5, 0.5, 0.9, 0, 0.3)), narrow(tract=(0.5, 0.8, 0.9, 0, 0.9))
    assert th[on_lower[1], on_lower[0], 0] < 30 < 50 < l_like[on_lower[1], on_lower[0], 0]
    assert th[on_lower[1], on_lower[0], 2] > 80
    np.testing.assert_array_equal(th[on_upper[1], on_upper[0]], l_like[on_upper[1], on_upper[0]])


def test_the_lower_lip_lies_under_the_upper_teeth_for_f() -> None:
    narrow = partial(drawn, opening=(-0.03, 0.03), chin_down=0.02)
    v, colours = column(narrow(tract=(0.3, 0.5, 0.1, 1, 0)), low=-0.02, high=0.022)
    assert (colours[v < -0.01, 0] > 70).all()
    lip = colours[v > 0.012]
    assert (lip[:, 0] < 25).all() and (np.abs(lip[:, 1] - lip[:, 2]) < 40).all() and (lip[:, 1] > 40).all()
    v, without = column(narrow(tract=REST), low=-0.02, high=0.022)
    assert without[v > 0.012, 0].max() > 40


def test_all_of_it_goes_where_the_head_goes() -> None:
    a = np.radians(4)
    turn = np.array([[np.cos(a), -np.sin(a), 14.0], [np.sin(a), np.cos(a), -9.0]])
    here, there = drawn(), drawn(carry=turn)
    back = cv2.warpAffine(
        there, turn, here.shape[1::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderValue=SKIN
    )
    inside = np.zeros(here.shape[:2], np.uint8)
    cv2.fillPoly(inside, [lips(-0.04, 0.12, 0.19).round().astype(np.int32)], 1)
    assert np.abs(back.astype(int) - here)[inside > 0].mean() < 3
    assert np.abs(there.astype(int) - here)[inside > 0].mean() > 12


def test_a_turn_of_the_head_moves_what_is_further_behind_the_lips_further() -> None:
    """And the opening stays."""
    shift = np.array([0.0, 200.0])  # pixels for a face unit
    for row, depth in (("upper", UPPER_DEPTH), ("lower", LOWER_DEPTH)):
        n = 0 if row == "upper" else 1
        here, there = (
            teeth_edges(drawn(tract=(0, 0.5, 0, 0, 0), depth_shift=(0, y)))[n] for y in (0.0, float(shift[1]))
        )
        assert there - here == pytest.approx(depth * shift[1] / tables().unit_px, abs=0.004), row
    still, turned = drawn(), drawn(depth_shift=(150.0, 0.0))
    lip = to_window(0, WIDE[0] - 0.04).round().astype(int)
    np.testing.assert_array_equal(still[: lip[1]], turned[: lip[1]])
    tops = []
    for y in (0.0, 200.0):
        v, colours = column(drawn(tract=(1.0, 1.0, 0, 0, 0), depth_shift=(0, y)))
        tops.append(v[np.argmax((colours[:, 2] > 60) & (colours[:, 0] < 60))])
    assert tops[1] - tops[0] > 1.5 * LOWER_DEPTH * 200 / tables().unit_px


def test_the_inner_side_of_the_lower_lip_hides_the_roots_of_the_lower_teeth() -> None:
    inner = replace(tables(), inner_lip=np.array([0, 250, 0], np.float32))
    v, colours = column(drawn(of=inner, opening=(-0.06, 0.12)), low=0.05, high=0.118)
    near, far = (colours[np.argmin(np.abs(v - at))] for at in (0.115, 0.075))
    assert near[1] > 85 > 30 > far[1]
    th = drawn(of=inner, opening=(-0.06, 0.12), tract=(0.5, 0.8, 0.9, 0, 1.0))
    assert column(th, low=0.05, high=0.115)[1][:, 1].max() < 60  # the tongue lies on it


# --- where nothing is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.0, -0.02])
def test_closed_and_pressed_lips_show_nothing(gap: float) -> None:
    assert (drawn(opening=(0.0, gap), chin_down=0.0) == SKIN).all()


def test_it_comes_in_gradually() -> None:
    amounts = [np.abs(drawn(opening=(0.0, gap)).astype(int) - SKIN).sum() for gap in (0.002, 0.006, 0.02, 0.06)]
    assert 0 < amounts[0] < amounts[1] < amounts[2] < amounts[3]
    assert amounts[0] < 0.03 * amounts[3]


@pytest.mark.parametrize("opening", [(0.0, 0.02), WIDE])
def test_no_pixel_outside_the_margin_of_the_opening_changes(opening: tuple[float, float]) -> None:
    picture = drawn(opening=opening)
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [lips(*opening).round().astype(np.int32)], 1)
    reach = 2 * round(0.035 * tables().unit_px) + 1
    near = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    changed = (picture != SKIN).any(-1)
    assert not changed[near == 0].any()
    assert changed[inside > 0].mean() > 0.95


def test_an_opening_that_is_not_on_the_photo_is_no_error() -> None:
    away = np.array([[1.0, 0, 5000], [0, 1.0, -5000]])
    assert (drawn(carry=away) == SKIN).all()


# --- what it looks like -----------------------------------------------------------------------------------


def test_teeth_are_bright_in_front_and_dark_at_the_side() -> None:
    picture = drawn()
    front, side = (
        picture[y - 3 : y + 4, x - 3 : x + 4, 0].mean()
        for x, y in (to_window(u, -0.025 if u < 0.1 else -0.035).round().astype(int) for u in (0.02, 0.16))
    )
    assert side < 0.75 * front


def test_the_same_is_drawn_twice_and_another_person_has_other_teeth() -> None:
    np.testing.assert_array_equal(drawn(), drawn())
    face = drawn_face(SPEC, (700, 840))
    somebody = replace(face, photo=np.ascontiguousarray(face.photo[..., ::-1]))
    found = face_tables(somebody, SPEC, moving=False).interior
    other = drawn(of=replace(tables(), upper=found.upper, lower=found.lower))
    changed = np.abs(other.astype(int) - drawn()).max(-1)
    assert (changed > 8).mean() > 0.002


def test_tables_are_only_read() -> None:
    before = tables().upper.copy(), tables().lower.copy()
    drawn(tract=(0.5, 1, 1, 1, 1))
    np.testing.assert_array_equal(tables().upper, before[0])
    np.testing.assert_array_equal(tables().lower, before[1])
