from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP, canonical_face
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import LIPS
from s2v.training.evaluation.measures.motion_level import gap_weights, motion_lip_speed
from s2v.training.evaluation.measures.shapes import LipShapes, shape_figures, shapes_asked, shapes_seen

SPEC = LipSyncSpec()
N = 100


def mouth(opening: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Landmarks (n, 468, 3) of a mouth that opens and widens by so much over the canonical face."""
    face = np.repeat(canonical_face()[None], len(opening), axis=0)
    left, right = MOUTH_CORNERS
    face[:, left, 0] -= width / 2
    face[:, right, 0] += width / 2
    face[:, LOWER_INNER_LIP[5], 1] += opening / 2
    face[:, UPPER_INNER_LIP[5], 1] -= opening / 2
    return face


def wave(period: float, size: float) -> np.ndarray:
    return np.asarray(size * np.sin(2 * np.pi * np.arange(N) / period))


def test_opening_is_over_the_closed_lips_and_width_from_corner_to_corner() -> None:
    opening, width = np.abs(wave(10, 0.1)), wave(17, 0.04)
    shapes = shapes_seen(mouth(opening, width), canonical_face())
    np.testing.assert_allclose(shapes.opening, opening, atol=1e-12)
    np.testing.assert_allclose(np.diff(shapes.width), np.diff(width), atol=1e-12)
    assert np.median(shapes.width_off_median) == pytest.approx(0)
    assert shapes.lips.shape == (N, len(LIPS), 2)


def test_a_motion_is_the_mouth_that_it_asks_for() -> None:
    motion = np.random.default_rng(0).standard_normal((30, SPEC.n_motion)).astype(np.float32)
    shapes = shapes_asked(motion, SPEC)
    np.testing.assert_allclose(shapes.opening, motion @ gap_weights(SPEC), atol=1e-6)
    figures = shape_figures(shapes, shapes, np.ones(30, bool), SPEC.fps)
    assert figures["speed"] == pytest.approx(1)
    step = np.diff(shapes.lips, axis=0) * SPEC.fps
    assert np.sqrt((step**2).sum(-1).mean()) == pytest.approx(motion_lip_speed(motion, SPEC), rel=1e-5)


def test_half_the_width_at_the_same_times_correlates_and_falls_short() -> None:
    still, width = np.zeros(N), wave(17, 0.04)
    film = shapes_seen(mouth(still, width), canonical_face())
    ours = shapes_seen(mouth(still, width / 2), canonical_face())
    figures = shape_figures(ours, film, np.ones(N, bool), 25)
    assert figures["width"] == pytest.approx(1) and figures["width_spread"] == pytest.approx(0.5)
    assert figures["speed"] == pytest.approx(0.5)
    late = shapes_seen(mouth(still, np.roll(width, 3)), canonical_face())
    figures = shape_figures(late, film, np.ones(N, bool), 25)
    assert figures["width"] < 0.6 and figures["width_best"] > 0.99


def test_speed_and_closures_count_only_where_somebody_speaks() -> None:
    opening = np.abs(wave(20, 0.1))
    film = shapes_seen(mouth(opening, np.zeros(N)), canonical_face())
    spoken = np.arange(N) < 50
    frozen = np.where(spoken, opening, 0.1)
    ours = shapes_seen(mouth(frozen, np.zeros(N)), canonical_face())
    figures = shape_figures(ours, film, spoken, 25)
    assert figures["speed"] == pytest.approx(1)
    film_shut = shapes_seen(mouth(np.zeros(N), np.zeros(N)), canonical_face())
    assert shape_figures(ours, film_shut, ~spoken, 25)["closures"] == 0
    assert shape_figures(film_shut, film_shut, spoken, 25)["closures"] == 1


def test_a_film_that_does_not_move_gives_no_ratio() -> None:
    still = shapes_seen(mouth(np.zeros(N), np.zeros(N)), canonical_face())
    figures = shape_figures(still, still, np.ones(N, bool), 25)
    assert np.isnan(figures["width_spread"]) and np.isnan(figures["speed"])


def test_only_frames_that_both_have_are_compared() -> None:
    film = shapes_seen(mouth(np.zeros(N), wave(17, 0.04)), canonical_face())
    short = film.first(60)
    assert len(short) == 60 and isinstance(short, LipShapes)
    assert shape_figures(short, film, np.ones(N, bool), 25)["width"] == pytest.approx(1)
