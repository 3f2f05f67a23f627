from __future__ import annotations

import numpy as np
import pytest
from landmark_films import FPS, landmark_film

from s2v.training.quality.face_gates import (
    frozen,
    longest_still_s,
    no_face,
    several_faces,
    small_face,
    too_short,
    turned_away,
)
from s2v.training.quality.findings import head_of
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds(
    min_clip_s=1.0, max_lost_share=0.2, min_eye_distance_px=30, max_turn_degrees=35, max_other_share=0.2, max_still_s=1
)


def test_a_clip_must_have_some_length() -> None:
    assert too_short(1.0, LIMITS) is None
    refusal = too_short(0.96, LIMITS)
    assert refusal is not None
    assert (refusal.gate, refusal.figure, refusal.threshold) == ("too-short", 0.96, 1.0)


def test_a_face_may_be_missing_in_some_frames() -> None:
    found = np.arange(10) >= 2
    assert no_face(found, LIMITS) is None
    refusal = no_face(np.arange(10) >= 3, LIMITS)
    assert refusal is not None
    assert refusal.reason == "no face in 3 of 10 frames"
    assert no_face(np.zeros(0, bool), LIMITS) is not None
    assert no_face(np.zeros(5, bool), Thresholds(max_lost_share=1.0)) is not None  # nothing is left to look at


def test_a_face_must_have_some_size() -> None:
    assert small_face(head_of(landmark_film(5, eye_distance_px=31)), LIMITS) is None
    refusal = small_face(head_of(landmark_film(5, eye_distance_px=29)), LIMITS)
    assert refusal is not None
    assert refusal.gate == "small-face"
    assert refusal.figure == pytest.approx(29, abs=0.5)


@pytest.mark.parametrize("turned", [{"yaw_degrees": 38.0}, {"yaw_degrees": -38.0}, {"pitch_degrees": 38.0}])
def test_a_head_must_look_at_the_camera(turned: dict[str, float]) -> None:
    refusal = turned_away(head_of(landmark_film(8, **turned)), LIMITS)  # type: ignore[arg-type]
    assert refusal is not None
    assert refusal.gate == "turned-away"
    assert refusal.figure == pytest.approx(38, abs=1)
    less = {name: value * 32 / 38 for name, value in turned.items()}
    assert turned_away(head_of(landmark_film(8, **less)), LIMITS) is None  # type: ignore[arg-type]


def test_a_head_may_turn_away_for_a_moment() -> None:
    away = np.concatenate([landmark_film(20), landmark_film(5, yaw_degrees=50)])
    assert turned_away(head_of(away), LIMITS) is None
    assert turned_away(head_of(np.concatenate([away, away[20:], away[20:]])), LIMITS) is not None


def test_a_second_face_must_be_much_smaller_or_seldom() -> None:
    assert several_faces(np.array([0.4, 0.45, 0.3]), LIMITS) is None  # somebody in the background
    assert several_faces(np.array([0.9, 0, 0, 0, 0, 0]), LIMITS) is None
    assert several_faces(np.zeros(0), LIMITS) is None
    refusal = several_faces(np.array([0.9, 0.8, 0, 0]), LIMITS)
    assert refusal is not None
    assert (refusal.figure, refusal.reason) == (0.5, "it shows several faces 50% of the time: cut it to one")


def test_a_picture_that_stands_still_is_found_also_when_it_was_encoded() -> None:
    film, times_s = landmark_film(75, noise=0.004), (np.arange(75) + 0.5) / FPS
    limits = Thresholds(max_still_s=1.0, still_units=0.0005)
    assert longest_still_s(film, times_s, 60, limits) == 0
    film[20:50] = film[20] + np.random.default_rng(1).normal(0, 0.005, (30, 478, 3))  # pixels
    still_s = longest_still_s(film, times_s, 60, limits)
    assert still_s == pytest.approx(29 / FPS)
    refusal = frozen(still_s, limits)
    assert refusal is not None
    assert refusal.reason == "its picture stands still for 1.2 s"
    assert frozen(0.9, limits) is None


def test_one_picture_shown_for_long_stands_still() -> None:
    times_s = (np.arange(50) + 0.5) / FPS
    times_s[10:40] = times_s[10]
    assert longest_still_s(landmark_film(50), times_s, 60, LIMITS) == pytest.approx(29 / FPS)
    assert longest_still_s(landmark_film(1), times_s[:1], 60, LIMITS) == 0
