from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.face.photo import Image
from s2v.media.dub.light import Light

UNIT_PX = 100.0
SIZE = (120, 100)


def _lips() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.stack([60 + 22 * np.cos(angle), 50 + 8 * np.sin(angle)], 1)


def _skin(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(0, 30, (*SIZE[::-1], 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 4 + [110, 130, 170], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("factor", [(1.2, 1.2, 1.2), (0.7, 0.8, 0.9)])
def test_lips_are_lit_as_the_skin_around_them(factor: tuple[float, float, float]) -> None:
    there = _skin()
    here = np.clip(there * np.array(factor), 0, 255).astype(np.uint8)
    mouth = there.copy()
    cv2.fillPoly(mouth, [_lips().astype(np.int32)], (90, 80, 190))
    laid = Light(_lips(), SIZE, UNIT_PX).lay_over(here, mouth)
    np.testing.assert_allclose(laid[50, 60], np.array([90, 80, 190]) * factor, atol=6)
    assert np.abs(laid.astype(int) - here)[:20].max() == 0  # far from the mouth the picture is as it was


def test_light_from_one_side_stays_on_that_side() -> None:
    there = np.full((*SIZE[::-1], 3), 120, np.uint8)
    side = np.linspace(0.8, 1.2, SIZE[0])[None, :, None]
    here = (there * side).astype(np.uint8)
    laid = Light(_lips(), SIZE, UNIT_PX).lay_over(here, there).astype(int)
    assert np.abs(laid - here).max() <= 6


def test_no_edge_shows_where_one_picture_ends() -> None:
    there = np.full((*SIZE[::-1], 3), 100, np.uint8)
    here = np.full((*SIZE[::-1], 3), 140, np.uint8)
    laid = Light(_lips(), SIZE, UNIT_PX).lay_over(here, there).astype(int)
    assert np.abs(np.diff(laid, axis=0)).max() <= 2
    assert np.abs(np.diff(laid, axis=1)).max() <= 2
