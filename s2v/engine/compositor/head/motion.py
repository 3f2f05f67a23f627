"""How a turned, nodding, rolled, shifted and leaning head moves what lies on it: polynomials of its place.

A place is (X, Y, Z) in face units from the head's centre, along the picture's axes, Z away from the camera. Its
displacement on the picture is one (11, 2) matrix of the pose over eleven terms of the place: with these eleven values
a place, a frame is one product.
"""

from __future__ import annotations

from math import cos, sin

import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head.depth import CENTRE
from s2v.engine.face.geometry import FacePlane, Points, Pose

N_TERMS = 11
_ONE, _X, _Y, _Z, _XX, _XY, _YY, _XZ, _YZ, _ZZ, _BREATH = range(N_TERMS)

NECK = (0.0, 1.45, 0.30)  # face units: the point that a head rolls about
_NEARER_FROM = (0.0, 1.0, 0.30)  # the point that stays when it leans
CAMERA_UNITS = 8.0  # from the head's centre to the camera: about 0.75 m
_LIPS_DEPTH = -0.95  # face units behind the head's centre
_SHOULDERS_UNITS = 0.006  # how far a breath lifts them


class HeadMotion:
    """Of one face. Args: pose, plane: of the face on the photo."""

    def __init__(self, pose: Pose, plane: FacePlane) -> None:
        centre = pose.to_photo(np.array(CENTRE))
        self.unit_px = pose.unit_px
        self.centre_px: Points = centre[:2]  # (2,) of the photo
        self._rotation = pose.rotation
        self._neck, self._nearer_from = (
            pose.to_photo(np.array([NECK, _NEARER_FROM]))[:, :2] - centre[:2]
        ) / self.unit_px
        self._up = -_SHOULDERS_UNITS * plane.matrix[:, 1]

    def terms(self, places_px: Points, depth: Points, head: Points | float, breath: Points | float) -> Points:
        """The terms, ten monomials and the breath, of photo pixels (..., 2): (11, ...).

        Args:
            depth: (...) of `depth_at`. head: how far each place goes along with the head, 0 to 1; breath: with
                the breath.
        """
        x, y = np.moveaxis((places_px - self.centre_px) / self.unit_px, -1, 0)
        one = np.ones_like(x)
        rigid = np.stack([one, x, y, depth, x * x, x * y, y * y, x * depth, y * depth, depth * depth])
        return np.concatenate([rigid * head, (one * breath)[None]])

    def coefficients(self, pose: FacePose) -> Points:
        """(11, 2): what a pose, limited, makes of the terms: photo pixels to the right and down.

        Yaw and pitch turn about the head's centre before a camera that is `CAMERA_UNITS` away, to the first order in
        one over that distance; then everything rolls about the neck, shifts and grows.
        """
        turn = self._turn(pose)
        given = np.zeros((N_TERMS, 2))
        for axis in (0, 1):
            row = turn[axis]
            far = -np.outer(row, turn[2]) / CAMERA_UNITS  # what has come nearer looks larger
            given[[_XX, _YY, _ZZ], axis] = far.diagonal()
            given[_XY, axis] = far[0, 1] + far[1, 0]
            given[[_XZ, _YZ], axis] = far[:2, 2] + far[2, :2] + row[:2] / CAMERA_UNITS  # as it did at rest
            given[[_X, _Y, _Z], axis] = row - np.eye(3)[axis]
        c, s = cos(pose.roll), sin(pose.roll)
        roll = np.array([[c, -s], [s, c]])
        given = np.asarray(given @ roll.T, np.float64)
        given[[_X, _Y]] += (roll - np.eye(2)).T
        given[_ONE] += np.array(pose.shift) - (roll - np.eye(2)) @ self._neck
        # It grows, and what is nearer to the camera grows more.
        given *= 1 + pose.lean
        given[[_X, _Y]] += pose.lean * np.eye(2)
        given[[_XZ, _YZ], [0, 1]] -= pose.lean / CAMERA_UNITS
        given[_ONE] -= pose.lean * self._nearer_from
        given[_Z] += pose.lean / CAMERA_UNITS * self._nearer_from
        given *= self.unit_px
        given[_BREATH] = pose.breath * self._up
        return given

    def depth_shift(self, given: Points) -> Points:
        """(2,) photo pixels by which a face unit more of depth shifts what lies near the middle of the face.

        Args: given: (11, 2) of `coefficients`.
        """
        backward = self._rotation.T[:, 2]  # away from the face, on the photo's axes
        return np.asarray(backward[2] * (given[_Z] + 2 * _LIPS_DEPTH * given[_ZZ]), np.float64)

    def _turn(self, pose: FacePose) -> Points:
        """(3, 3) on the photo's axes: the head's own nod, then its turn about its own upright axis."""
        c, s = cos(pose.yaw), sin(pose.yaw)
        yaw = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        c, s = cos(pose.pitch), sin(pose.pitch)
        pitch = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        return np.asarray(self._rotation.T @ yaw @ pitch @ self._rotation, np.float64)
