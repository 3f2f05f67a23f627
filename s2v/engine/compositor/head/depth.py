"""How deep everything about a head lies on its photo: the mesh's depth, carried on smoothly around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import FACE_OVAL, N_MESH, OUTER_EYES, FacePlane, Points, Pose
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.thin_plate import bent_plate, smoothing_weights

CENTRE = (0.0, 0.55, 0.72)  # face units: the point that a head nods and turns about, between its ears

_STIFFNESS = 0.08  # of the plate: with less, the outline of a far cheek is scalloped
# Rings around the oval of the face, times as large, and the share of the oval's distance to the centre's depth that is
# left there: hair and neck lie further back than the cheek beside them, what is above the forehead less so.
_RINGS = (1.12, 1.25, 1.5, 2.0, 3.0)
_LEFT_BESIDE, _LEFT_ABOVE = (0.55, 0.25, 0.05, 0.0, 0.0), (0.85, 0.6, 0.3, 0.1, 0.0)
_FURTHEST_UNITS = 3.0  # from the middle of the face: what is further away lies at the depth of the centre
# Glasses, face units from between the eyes: lenses up, down and aside; the bridge down, on the nose; what is around.
_LENS_FROM, _LENS_UNTIL, _LENS_ASIDE = 0.30, 0.36, 0.74
_BRIDGE_UNTIL, _NOSE_UNITS, _AROUND_UNITS = 0.12, 0.12, 0.18
_LENS_BEND = 0.3  # lenses bend around a face by that share of what the face does
_HIDDEN_NEAR_UNITS, _HIDDEN_BEHIND_UNITS = 0.06, 0.24  # a vertex so near another one and so far behind it is not seen


def depth_at(landmarks: Points, pose: Pose, plane: FacePlane, places: Points, glasses: float = 0.0) -> Points:
    """How far behind the head's centre the photo's pixels lie, in face units: below 0 in front of it.

    Args:
        landmarks: (>=468, 3) pixels. pose, plane: of the face.
        places: (..., 2) photo pixels. glasses: how surely the face wears any, 0 to 1: these turn as one stiff piece.
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
    weights = smoothing_weights(points, depths, _STIFFNESS)
    at = plane.to_plane(places).reshape(-1, 2)
    near = np.flatnonzero(np.hypot(*(at - _middle(uv)).T) < _FURTHEST_UNITS)
    found = np.zeros(len(at))
    found[near] = np.clip(bent_plate(at[near], points) @ weights, z.min(), max(0.0, z.max()))
    if glasses > 0:
        between = uv[list(OUTER_EYES)].mean(0)
        found += glasses * _worn(at - between) * (_lenses(uv[seen] - between, z[seen], at - between) - found)
    return found.reshape(places.shape[:-1])


def _worn(uv: Points) -> Points:
    """(n,) how surely places (n, 2) of the face plane from between the eyes lie on glasses, 0 to 1."""
    u, v = np.abs(uv[:, 0]), uv[:, 1]
    below = _BRIDGE_UNTIL + (_LENS_UNTIL - _BRIDGE_UNTIL) * smoothstep((u - _NOSE_UNITS) / _NOSE_UNITS)
    outside = np.maximum(np.maximum(u - _LENS_ASIDE, v - below), -_LENS_FROM - v)
    return 1 - smoothstep(outside / _AROUND_UNITS)


def _lenses(uv: Points, z: Points, at: Points) -> Points:
    """(n,) depth of the smooth surface that glasses lie on, at places (n, 2) of the face plane.

    Level along a lens, bent a little around the face: a parabola across, a line down, by least squares of the mesh.
    """
    near = (_worn(uv) > 0.9) & (np.abs(uv[:, 0]) > _NOSE_UNITS)
    u, v = uv[near].T
    given = np.linalg.lstsq(np.stack([np.ones_like(u), u, v, u * u], -1), z[near], rcond=None)[0]
    u, v = at.clip(-_LENS_ASIDE - _AROUND_UNITS, _LENS_ASIDE + _AROUND_UNITS).T
    bend = _LENS_BEND * given[3]
    middle = (given[3] - bend) * float((uv[near, 0] ** 2).mean())
    return np.asarray(given[0] + middle + given[1] * u + given[2] * v + bend * u * u, np.float64)


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
