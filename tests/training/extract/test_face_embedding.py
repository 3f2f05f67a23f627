"""The shape of a face as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2v.engine.face.geometry import canonical_face
from s2v.training.extract.face_embedding import SAME_TALKER, FaceEmbedding, fit_embedding
from s2v.training.extract.feature_file import face_of, load_features


def test_a_talker_is_near_to_himself_and_far_from_another(features: Path) -> None:
    clips = [load_features(features / name, features).landmarks for name in ("s1/pgid5s.npz", "other/sbwe5n.npz")]
    embedding = FaceEmbedding.load()
    first, second, other = (embedding.of(points) for points in (clips[0][:30], clips[0][30:], clips[1]))
    assert np.linalg.norm(first - second) < SAME_TALKER
    assert np.linalg.norm(first - other) > 1.2 * SAME_TALKER


def test_size_place_and_turn_of_the_head_do_not_count(features: Path) -> None:
    points = load_features(features / "s1/pgid5s.npz", features).landmarks[:5]
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    embedding = FaceEmbedding.load()
    moved = (points @ turn.T * np.float32(2.5) + np.float32(40)).astype(np.float32)
    np.testing.assert_allclose(embedding.of(moved), embedding.of(points), atol=0.02)


def test_the_file_of_a_clip_keeps_it_and_that_of_a_photo_too(features: Path) -> None:
    for name in ("s1/pgid5s.npz", "people/02_neutral.npz"):
        face = face_of(features / name)
        assert face is not None
        again = FaceEmbedding.load().of(load_features(features / name, features).landmarks)
        np.testing.assert_allclose(face, again, atol=0.1)


def test_a_fit_tells_apart_what_differs_between_people_and_not_within(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    mesh = np.vstack([canonical_face(), np.zeros((10, 3))])
    own, mood = dice.normal(0, 0.01, (12, 478, 3)), dice.normal(0, 0.03, (478, 3))
    taken = [(person, level) for person in range(12) for level in (-1.0, 1.0)]
    landmarks = [
        (100 * (mesh + own[person] + level * mood + dice.normal(0, 0.001, (478, 3))))[None].astype(np.float32)
        for person, level in taken
    ]
    fit_embedding(landmarks, [str(person) for person, _ in taken]).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as stored:
        embedding = FaceEmbedding(stored["mean"].astype(float), stored["directions"].astype(float))
    points = np.stack([embedding.of(one) for one in landmarks])
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    same = np.array([[a == b for b, _ in taken] for a, _ in taken])
    assert 3 * apart[same].max() < apart[~same].min()
    # Two standard deviations of the mood, one direction of 24, and somewhat more for what is noise in the others.
    assert np.median(apart[same & ~np.eye(len(same), dtype=bool)]) == pytest.approx(1.15 * np.sqrt(2 / 24), rel=0.05)
