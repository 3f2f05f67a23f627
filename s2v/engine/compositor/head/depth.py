"""How deep everything about a head lies on its photo: the mesh's depth, carried on smoothly around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import FACE_OVAL, N_MESH, FacePlane, Points, Pose
from s2v.engine.face.thin_plate import bent_plate, smoothing_plate

CENTRE = (0.0, 0.55, 0.72)  # face units: the point that a head nods and turns about, between its ears

_STIFFNESS = 0.08  # of the plate: with less, the outline of a far cheek is scalloped
# Rings around the oval of the face, times as large, and the share of the oval's distance to the centre's depth that is
# left there: hair and neck lie further back than the cheek beside them, what is above the forehead less so.
_RINGS = (1.12, 1.25, 1.5, 2.0, 3.0)
_LEFT_BESIDE, _LEFT_ABOVE = (0.55, 0.25, 0.05, 0.0, 0.0), (0.85, 0.6, 0.3, 0.1, 0.0)
_FURTHEST_UNITS = 3.0  # from the middle of the face: what is further away lies at the depth of the centre
_HIDDEN_NEAR_UNITS, _HIDDEN_BEHIND_UNITS = 0.06, 0.24  # a vertex so near another one and so far behind it is not seen


def depth_at(landmarks: Points, pose: Pose, plane: FacePlane, places: Points) -> Points:
    """How far behind the head's centre the photo's pixels lie, in face units: below 0 in front of it.

    Args:
        landmarks: (>=468, 3) pixels. pose, plane: of the face.
        places: (..., 2) photo pixels.
    Returns: (...), 0 far from the face.
    """
    mesh = landmarks[:N_MESH] / pose.unit_px
    centre_z = pose.to_photo(np.array(CENTRE))[2] / pose.unit_px
    z = mesh[:, 2] - centre_z
    uv = plane.to_plane(landmarks[:N_MESH, :2])
    seen = ~hidden_vertices(mesh)
    ring_uv, ring_z = _rings(uv, z)
    beside = ~_inside_hull(ring_uv, uv[seen])
    points, depths = np.concatenate([uv[seen], ring_uv[beside]]), np.concatenate([z[seen], ring_z[beside]])
    weights = smoothing_plate(points, _STIFFNESS) @ depths
    at = plane.to_plane(places).reshape(-1, 2)
    near = np.flatnonzero(np.hypot(*(at - _middle(uv)).T) < _FURTHEST_UNITS)
    found = np.zeros(len(at))
    found[near] = np.clip(bent_plate(at[near], points) @ weights, z.min(), max(0.0, z.max()))
    return found.reshape(places.shape[:-1])


def hidden_vertices(mesh: Points) -> NDArray[np.bool_]:
    """(n,) which vertices lie behind others as the camera sees them. Args: mesh: (n, 3) face units, z away from it."""
    apart = np.hypot(*np.moveaxis(mesh[:, None, :2] - mesh[None, :, :2], -1, 0))
    nearest = np.where(apart < _HIDDEN_NEAR_UNITS, mesh[None, :, 2], np.inf).min(1)
    return np.asarray(mesh[:, 2] - nearest > _HIDDEN_BEHIND_UNITS)


def _middle(uv: Points) -> Points:
    oval = uv[list(FACE_OVAL)]
    middle: Points = (oval.min(0) + oval.max(0)) / 2
    return middle


def _rings(uv: Points, z: Points) -> tuple[Points, Points]:
    """Every second point of the rings around the oval of the face, (n, 2), and how deep they lie, (n,)."""
    oval, depth, middle = uv[list(FACE_OVAL)][::2], z[list(FACE_OVAL)][::2], _middle(uv)
    away = oval - middle
    above = np.clip(-away[:, 1] / np.abs(away[:, 1]).max(), 0, 1)
    shares = [b + above * (a - b) for b, a in zip(_LEFT_BESIDE, _LEFT_ABOVE, strict=True)]
    places = np.concatenate([middle + ring * away for ring in _RINGS])
    return places, np.concatenate([share * depth for share in shares])


def _inside_hull(places: Points, points: Points) -> NDArray[np.bool_]:
    """(n,) which places lie within the convex hull of points."""
    hull = cv2.convexHull(points.astype(np.float32))
    return np.array([cv2.pointPolygonTest(hull, (float(u), float(v)), False) >= 0 for u, v in places], bool)
