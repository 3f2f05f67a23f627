from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.edge import cut_out
from s2v.engine.face.photo import Image

UNIT_PX = 100.0
HAIR, WALL, NEW = (np.array(colour, np.float32) for colour in ((20, 40, 60), (90, 220, 120), (200, 60, 30)))


def frizzy() -> np.ndarray:
    """How much of each pixel a round head with fine hairs around covers, (240, 240)."""
    wide = np.zeros((960, 960), np.uint8)
    cv2.circle(wide, (480, 480), 280, 255, -1)
    for angle in np.radians(np.arange(0, 360, 7)):
        end = (int(480 + 296 * np.cos(angle)), int(480 + 296 * np.sin(angle)))
        cv2.line(wide, (480, 480), end, 255, 5)
    return np.asarray(cv2.resize(wide, (240, 240), interpolation=cv2.INTER_AREA), np.float32) / 255


def over(cover: np.ndarray, front: np.ndarray, behind: np.ndarray) -> np.ndarray:
    return np.asarray(behind + cover[..., None] * (front - behind))


def seen() -> tuple[Image, np.ndarray, np.ndarray]:
    """A photo, the true cover, and what the network would say: soft, without hairs."""
    cover = frizzy()
    blunt = cv2.circle(np.zeros((240, 240), np.float32), (120, 120), 70, 1.0, -1)
    return np.round(over(cover, HAIR, WALL)).astype(np.uint8), cover, cv2.GaussianBlur(blunt, (0, 0), 1.5)


def test_before_another_background_no_rim_of_the_old_one_is_left() -> None:
    photo, cover, soft = seen()
    head, found = cut_out(photo, soft, np.zeros_like(soft), UNIT_PX)
    truth, band = over(cover, HAIR, NEW), (cover > 0.02) & (cover < 0.98)
    off = np.abs(over(found, head.astype(np.float32), NEW) - truth)[band].mean()
    as_it_was = np.abs(over(soft, photo.astype(np.float32), NEW) - truth)[band].mean()
    assert off < 0.6 * as_it_was
    assert head[cover > 0.05][:, 1].max() < 120  # the wall has 220 of green, hair has 40


def test_single_hairs_are_told_by_their_colour() -> None:
    photo, cover, soft = seen()
    _, found = cut_out(photo, soft, np.zeros_like(soft), UNIT_PX)
    around = (np.hypot(*(np.mgrid[:240, :240] - 120)) > 71) & (cover > 0)
    assert np.corrcoef(found[around], cover[around])[0, 1] > 0.5


def test_the_inside_stays_as_it_is_and_the_outside_stays_out() -> None:
    photo, _, soft = seen()
    head, found = cut_out(photo, soft, np.zeros_like(soft), UNIT_PX)
    away_px = np.hypot(*(np.mgrid[:240, :240] - 120)) - 70
    np.testing.assert_array_equal(head[away_px < -12], photo[away_px < -12])
    assert (found[away_px < -12] == 1).all()
    assert found[away_px > 12].max() < 0.02


def test_where_both_sides_look_alike_the_persons_matte_stays() -> None:
    _, _, soft = seen()
    grey = np.full((240, 240, 3), 127, np.uint8)
    head, found = cut_out(grey, soft, np.zeros_like(soft), UNIT_PX)
    assert np.abs(found - soft).max() < 0.3
    assert np.abs(head.astype(int) - 127).max() <= 1


def test_a_strand_far_out_is_kept() -> None:
    photo, _, soft = seen()
    fine = np.zeros_like(soft)
    photo[118:121, 190:215] = HAIR
    fine[118:121, 190:215] = 1
    _, found = cut_out(photo, soft, fine, UNIT_PX)
    assert found[119, 195:210].min() > 0.8
    assert cut_out(photo, soft, np.zeros_like(soft), UNIT_PX)[1][119, 205] < 0.05


def test_a_cloud_of_which_the_network_is_unsure_is_left_out_where_colours_do_not_tell() -> None:
    _, _, soft = seen()
    cloud = cv2.circle(np.zeros((240, 240), np.float32), (120, 120), 100, 0.35, -1)
    unsure = np.maximum(soft, cv2.GaussianBlur(cloud, (0, 0), 4))
    _, found = cut_out(np.full((240, 240, 3), 127, np.uint8), unsure, np.zeros_like(soft), UNIT_PX)
    away_px = np.hypot(*(np.mgrid[:240, :240] - 120)) - 70
    assert found[away_px > 12].max() < 0.02
    assert (found[away_px < -12] == 1).all()


def test_specks_that_hang_on_nothing_are_left_out() -> None:
    photo, _, soft = seen()
    fine = np.zeros_like(soft)
    photo[118:122, 206:212] = HAIR  # 15 px beside the hairs
    fine[118:122, 206:212] = 1
    assert cut_out(photo, soft, fine, UNIT_PX)[1][:, 200:].max() < 0.05


def test_an_ear_ring_of_neither_sides_colour_is_kept_and_debris_is_not() -> None:
    photo, _, soft = seen()
    ring = cv2.circle(np.zeros((240, 240), np.float32), (215, 120), 6, 1.0, -1).astype(np.float32)
    photo = np.where(ring[..., None] > 0, np.uint8(240), photo).astype(np.uint8)
    _, found = cut_out(photo, soft, ring, UNIT_PX)
    assert found[118:123, 213:218].max() == 0  # hangs on nothing
    joined = cv2.line(ring, (185, 120), (215, 120), 1.0, 3).astype(np.float32)
    _, found = cut_out(np.where(joined[..., None] > 0, np.uint8(240), photo), soft, joined, UNIT_PX)
    assert found[118:123, 213:218].min() > 0.6
