from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head.depth import CENTRE
from s2v.engine.compositor.head.limits import LEAN_FORTH, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW
from s2v.engine.compositor.head.motion import CAMERA_UNITS, NECK, HeadMotion
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import N_MESH, Points
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
LARGEST = FacePose(shift=(SHIFT_X, -SHIFT_Y), yaw=YAW, pitch=-PITCH, roll=ROLL, lean=LEAN_FORTH)


@pytest.fixture(scope="module")
def face() -> EnrolledFace:
    return drawn_face(SPEC, (800, 960))


@pytest.fixture(scope="module")
def motion(face: EnrolledFace) -> HeadMotion:
    return HeadMotion(face.pose, face.plane)


def moved(motion: HeadMotion, pose: FacePose, places: Points, depth: Points, head: float = 1.0) -> Points:
    """Displacements in face units."""
    terms = motion.terms(places, depth, head, 0.0)
    return np.asarray(np.tensordot(terms, motion.coefficients(pose), (0, 0)) / motion.unit_px)


def mesh(face: EnrolledFace) -> tuple[Points, Points]:
    """Of each vertex its photo pixel, and how far behind the head's centre it lies."""
    centre = face.pose.to_photo(np.array(CENTRE))
    return face.landmarks[:N_MESH, :2], (face.landmarks[:N_MESH, 2] - centre[2]) / face.pose.unit_px


@pytest.mark.parametrize("yaw", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("pitch", [-1.0, 0.5])
def test_a_turned_head_looks_as_a_camera_would_see_it(
    face: EnrolledFace, motion: HeadMotion, yaw: float, pitch: float
) -> None:
    """Against a pinhole camera before the head's centre, whose picture at rest the photo is."""
    places, depth = mesh(face)
    found = moved(motion, FacePose(yaw=yaw * YAW, pitch=pitch * PITCH), places, depth)
    at_rest = (places - motion.centre_px) / motion.unit_px
    solid = np.c_[at_rest * (CAMERA_UNITS + depth)[:, None] / CAMERA_UNITS, depth]
    y, p = yaw * YAW, pitch * PITCH
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    turned = solid @ (about_y @ about_x).T
    seen = turned[:, :2] * CAMERA_UNITS / (CAMERA_UNITS + turned[:, 2:])
    assert np.abs(found - (seen - at_rest)).max() < 0.012
    assert np.abs(found).max() > 0.05


def test_what_is_positive_goes_where_it_is_said_to(face: EnrolledFace, motion: HeadMotion) -> None:
    places, depth = (of_mesh[[4, 10, 152]] for of_mesh in mesh(face))  # nose, forehead, chin
    nose, forehead, chin = moved(motion, FacePose(yaw=0.1), places, depth)
    assert nose[0] > 0.08 and abs(nose[1]) < 0.01
    nose, forehead, chin = moved(motion, FacePose(pitch=0.1), places, depth)
    assert nose[1] > 0.08 and abs(nose[0]) < 0.01
    nose, forehead, chin = moved(motion, FacePose(roll=0.05), places, depth)
    assert forehead[0] > nose[0] > chin[0] > 0  # clockwise about a point below them all
    nose, forehead, chin = moved(motion, FacePose(lean=0.05), places, depth)
    assert forehead[1] < nose[1] < 0 < chin[1]
    np.testing.assert_allclose(moved(motion, FacePose(shift=(0.03, -0.02)), places, depth), [[0.03, -0.02]] * 3)
    breath = motion.terms(places, depth, 0.0, 1.0)
    lifted = np.tensordot(breath, motion.coefficients(FacePose(breath=1.0)), (0, 0))
    np.testing.assert_allclose(lifted / motion.unit_px, [[0, -0.006]] * 3, atol=0.0005)


def test_roll_turns_about_the_neck_and_nothing_moves_at_rest(face: EnrolledFace, motion: HeadMotion) -> None:
    neck = face.pose.to_photo(np.array([NECK]))[:, :2]
    np.testing.assert_allclose(moved(motion, FacePose(roll=0.06), neck, np.zeros(1)), 0, atol=1e-12)
    places, depth = mesh(face)
    np.testing.assert_allclose(moved(motion, FacePose(), places, depth), 0, atol=1e-12)
    np.testing.assert_allclose(moved(motion, LARGEST, places, depth, head=0.0), 0, atol=1e-12)


def test_what_is_nearer_grows_more_when_the_head_leans_in(face: EnrolledFace, motion: HeadMotion) -> None:
    centre = face.pose.to_photo(np.array([0, 0.5, 0]))[:2]
    places = centre + motion.unit_px * np.array([[-0.3, 0], [0.3, 0]])
    near, far = (np.ptp(moved(motion, FacePose(lean=0.05), places, np.full(2, z))[:, 0]) for z in (-1.0, 0.0))
    assert 0 < far < near
    assert near / far == pytest.approx(1 + 1 / CAMERA_UNITS, rel=0.01)


def test_depth_shift_is_what_a_unit_of_depth_changes(face: EnrolledFace, motion: HeadMotion) -> None:
    mouth, depth = (of_mesh[[13]] for of_mesh in mesh(face))
    for pose in (FacePose(yaw=0.1), FacePose(pitch=-0.08), LARGEST):
        apart = moved(motion, pose, mouth, depth + 0.1) - moved(motion, pose, mouth, depth)
        wanted = motion.depth_shift(motion.coefficients(pose)) / motion.unit_px
        np.testing.assert_allclose(wanted, 10 * apart[0], atol=0.012)
    assert (
        motion.depth_shift(motion.coefficients(FacePose(yaw=0.1)))[0] < 0
    )  # nose to the right, so what is behind to the left
    np.testing.assert_allclose(
        motion.depth_shift(motion.coefficients(replace(LARGEST, yaw=0.0, pitch=0.0, lean=0.0))), 0, atol=1e-9
    )
