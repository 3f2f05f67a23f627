from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import (
    FACE_OVAL,
    LOWER_INNER_LIP,
    N_MESH,
    OUTER_EYES,
    RIGID,
    UPPER_INNER_LIP,
    FacePlane,
    Points,
    Pose,
    canonical_face,
    head_pose,
)

ANGLES = st.floats(-1.0, 1.0)
SCALES_PX = st.floats(20.0, 800.0)
SHIFTS_PX = st.floats(-2000.0, 2000.0)


def turned(yaw: float, pitch: float, roll: float) -> Points:
    """Rotation matrix from three angles in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


@settings(max_examples=60, deadline=None)
@given(ANGLES, ANGLES, ANGLES, SCALES_PX, st.tuples(SHIFTS_PX, SHIFTS_PX, SHIFTS_PX))
def test_a_known_pose_is_recovered(
    yaw: float, pitch: float, roll: float, unit_px: float, shift: tuple[float, float, float]
) -> None:
    rotation = turned(yaw, pitch, roll)
    pose = head_pose(unit_px * canonical_face() @ rotation.T + np.array(shift))
    assert pose.unit_px == pytest.approx(unit_px, rel=1e-9)
    np.testing.assert_allclose(pose.rotation, rotation.T, atol=1e-6)
    np.testing.assert_allclose(pose.to_photo(np.zeros((1, 3)))[0], shift, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(ANGLES, ANGLES, ANGLES, SCALES_PX, st.tuples(SHIFTS_PX, SHIFTS_PX, SHIFTS_PX))
def test_turning_a_head_does_not_move_its_canonical_points(
    yaw: float, pitch: float, roll: float, unit_px: float, shift: tuple[float, float, float]
) -> None:
    # Not the canonical face itself: somebody else's, whose rigid points do not fit exactly.
    somebody = canonical_face() * [1.05, 0.97, 1.1] + 0.01 * np.sin(np.arange(3 * N_MESH)).reshape(N_MESH, 3)
    before = head_pose(100 * somebody).to_canonical(100 * somebody)
    moved = unit_px * somebody @ turned(yaw, pitch, roll).T + np.array(shift)
    np.testing.assert_allclose(head_pose(moved).to_canonical(moved), before, atol=1e-6)


def test_speech_does_not_change_the_pose(closed_face: EnrolledFace) -> None:
    speaking = closed_face.landmarks.copy()
    mouth_and_chin = np.setdiff1d(np.flatnonzero(canonical_face()[:, 1] > 0.48), RIGID)
    speaking[mouth_and_chin, 1] += 12.0
    pose = head_pose(speaking)
    assert (pose.scale, pose.yaw_degrees) == (closed_face.pose.scale, closed_face.pose.yaw_degrees)
    np.testing.assert_array_equal(pose.rotation, closed_face.pose.rotation)


@given(st.floats(-60, 60), st.floats(-60, 60))
def test_yaw_and_pitch_are_told_in_degrees(yaw: float, pitch: float) -> None:
    # Towards the viewer's right, then down: x to the right, y down, z away from the camera.
    sideways = head_pose(100 * canonical_face() @ turned(-np.radians(yaw), 0, 0).T)
    assert sideways.yaw_degrees == pytest.approx(yaw, abs=1e-6)
    assert sideways.pitch_degrees == pytest.approx(0, abs=1e-6)
    tipped = head_pose(100 * canonical_face() @ turned(0, np.radians(pitch), 0).T)
    assert tipped.pitch_degrees == pytest.approx(pitch, abs=1e-6)
    assert tipped.yaw_degrees == pytest.approx(0, abs=1e-6)


def test_a_head_that_looks_down_shows_its_forehead_nearer() -> None:
    tipped = 100 * canonical_face() @ turned(0, np.radians(20), 0).T
    forehead, chin = 10, 152
    frontal = 100 * canonical_face()
    assert tipped[forehead, 2] - tipped[chin, 2] < frontal[forehead, 2] - frontal[chin, 2]
    assert head_pose(tipped).pitch_degrees == pytest.approx(20)


@settings(max_examples=40, deadline=None)
@given(ANGLES, ANGLES, ANGLES, SCALES_PX)
def test_a_pose_maps_to_the_photo_and_back_without_loss(yaw: float, pitch: float, roll: float, unit_px: float) -> None:
    pose = Pose(1 / unit_px, turned(yaw, pitch, roll), np.array([0.3, -0.7, 0.2]))
    points = canonical_face()
    np.testing.assert_allclose(pose.to_canonical(pose.to_photo(points)), points, atol=1e-9)
    shift = np.array([0.1, 0.2, -0.1])
    np.testing.assert_allclose(pose.turn(shift), (pose.to_photo(points + shift) - pose.to_photo(points))[0], atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(ANGLES, ANGLES, ANGLES, SCALES_PX, st.floats(-0.5, 0.5))
def test_the_face_plane_is_where_the_pose_puts_it(
    yaw: float, pitch: float, roll: float, unit_px: float, z: float
) -> None:
    pose = Pose(1 / unit_px, turned(yaw, pitch, roll), np.array([0.3, -0.7, 0.2]))
    plane = FacePlane.at_depth(pose, z)
    uv = np.array([[0.0, 0.0], [0.2, 0.9], [-1.0, 0.4]])
    np.testing.assert_allclose(plane.to_photo(uv), pose.to_photo(np.c_[uv, np.full(3, z)])[:, :2], atol=1e-8)
    np.testing.assert_allclose(plane.to_plane(plane.to_photo(uv)), uv, atol=1e-7)


def test_the_canonical_face_is_in_face_units() -> None:
    face = canonical_face()
    left, right = face[list(OUTER_EYES)]
    assert face.shape == (N_MESH, 3)
    assert np.linalg.norm(right - left) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose((left + right) / 2, 0, atol=1e-6)
    nose, chin, ear = 1, 152, 234
    assert left[0] < 0 < face[chin, 1]
    assert face[nose, 2] < face[ear, 2]  # z away from the camera


def test_lips_and_oval_are_listed_in_order() -> None:
    face = canonical_face()
    for line in (UPPER_INNER_LIP, LOWER_INNER_LIP):
        assert (np.diff(face[list(line), 0]) > 0).all()
    assert (face[list(UPPER_INNER_LIP[1:-1]), 1] < face[list(LOWER_INNER_LIP[1:-1]), 1]).all()
    around = face[list(FACE_OVAL), :2] - face[list(FACE_OVAL), :2].mean(0)
    steps = np.diff(np.unwrap(np.arctan2(around[:, 1], around[:, 0])))
    assert (np.sign(steps) == np.sign(steps[0])).all()
