from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.head.strands import strands
from s2v.engine.face.photo import Image

UNIT_PX = 100.0
MIDDLE, RADIUS = 150, 60


@pytest.fixture
def plain() -> Image:
    """A wall, a little uneven, and a dark disc before it."""
    rng = np.random.default_rng(0)
    wall = np.clip(120 + rng.normal(0, 2, (300, 300, 3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.circle(wall, (MIDDLE, MIDDLE), RADIUS, (30, 30, 60), -1), np.uint8)


def disc() -> np.ndarray:
    return cv2.circle(np.zeros((300, 300), np.float32), (MIDDLE, MIDDLE), RADIUS, 1.0, -1)


def test_a_hoop_that_hangs_on_is_found_and_nothing_else(plain: Image) -> None:
    hoop = (MIDDLE + RADIUS + 12, MIDDLE)
    drawn = cv2.circle(plain.copy(), hoop, 12, (90, 190, 220), 2)
    found = strands(np.asarray(drawn, np.uint8), disc(), UNIT_PX) > 0.5
    ring = cv2.circle(np.zeros((300, 300), np.uint8), hoop, 12, 1, 2) > 0
    outside = disc() == 0
    assert found[ring & outside].mean() > 0.8
    assert not found[~cv2.dilate(ring.astype(np.uint8), np.ones((5, 5))).astype(bool)].any()
    assert not strands(plain, disc(), UNIT_PX).any()


def test_what_does_not_touch_the_person_or_goes_on_is_background(plain: Image) -> None:
    apart = cv2.circle(plain.copy(), (MIDDLE + RADIUS + 28, MIDDLE), 5, (240, 240, 240), -1)
    assert not strands(np.asarray(apart, np.uint8), disc(), UNIT_PX).any()
    pole = cv2.line(plain.copy(), (MIDDLE + RADIUS - 2, MIDDLE), (299, MIDDLE), (240, 240, 240), 3)
    assert not strands(np.asarray(pole, np.uint8), disc(), UNIT_PX).any()


def test_a_busy_background_hangs_on_nobody() -> None:
    rng = np.random.default_rng(1)
    leaves = cv2.resize(rng.integers(0, 255, (60, 60, 3), np.uint8), (300, 300), interpolation=cv2.INTER_NEAREST)
    picture = cv2.circle(leaves, (MIDDLE, MIDDLE), RADIUS, (30, 30, 60), -1)
    assert strands(np.asarray(picture, np.uint8), disc(), UNIT_PX).mean() < 0.002
