from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2v.engine.face.geometry import N_MESH, canonical_face
from s2v.engine.face.motion_basis import MotionBasis, symmetric
from s2v.engine.face.rest_pose import rest_displacement
from s2v.errors import DataError
from s2v.training.extract.face_cuts import cut_to_faces
from s2v.training.extract.feature_file import save_features
from s2v.training.prepare.fit_basis import LOWER_FACE_Y, learn_basis, save_basis

SHIPPED = MotionBasis.load("grid-s1")


def invented_talker(features: Path, weights: np.ndarray, moves: np.ndarray, clip: str) -> None:
    """Feature file of somebody whose face is the canonical one and moves as told, on a picture of nothing."""
    shut = canonical_face() + rest_displacement(canonical_face())
    mesh = 100 * (shut + np.tensordot(weights, moves, 1)) + [150, 110, 0]
    landmarks = np.concatenate([mesh, mesh[:, :10]], axis=1).astype(np.float32)
    frames = [np.zeros((300, 300, 3), np.uint8)] * len(weights)
    save_features(
        features / f"some_one/{clip}.npz", cut_to_faces(frames, landmarks), landmarks, np.ones(16, np.int16), "some"
    )


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """Features of a talker with two ways to move, opening (strong) and widening (weak); the ways; how strong."""
    features = tmp_path_factory.mktemp("invented")
    rng = np.random.default_rng(3)
    moves = SHIPPED.displacement(np.arange(N_MESH))[:2]
    spoken = np.stack([np.abs(rng.normal(0, 1.5, 120)), rng.normal(0, 0.7, 120)], 1)
    spoken[::6] = 0  # pauses
    for number, part in enumerate(np.split(spoken, 2)):
        invented_talker(features, part, moves, f"clip{number}")
    return features, moves, spoken.std(0)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_ways_to_move_that_were_put_in_come_out(invented: tuple[Path, np.ndarray, np.ndarray]) -> None:
    features, moves, strength = invented
    basis = learn_basis(features, ["some_one"], "some-one", n_components=2)
    assert basis.name == "some-one"
    for component, move, deviation in zip(basis.components, moves[:, basis.points], strength, strict=True):
        assert cosine(component, move) > 0.99  # the sign too
        assert np.linalg.norm(component) == pytest.approx(deviation * np.linalg.norm(move), rel=0.1)


def test_a_basis_is_orthogonal_symmetric_and_of_the_lower_face(features: Path) -> None:
    basis = learn_basis(features, ["s1"], "s1")
    np.testing.assert_array_equal(basis.points, SHIPPED.points)
    assert (canonical_face()[basis.points, 1] > LOWER_FACE_Y).all()
    flat = basis.components.reshape(10, -1)
    lengths = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(flat @ flat.T / np.outer(lengths, lengths), np.eye(10), atol=1e-8)
    whole = basis.displacement(np.arange(N_MESH))
    np.testing.assert_allclose(symmetric(whole), whole, atol=1e-9)


def test_one_real_clip_already_opens_the_mouth_as_the_shipped_basis_does(features: Path) -> None:
    assert cosine(learn_basis(features, ["s1"], "s1").components[0], SHIPPED.components[0]) > 0.95


def test_components_open_or_widen_the_mouth(features: Path) -> None:
    for basis in (SHIPPED, learn_basis(features, ["other"], "other")):
        upper, lower, left, right = basis.displacement(np.array([13, 14, 61, 291])).transpose(1, 0, 2)
        assert lower[0, 1] > upper[0, 1]
        assert (right[1:, 0] > left[1:, 0]).all()


def test_a_saved_basis_is_read_back_as_it_was(features: Path, tmp_path: Path) -> None:
    basis = learn_basis(features, ["s1"], "s1", n_components=4)
    save_basis(basis, tmp_path / "motion_s1.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["motion_s1.npz"]
    with np.load(tmp_path / "motion_s1.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["points"], basis.points)
        np.testing.assert_allclose(stored["components"], basis.components, atol=1e-7)


def test_who_never_spoke_has_no_basis(features: Path) -> None:
    for speaker in ("people", "nobody"):
        with pytest.raises(DataError, match=f"no talking clips in .*{speaker}"):
            learn_basis(features, [speaker], speaker)


def test_a_few_frames_are_not_enough(tmp_path: Path) -> None:
    invented_talker(tmp_path, np.linspace(0, 0.1, 5)[:, None], np.ones((1, N_MESH, 3)), "short")
    with pytest.raises(DataError, match="5 frames of some_one; 10 components need more"):
        learn_basis(tmp_path, ["some_one"], "some_one")
