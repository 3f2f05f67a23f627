from __future__ import annotations

import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.compositor.head.depth import CENTRE, depth_at, hidden_vertices
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import N_MESH, Points, canonical_face
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
NOSE_TIP, CHIN, FOREHEAD = 4, 152, 10


def turned(face: EnrolledFace, degrees: float) -> EnrolledFace:
    """The same landmarks, turned about the upright axis as the camera sees them."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    middle = face.landmarks.mean(0)
    return face_from_landmarks(face.photo, (face.landmarks - middle) @ turn.T + middle, SPEC)


def of_face(face: EnrolledFace, places: Points) -> Points:
    return depth_at(face.landmarks, face.pose, face.plane, places)


@pytest.fixture(scope="module")
def frontal() -> EnrolledFace:
    return drawn_face(SPEC, (800, 960))


def test_on_the_face_the_depth_is_the_meshs_but_for_its_ripples(frontal: EnrolledFace) -> None:
    found = of_face(frontal, frontal.landmarks[:N_MESH, :2])
    wanted = canonical_face()[:, 2] - CENTRE[2]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.04
    assert found[NOSE_TIP] == pytest.approx(wanted[NOSE_TIP], abs=0.08)
    assert found[NOSE_TIP] < found[50] < found[234] < 0.05  # nose, cheek, the edge by the ear


def test_around_the_face_it_goes_to_that_of_the_heads_centre_slowest_above_the_forehead(frontal: EnrolledFace) -> None:
    at, unit_px = frontal.landmarks[:, :2], frontal.pose.unit_px
    beyond = np.array([0.25, 0.5, 1.2])[:, None] * unit_px
    above = of_face(frontal, at[FOREHEAD] - beyond * [0, 1])
    below = of_face(frontal, at[CHIN] + beyond * [0, 1])
    assert (np.diff(above) > 0).all() and (np.diff(below) > -0.02).all()
    assert above[0] < below[0] - 0.2  # hair over the forehead is further in front than the throat under the chin
    assert np.abs([above[-1], below[-1]]).max() < 0.12
    assert of_face(frontal, at[CHIN] + np.array([[0, 4 * unit_px]])) == 0


def test_it_has_no_cliffs(frontal: EnrolledFace) -> None:
    """A degree of turning shifts neighbours by 0.02 of how much deeper one lies: steeper than three would fold soon."""
    for face in (frontal, turned(frontal, 22)):
        step = face.pose.unit_px / 12
        places = np.stack(np.meshgrid(np.arange(-100, 900, step), np.arange(-100, 1060, step)), -1)
        depth = of_face(face, places)
        assert max(np.abs(np.diff(depth, axis=axis)).max() for axis in (0, 1)) * 12 < 3.2


def test_vertices_behind_nearer_ones_are_dropped(frontal: EnrolledFace) -> None:
    unit_px = frontal.pose.unit_px
    assert hidden_vertices(frontal.landmarks[:N_MESH] / unit_px).sum() <= 4  # by the ears, where cheeks are steep
    for degrees, far, near in ((40.0, 454, 234), (-40.0, 234, 454)):  # the edges of the face by the ears
        hidden = hidden_vertices(turned(frontal, degrees).landmarks[:N_MESH] / unit_px)
        assert hidden[far] and not hidden[near]
        assert hidden.sum() < 0.3 * N_MESH
    plate, behind = np.array([[0.0, 0, 0], [0.5, 0, 0]]), np.array([[0.01, 0.0, 0.3], [0.5, 0.3, 0.3]])
    assert hidden_vertices(np.concatenate([plate, behind])).tolist() == [False, False, True, False]


def test_where_glasses_are_worn_lenses_lie_flat_and_the_rest_of_the_face_as_it_did(closed_face: EnrolledFace) -> None:
    face = closed_face
    across = np.linspace(0.22, 0.68, 12)
    lenses = face.plane.to_photo(np.stack([across, np.zeros(12)], -1))
    bare, worn = (depth_at(face.landmarks, face.pose, face.plane, lenses, glasses) for glasses in (0.0, 1.0))
    assert np.abs(np.diff(worn, 2)).max() < 0.3 * np.abs(np.diff(bare, 2)).max()
    mouth = face.landmarks[[61, 291, 17, 152, 4], :2]
    same = [depth_at(face.landmarks, face.pose, face.plane, mouth, glasses) for glasses in (0.0, 1.0)]
    np.testing.assert_allclose(same[0], same[1], atol=0.02)
