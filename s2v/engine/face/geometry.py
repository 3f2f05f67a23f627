"""Where the landmarks are in a frame of reference that the head's pose does not reach.

Face units: one unit is the distance between the outer eye corners, the origin lies midway
between them, x to the viewer's right, y down, z away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.bundled import CANONICAL_FACE

Points = NDArray[np.float64]

N_MESH = 468  # mediapipe's mesh; its points 468..477 are the irises
OUTER_EYES = (33, 263)
# Points of the skull: eye corners, nose bridge, forehead, temples. Speech does not move them.
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 10, 151, 9, 8, 70, 300, 127, 356)
MOUTH_CORNERS = (61, 291)
LIP_CORNERS = (61, 76, 62, 78, 291, 306, 292, 308)  # of all rows of the lips
# Corner to corner, left to right on the picture.
UPPER_INNER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# Corner to corner along the upper lip, then back along the lower.
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# fmt: off
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
             152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
# fmt: on


class EyeMesh(NamedTuple):
    """Mesh points of one eye, left to right on the picture; the lids' ends are the corners."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    fold: tuple[int, ...]  # about the fold of the upper lid
    brow: tuple[int, ...]  # under the eyebrow
    cheek: tuple[int, ...]


EYES = (
    EyeMesh(
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (33, 7, 163, 144, 145, 153, 154, 155, 133),
        (247, 30, 29, 27, 28, 56, 190),
        (113, 225, 224, 223, 222, 221, 189),
        (130, 25, 110, 24, 23, 22, 26, 112, 243),
    ),
    EyeMesh(
        (362, 398, 384, 385, 386, 387, 388, 466, 263),
        (362, 382, 381, 380, 374, 373, 390, 249, 263),
        (414, 286, 258, 257, 259, 260, 467),
        (413, 441, 442, 443, 444, 445, 342),
        (463, 341, 256, 252, 253, 254, 339, 255, 359),
    ),
)


@cache
def canonical_face() -> Points:
    """MediaPipe's canonical face mesh in face units, shape (468, 3)."""
    return np.asarray(np.load(CANONICAL_FACE, allow_pickle=False), np.float64)


@dataclass(frozen=True)
class Pose:
    """Similarity from photo pixels to face units: canonical = scale * rotation @ photo + shift."""

    scale: float
    rotation: Points  # (3, 3)
    shift: Points  # (3,)

    def to_canonical(self, photo_points: Points) -> Points:
        """Photo points (..., 3) in pixels -> face units."""
        return self.scale * photo_points @ self.rotation.T + self.shift

    def to_photo(self, canonical_points: Points) -> Points:
        """Face units (..., 3) -> photo pixels (x, y, depth)."""
        return (canonical_points - self.shift) @ self.rotation / self.scale

    def turn(self, displacements: Points) -> Points:
        """Displacements (..., 3) in face units -> displacements on the photo in pixels."""
        return displacements @ self.rotation / self.scale

    @property
    def unit_px(self) -> float:
        """Pixels of the photo in one face unit."""
        return 1.0 / self.scale

    @property
    def yaw_degrees(self) -> float:
        """How far the head is turned: 0 looks at the camera, positive to the viewer's right."""
        forward = self.rotation.T @ np.array([0.0, 0.0, -1.0])
        return float(np.degrees(np.arctan2(forward[0], -forward[2])))

    @property
    def pitch_degrees(self) -> float:
        """How far the head is tipped: 0 looks at the camera, positive looks down."""
        forward = self.rotation.T @ np.array([0.0, 0.0, -1.0])
        return float(np.degrees(np.arctan2(forward[1], np.hypot(forward[0], forward[2]))))

    @property
    def roll_degrees(self) -> float:
        """How far the head lies over on the picture: 0 is upright, positive clockwise, -180 to 180."""
        down = self.rotation.T @ np.array([0.0, 1.0, 0.0])
        return float(np.degrees(np.arctan2(-down[0], down[1])))


def head_pose(landmarks: Points) -> Pose:
    """Pose of a head from its rigid points.

    Args:
        landmarks: (>=468, 3) in pixels, depth on the same scale (mediapipe's z times the width).
    Source: Umeyama, "Least-squares estimation of transformation parameters", PAMI 13 (1991).
    """
    source = np.asarray(landmarks, np.float64)[list(RIGID)]
    target = canonical_face()[list(RIGID)]
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (a**2).sum(1).mean())
    return Pose(scale, rotation, target_mean - scale * rotation @ source_mean)


def curve_heights(points: Points, x: Points) -> Points:
    """y of a curve of straight pieces through points (n, >=2), in any order, at x; level beyond its ends."""
    order = np.argsort(points[:, 0])
    found: Points = np.interp(x, points[order, 0], points[order, 1])
    return found


@dataclass(frozen=True)
class FacePlane:
    """The affine map between a flat plane through the face (face units) and photo pixels.

    Points of the plane lie at depth `z`; for a turned head the map foreshortens as the face does.
    """

    matrix: Points  # (2, 3): photo_px = matrix @ (u, v, 1)

    @classmethod
    def at_depth(cls, pose: Pose, z: float) -> FacePlane:
        """The plane parallel to the face at depth `z` face units."""
        corners = np.array([[0.0, 0.0, z], [1.0, 0.0, z], [0.0, 1.0, z]])
        origin, x, y = pose.to_photo(corners)[:, :2]
        return cls(np.stack([x - origin, y - origin, origin], axis=1))

    def to_photo(self, uv: Points) -> Points:
        """(..., 2) face units -> pixels."""
        return uv @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_plane(self, photo_px: Points) -> Points:
        """(..., 2) pixels -> face units."""
        return (photo_px - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T
