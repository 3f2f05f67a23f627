from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.background import carried_on, filled_background
from s2v.engine.face.photo import Image

UNIT_PX = 80.0
MIDDLE, RADIUS = (160, 150), 70


def wall() -> Image:
    """Light on the left, dark on the right, with a darker floor."""
    shade = np.tile(np.linspace(200, 80, 320), (300, 1))
    shade[200:] -= 50
    return np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)


def someone(photo: Image, colour: tuple[int, int, int]) -> tuple[Image, np.ndarray]:
    picture = np.asarray(cv2.circle(photo.copy(), MIDDLE, RADIUS, colour, -1, cv2.LINE_AA), np.uint8)
    matte = cv2.circle(np.zeros(photo.shape[:2], np.float32), MIDDLE, RADIUS, 1.0, -1)
    return picture, cv2.GaussianBlur(matte, (0, 0), 1.0)


def away_units() -> np.ndarray:
    y, x = np.mgrid[:300, :320]
    return np.asarray((np.hypot(x - MIDDLE[0], y - MIDDLE[1]) - RADIUS) / UNIT_PX)


def test_around_the_person_the_photo_stays_as_it_is() -> None:
    photo, matte = someone(wall(), (255, 255, 255))
    filled = filled_background(photo, matte, UNIT_PX)
    assert filled.dtype == np.uint8
    outside = away_units() > 0.1
    np.testing.assert_array_equal(filled[outside], photo[outside])
    assert np.abs(filled[away_units() < 0].astype(int) - 255).min() > 20  # and the person does not


def test_behind_the_person_the_background_goes_on_without_a_ghost() -> None:
    photo, matte = someone(wall(), (255, 255, 255))
    off = np.abs(filled_background(photo, matte, UNIT_PX).astype(int) - wall()).max(-1)
    shallow = (away_units() < 0) & (away_units() > -0.15) & (np.abs(np.arange(300) - 200) > 20)[:, None]
    assert off[shallow].mean() < 6
    assert off[shallow].max() < 30
    deep = away_units() < -0.15
    assert off[deep].mean() < 30


def test_no_seam_shows_where_what_is_made_up_begins() -> None:
    photo, matte = someone(wall(), (20, 20, 240))
    filled = filled_background(photo, matte, UNIT_PX).astype(int)
    steps = np.abs(np.diff(filled[:170], axis=1)).max(-1)  # above the floor's edge
    assert steps.max() <= 4  # the wall itself falls by 0.4 a pixel


def test_a_bright_spot_beside_the_person_leaves_no_second_one_behind() -> None:
    photo = wall()
    spot = (MIDDLE[0] + RADIUS + 14, MIDDLE[1])
    cv2.circle(photo, spot, 6, (255, 255, 255), -1)
    photo, matte = someone(photo, (30, 30, 30))
    filled = filled_background(photo, matte, UNIT_PX)
    assert filled[MIDDLE[1], spot[0]].min() == 255
    behind = filled[away_units() < 0].astype(int)
    assert (behind - wall()[away_units() < 0]).max() < 35  # the spot has 130 more than the wall


def test_nothing_is_made_up_of_what_is_not_known() -> None:
    photo = np.zeros((100, 120, 3), np.uint8)
    photo[:, :60] = 200
    known = np.zeros((100, 120), bool)
    known[:, :60] = True
    np.testing.assert_allclose(carried_on(photo, known), 200, atol=1.5)


def test_a_person_who_fills_the_photo_hides_it_all() -> None:
    filled = filled_background(wall(), np.ones((300, 320), np.float32), UNIT_PX)
    assert filled.shape == wall().shape
    assert np.abs(filled.astype(int) - wall().mean()).max() < 100


def test_leaves_go_on_behind_the_person() -> None:
    rng = np.random.default_rng(3)
    leaves = cv2.resize(rng.integers(20, 235, (50, 54), np.uint8), (320, 300), interpolation=cv2.INTER_NEAREST)
    photo, matte = someone(np.repeat(leaves[..., None], 3, axis=2), (30, 30, 30))
    filled = filled_background(photo, matte, UNIT_PX).astype(float)
    away = away_units()
    behind, beside = (filled[(away > low) & (away < low + 0.1)].std() for low in (-0.1, 0.1))
    assert behind > 0.5 * beside


def test_an_edge_beside_the_person_gets_no_teeth_where_it_is_mirrored() -> None:
    halo = np.where((away_units() < 0.2)[..., None], np.uint8(210), np.full((300, 320, 3), 60, np.uint8))
    photo, matte = someone(halo, (255, 255, 255))
    filled = filled_background(photo, matte, UNIT_PX)[..., 1]
    angle = np.radians(np.arange(0, 360, 0.5, dtype=np.float32))[None]
    radius = np.arange(RADIUS - 20, RADIUS, dtype=np.float32)[:, None]
    x, y = MIDDLE[0] + radius * np.cos(angle), MIDDLE[1] + radius * np.sin(angle)
    around = cv2.remap(filled, x, y, cv2.INTER_LINEAR).astype(np.float32)
    scatter_px = (around - cv2.blur(around, (61, 1))).std(1).max() / np.abs(np.gradient(around.mean(1))).max()
    assert scatter_px < 0.125  # along the edge; 0.2 from pixel to pixel


def test_grain_right_behind_the_edge_is_as_coarse_as_beside_it() -> None:
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(120, 60, (300, 320)).astype(np.float32), (0, 0), 1.0)
    photo, matte = someone(np.repeat(grain.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), (30, 30, 30))
    filled = filled_background(photo, matte, UNIT_PX)[..., 1].astype(float)
    away, slope = away_units(), np.abs(np.diff(filled, axis=1, append=filled[:, -1:]))
    behind, beside = (slope[(away > low) & (away < low + 0.04)].mean() for low in (-0.05, 0.1))
    assert behind > 0.7 * beside  # 0.55 if the blur grows evenly from the edge on
