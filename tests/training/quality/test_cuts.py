from __future__ import annotations

import numpy as np
from landmark_films import landmark_film, looks_of

from s2v.training.quality.cuts import LOOK_PX, face_look, longest_of_one_person, shots
from s2v.training.quality.findings import head_of
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()


def found(landmarks: np.ndarray, looks: np.ndarray) -> list[tuple[int, int]]:
    cut = shots(landmarks, head_of(landmarks).eye_distances_px, looks, LIMITS)
    return [(shot.start, shot.stop) for shot in cut]


def test_a_head_that_moves_is_no_cut() -> None:
    walk = landmark_film(50) + np.arange(50)[:, None, None] * np.array([6.0, 0, 0], np.float32)  # 2.5 units a second
    assert found(walk, looks_of(50)) == [(0, 50)]
    assert found(walk[:1], looks_of(1)) == [(0, 1)]


def test_a_face_that_is_elsewhere_at_once_is_a_cut() -> None:
    film = np.concatenate([landmark_film(30), landmark_film(20, centre_px=(230, 144))])
    assert found(film, looks_of(50)) == [(0, 30), (30, 50)]


def test_a_face_that_looks_otherwise_at_once_is_a_cut() -> None:
    looks = np.concatenate([looks_of(30), looks_of(20, level=160)])
    assert found(landmark_film(50), looks) == [(0, 30), (30, 50)]


def test_light_that_flickers_all_the_time_is_no_cut() -> None:
    looks = looks_of(50)
    looks[::2] += 30
    assert found(landmark_film(50), looks) == [(0, 50)]


def test_after_a_cut_within_one_person_all_is_kept() -> None:
    film = np.concatenate([landmark_film(30), landmark_film(20, centre_px=(230, 144))])
    parts = [slice(0, 30), slice(30, 50)]
    assert longest_of_one_person(parts, head_of(film).canonical, looks_of(50), LIMITS) == (slice(0, 50), 1)


def test_of_two_people_the_longest_stretch_of_one_is_kept() -> None:
    one, other = landmark_film(20), landmark_film(15, width=1.15)
    film = np.concatenate([one, other, one, one])
    parts = [slice(0, 20), slice(20, 35), slice(35, 55), slice(55, 75)]
    kept = longest_of_one_person(parts, head_of(film).canonical, looks_of(75), LIMITS)
    assert kept == (slice(35, 75), 2)


def test_people_are_told_apart_by_their_colours_too() -> None:
    looks = np.concatenate([looks_of(30, level=70), looks_of(20, level=150)])
    parts = [slice(0, 30), slice(30, 50)]
    kept, n_people = longest_of_one_person(parts, head_of(landmark_film(50)).canonical, looks, LIMITS)
    assert (kept, n_people) == (slice(0, 30), 2)


def test_a_look_is_the_face_made_small() -> None:
    frame = np.full((288, 360, 3), 10, np.uint8)
    landmarks = landmark_film(1)[0]
    low, high = landmarks[:468, :2].min(0).astype(int), landmarks[:468, :2].max(0).astype(int)
    frame[low[1] - 1 : high[1] + 2, low[0] - 1 : high[0] + 2] = (50, 100, 150)
    assert (face_look(frame, landmarks) == (50, 100, 150)).all()
    outside = face_look(frame, landmarks + np.array([1000, 0, 0]))
    assert outside.shape == (LOOK_PX, LOOK_PX, 3)
    assert not outside.any()
