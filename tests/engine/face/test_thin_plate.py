from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.face.geometry import Points
from s2v.engine.face.thin_plate import bent_plate, smoothing_plate


@pytest.fixture
def points() -> Points:
    return np.random.default_rng(0).uniform(-1, 1, (30, 2))


def plate(points: Points, values: Points, stiffness: float, places: Points) -> Points:
    found: Points = bent_plate(places, points) @ (smoothing_plate(points, stiffness) @ values)
    return found


@pytest.mark.parametrize("stiffness", [1e-3, 0.1, 10.0])
def test_a_tilted_plane_stays_one_however_stiff_the_plate_and_beyond_its_points(
    points: Points, stiffness: float
) -> None:
    places = np.array([[0.3, -0.2], [0.0, 0.0], [5.0, -4.0]])
    found = plate(points, 2 + points @ [0.5, -3.0], stiffness, places)
    np.testing.assert_allclose(found, 2 + places @ [0.5, -3.0], atol=1e-8)


def test_a_soft_plate_goes_through_its_points_and_a_stiff_one_evens_them_out(points: Points) -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    off = [np.abs(plate(points, values, stiffness, points) - values).max() for stiffness in (1e-9, 0.1, 1e6)]
    assert off[0] < 1e-6 < 0.1 < off[1] < off[2]
    flat = np.c_[np.ones(30), points]
    level = flat @ np.linalg.lstsq(flat, values, rcond=None)[0]
    np.testing.assert_allclose(plate(points, values, 1e6, points), level, atol=1e-3)


def test_between_its_points_a_plate_is_smooth() -> None:
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2), -1).reshape(-1, 2)
    along = np.stack([np.linspace(-0.8, 0.8, 401), np.full(401, 0.1)], -1)
    found = plate(points, np.sin(3 * points[:, 0]), 1e-3, along)
    np.testing.assert_allclose(found, np.sin(3 * along[:, 0]), atol=0.02)
    assert np.abs(np.diff(found, 2)).max() < 5e-4
