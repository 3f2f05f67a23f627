from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from films import moved

from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.photo import Image
from s2v.media.dub.shot_painter import MouthState, ShotPainter
from s2v.spec import TRACT_AT_REST, LipSyncSpec

SPEC = LipSyncSpec.of("s2v")


@pytest.fixture(scope="module")
def painter(closed_face: EnrolledFace) -> ShotPainter:
    return ShotPainter(face_from_landmarks(closed_face.photo, closed_face.landmarks, SPEC), SPEC)


@cache
def _outputs(opening: float) -> dict[str, np.ndarray]:
    motion = np.zeros((1, SPEC.n_motion), np.float32)
    motion[0, 0] = opening
    return {"motion": motion, "tract": np.array([TRACT_AT_REST], np.float32)}


def _state(painter: ShotPainter, way: np.ndarray, opening: float = 0.0) -> MouthState:
    held = painter.model.held[:, :2] @ way[:, :2].T + way[:, 2]
    coefficients = np.zeros(SPEC.n_motion)
    coefficients[0] = opening
    return MouthState(held, coefficients, coefficients @ painter.chin_moves)


def test_a_mouth_that_does_what_it_did_is_the_film_s(painter: ShotPainter) -> None:
    picture, way = moved(painter.face.photo, 5.0, 0.7, (10.0, 6.0))
    drawn = painter.draw(picture, _state(painter, way), _outputs(0.0), 1.0)
    off = np.abs(drawn.astype(int) - picture)
    assert off.mean() < 0.4
    assert np.percentile(off, 99.5) <= 8  # the line of the lips is softer by one more look-up


def test_nothing_but_the_lower_face_changes(painter: ShotPainter) -> None:
    picture, way = moved(painter.face.photo, 0.0, 0.8, (0.0, 0.0))
    drawn = painter.draw(picture, _state(painter, way), _outputs(3.0), 1.0)
    changed = np.flatnonzero((drawn != picture).any((1, 2)))
    nose = (painter.model.mesh[6, :2] @ way[:, :2].T + way[:, 2])[1]
    assert changed.min() > nose
    assert not np.shares_memory(drawn, picture)


def test_an_open_mouth_on_the_film_closes(painter: ShotPainter, closed_face: EnrolledFace) -> None:
    """The film shows the reference opened by the engine; a closed mouth on it must be the reference again."""
    opened = MotionCompositor(painter.face, SPEC).draw(_outputs(3.0))
    drawn = painter.draw(opened, _state(painter, np.eye(2, 3), opening=3.0), _outputs(0.0), 1.0)
    mouth = closed_face.landmarks[[0, 17, 61, 291], :2]
    (left, top), (right, bottom) = mouth.min(0).astype(int) - 12, mouth.max(0).astype(int) + 12
    before = np.abs(opened.astype(int) - closed_face.photo)[top:bottom, left:right].mean()
    after = np.abs(drawn.astype(int) - closed_face.photo)[top:bottom, left:right].mean()
    assert after < 0.25 * before
    chin = np.s_[int(closed_face.landmarks[152, 1]) - 12 : int(closed_face.landmarks[152, 1]) + 12, 200:312]
    chin_before = np.abs(opened.astype(int) - closed_face.photo)[chin].mean()
    assert np.abs(drawn.astype(int) - closed_face.photo)[chin].mean() < 0.5 * chin_before


def test_lips_are_where_the_head_is(painter: ShotPainter) -> None:
    _, way = moved(painter.face.photo, -6.0, 0.6, (-20.0, 11.0))
    here = painter.outline(_state(painter, np.eye(2, 3)), _outputs(1.5), 1.0)
    there = painter.outline(_state(painter, way), _outputs(1.5), 1.0)
    np.testing.assert_allclose(there, here @ way[:, :2].T + way[:, 2], atol=0.3)


def test_a_share_of_none_is_the_film_and_half_is_between(painter: ShotPainter) -> None:
    picture: Image = painter.face.photo
    state = _state(painter, np.eye(2, 3))
    none, half, whole = (painter.draw(picture, state, _outputs(3.0), 1.0, share) for share in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(none, picture)
    between = (picture.astype(int) + whole) / 2
    assert np.abs(half - between).max() <= 1


def test_a_face_at_the_edge_of_the_film_is_drawn_as_far_as_it_is_there(painter: ShotPainter) -> None:
    picture, way = moved(painter.face.photo, 0.0, 0.8, (0.0, 150.0))
    drawn = painter.draw(picture, _state(painter, way), _outputs(3.0), 1.0)
    assert drawn.shape == picture.shape
    away = _state(painter, np.array([[1.0, 0, 5000], [0, 1, 0]]))
    np.testing.assert_array_equal(painter.draw(picture, away, _outputs(3.0), 1.0), picture)
