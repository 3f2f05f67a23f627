from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.head.beyond import beyond, closed, continued

UNIT_PX = 100.0


def disc(middle: tuple[int, int], radius: int, size: tuple[int, int] = (300, 240)) -> np.ndarray:
    mask = np.zeros(size[::-1], np.uint8)
    cv2.circle(mask, middle, radius, 1, -1)
    return mask.astype(np.float32)


def test_a_box_grows_where_it_ends_with_the_photo_but_not_at_the_bottom() -> None:
    assert beyond((0, 0, 300, 240), (300, 240), 9) == (-9, -9, 309, 240)
    assert beyond((5, 3, 299, 240), (300, 240), 9) == (5, 3, 299, 240)
    assert beyond((0, 1, 8, 240), (300, 240), 999) == (-239, 1, 8, 240)


def test_beyond_the_border_a_picture_is_mirrored_about_its_outermost_pixels() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    wanted = cv2.copyMakeBorder(picture, 4, 0, 5, 5, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(continued(picture, (-5, -4, 35, 20)), wanted)
    np.testing.assert_array_equal(continued(picture, (3, 2, 20, 11)), picture[2:11, 3:20])


@pytest.mark.parametrize("side", ["top", "left", "right"])
def test_a_skull_that_a_border_cuts_near_its_top_closes_beyond_it(side: str) -> None:
    turns = {"top": 0, "left": 1, "right": -1}[side]
    whole = np.rot90(disc((150, 100), 103, (300, 300)), turns)  # three rows are cut off
    box = {"top": (0, -12, 300, 300), "left": (-12, 0, 300, 300), "right": (0, 0, 312, 300)}[side]
    found = np.rot90(closed(whole, whole, box, UNIT_PX), -turns)
    widths = (found[:12] > 0.5).sum(1)
    assert widths[:8].max() == 0  # nothing of it is seen so far above the border, where the mirrored one is 90 wide
    assert widths[-1] < (whole[0] > 0).sum() if side == "top" else widths[-1] < 60
    np.testing.assert_array_equal(closed(whole, whole, (0, 0, 300, 300), UNIT_PX), whole)


def test_hair_that_leaves_the_photo_straight_goes_on_straight() -> None:
    matte = np.zeros((240, 300), np.float32)
    matte[:, 80:220] = 1
    found = closed(matte, matte, (0, -15, 300, 240), UNIT_PX)
    np.testing.assert_array_equal(found[:15], np.repeat(matte[:1], 15, 0))


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hat_that_leaves_the_photo_above_a_shoulder_is_not_seen_twice(side: str) -> None:
    matte = np.maximum(disc((90, 100), 100), 0)
    matte[100:] = np.where(np.arange(300) < 190, 1, 0)  # from the widest place down the border is the person's
    box, turned = ((-20, 0, 300, 240), matte) if side == "left" else ((0, 0, 320, 240), matte[:, ::-1].copy())
    mirrored, found = (
        m if side == "left" else m[:, ::-1] for m in (continued(turned, box), closed(turned, turned, box, UNIT_PX))
    )
    cut = int(np.flatnonzero(matte[:, 0])[0])
    assert (mirrored[: cut - 4, :20] > 0.5).any()
    assert not (found[: cut - 4, :20] > 0.5).any()
    np.testing.assert_array_equal(found[150:, :20], 1)
    np.testing.assert_array_equal(found[:, 20:], matte)
