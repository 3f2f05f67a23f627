from __future__ import annotations

import numpy as np
import pytest
from films import moved

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from s2v.media.dub.placement import DepthMap, FaceModel, to_film, to_reference
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")


def test_a_photo_that_is_moved_is_found_where_it_went(closed_face: EnrolledFace) -> None:
    model = FaceModel(closed_face, SPEC)
    _, way = moved(closed_face.photo, 7.0, 0.8, (12.0, -5.0))
    there = closed_face.landmarks[:, :2] @ way[:, :2].T + way[:, 2]
    held, coefficients, _ = model.fit(there)
    np.testing.assert_allclose(held, model.held[:, :2] @ way[:, :2].T + way[:, 2], atol=0.05)
    np.testing.assert_allclose(coefficients, 0, atol=0.02)
    assert model.placement(held).scale == pytest.approx(0.8, rel=0.002)


def test_a_head_that_turns_carries_its_nearer_points_further(closed_face: EnrolledFace) -> None:
    model = FaceModel(closed_face, SPEC)
    yaw = np.radians(12.0)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0]])
    held, coefficients, _ = model.fit(model.mesh @ turn.T)
    np.testing.assert_allclose(held, model.held @ turn.T, atol=0.1)
    assert np.abs(coefficients).max() < 0.05


def test_an_open_mouth_is_told_from_a_head_that_moves(closed_face: EnrolledFace) -> None:
    model = FaceModel(closed_face, SPEC)
    motion = np.zeros(SPEC.n_motion)
    motion[:2] = 2.5, -1.0
    mesh = model.mesh + np.tensordot(motion, model.moves, 1)
    assert mesh[LOWER_INNER_LIP[5], 1] - mesh[UPPER_INNER_LIP[5], 1] > 8
    held, coefficients, _ = model.fit(mesh[:, :2] + [3.0, 4.0])
    np.testing.assert_allclose(held, model.held[:, :2] + [3.0, 4.0], atol=0.2)
    np.testing.assert_allclose(coefficients[:2], motion[:2], atol=0.15)


def test_the_way_to_the_film_and_back_is_none(closed_face: EnrolledFace) -> None:
    model = FaceModel(closed_face, SPEC)
    depth = DepthMap(model.mesh, closed_face.photo.shape[1::-1])
    yaw = np.radians(15.0)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0.05, 1, 0.1]])
    placement = model.placement(model.held @ turn.T + [4.0, 9.0])
    low, high = model.mesh[[*OUTER_LIPS], :2].min(0) - 20, model.mesh[[*OUTER_LIPS], :2].max(0) + 20
    places = np.stack(np.meshgrid(np.linspace(low[0], high[0], 9), np.linspace(low[1], high[1], 9)), -1)
    there = to_film(placement, depth, places.astype(np.float32))
    back = to_reference(placement, depth, there)
    assert np.abs(back - places).max() < 0.5
    assert np.median(np.abs(back - places)) < 0.02


def test_depth_is_that_of_the_face(closed_face: EnrolledFace) -> None:
    model = FaceModel(closed_face, SPEC)
    depth = DepthMap(model.mesh, closed_face.photo.shape[1::-1])
    tip, temple = model.mesh[1], model.mesh[127]
    at = depth.at(np.stack([tip[:2], temple[:2]])[None].astype(np.float32))[0]
    assert at[1] - at[0] > 0.6 * (temple[2] - tip[2]) > 0
