"""Where one face, known from a reference picture, is on another picture of it, and how its mouth stands there.

A mesh in space is seen by a far camera: where a point is on the picture is linear in its place in space. So eight
numbers say where the whole face is, and the coefficients of the motion basis what its mouth does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, N_MESH, OUTER_LIPS, Points
from s2v.engine.face.maps import Map, remap
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.thin_plate import bent_plate, smoothing_plate
from s2v.spec import LipSyncSpec

# Face units: left, right and below the mouth, and the tip of the nose. Four points not in a plane hold a placement.
_HELD = np.array([[-0.35, 0.75, 0.0], [0.35, 0.75, 0.0], [0.0, 1.15, -0.1], [0.0, 0.45, -0.45]])
CHIN = (152, 148, 377, 176, 400, 175, 199)  # mesh points
_MOUTH, _NEAR = np.array([0.0, 0.62]), 0.55  # face units: what is near counts most
_LIPS_COUNT, _LIDS_COUNT = 0.2, 0.05
_ROUNDS = 3
_RIDGE = 1e-4  # of the coefficients, against noise
_DEPTH_CELLS = 24
_DEPTH_ROUNDS = 5  # the cheeks of a turned face are steep
_DEPTH_STIFFNESS = 4e-3


@dataclass(frozen=True)
class Placement:
    """Reference pixel (x, y) at depth z -> film pixel: matrix @ (x, y, z, 1)."""

    matrix: Points  # (2, 4)

    def to_film(self, points: Points) -> Points:
        """(..., 3) reference pixels and depth -> (..., 2) film pixels."""
        found: Points = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return found

    @property
    def scale(self) -> float:
        """Film pixels for each reference pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


class FaceModel:
    """The mesh of a reference face, in its picture's pixels, and how a mouth moves it."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec) -> None:
        self.unit_px = face.pose.unit_px
        self.mesh = np.asarray(face.landmarks[:N_MESH], np.float64)  # x, y, depth in pixels
        basis = MotionBasis.load(spec.motion_basis)
        moves = basis.displacement(np.arange(N_MESH))[: spec.n_motion]
        self.moves = face.pose.turn(moves)  # (k, 468, 3) pixels
        self.held = face.pose.to_photo(_HELD)
        far = np.linalg.norm(face.canonical[:, :2] - _MOUTH, axis=1)
        self.weight = np.exp(-0.5 * (far / _NEAR) ** 2)
        self.weight[list(OUTER_LIPS)] *= _LIPS_COUNT
        for eye in EYES:
            self.weight[[*eye.upper, *eye.lower, *eye.fold, *eye.brow]] *= _LIDS_COUNT
        # To begin with, what no mouth moves.
        self._still = (self.weight * (np.abs(moves).max((0, 2)) == 0))[:, None]

    def fit(self, landmarks: Points) -> tuple[Points, Points, Points]:
        """Placement and mouth on a film's picture, by least squares.

        Args: landmarks: (>=468, >=2) in film pixels.
        Returns: where the held points are, (4, 2) film pixels, see `placement`; coefficients (k,), 0 as on the
            reference; and how far the chin is from where it is on the reference, (2,) reference pixels.
        """
        seen = np.asarray(landmarks[:N_MESH, :2], np.float64)
        coefficients = np.zeros(len(self.moves))
        matrix = np.linalg.lstsq(self._still * _homogeneous(self.mesh), self._still * seen, rcond=None)[0]
        for _ in range(_ROUNDS):
            mesh = _homogeneous(self.mesh + np.tensordot(coefficients, self.moves, 1))
            step = self._step(mesh, matrix, seen - mesh @ matrix, coefficients)
            matrix = matrix + step[:8].reshape(2, 4).T
            coefficients = coefficients + step[8:]
        chin = list(CHIN)
        off = seen[chin] - _homogeneous(self.mesh[chin]) @ matrix
        moved = np.linalg.solve(matrix[:2].T, off.mean(0))
        return self.held @ matrix[:3] + matrix[3], coefficients, np.asarray(moved, np.float64)

    def _step(self, mesh: Points, matrix: Points, off: Points, coefficients: Points) -> Points:
        """Of Gauss and Newton: (8 + k,) more of the placement, x then y, and of the coefficients."""
        n, weight = N_MESH, self.weight[:, None]
        ways = np.zeros((2, n, 8 + len(coefficients)))
        for axis in range(2):
            ways[axis, :, 4 * axis : 4 * axis + 4] = weight * mesh
            ways[axis, :, 8:] = weight * (self.moves @ matrix[:3, axis]).T
        flat, wanted = ways.reshape(2 * n, -1), (weight * off).T.ravel()
        system, answer = flat.T @ flat, flat.T @ wanted
        ridge = _RIDGE * np.trace(system[8:, 8:]) / len(coefficients)
        system[8:, 8:] += ridge * np.eye(len(coefficients))
        answer[8:] -= ridge * coefficients
        return np.asarray(np.linalg.solve(system, answer), np.float64)

    def placement(self, held: Points) -> Placement:
        """The placement that brings the held points to (4, 2) film pixels."""
        whole = np.c_[self.held, np.ones(4)]
        return Placement(np.asarray(np.linalg.solve(whole, held).T, np.float64))


def _homogeneous(mesh: Points) -> Points:
    return np.asarray(np.c_[mesh, np.ones(len(mesh))], np.float64)


class DepthMap:
    """How deep the reference face is at each of its pixels, smooth, and level beyond the face."""

    def __init__(self, mesh: Points, size: tuple[int, int]) -> None:
        """Args: mesh: (468, 3) pixels. size: (width, height) of the picture."""
        low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
        length, points = float((high - low).max()), mesh[::2]
        width, height = size
        columns, rows = (np.linspace(0, n - 1, _DEPTH_CELLS) for n in size)
        places = np.clip(np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2), low, high)
        held = (points[:, :2] - low) / length
        depth = bent_plate((places - low) / length, held) @ (smoothing_plate(held, _DEPTH_STIFFNESS) @ points[:, 2])
        depth = np.clip(depth, mesh[:, 2].min(), mesh[:, 2].max())
        self.middle = float(np.median(mesh[:, 2]))
        self._depth = depth.reshape(_DEPTH_CELLS, _DEPTH_CELLS).astype(np.float32)
        self._to_cells = np.array([(_DEPTH_CELLS - 1) / max(1, width - 1), (_DEPTH_CELLS - 1) / max(1, height - 1)])

    def at(self, pixels: Map) -> NDArray[np.float32]:
        """Depth (h, w) at pixels (h, w, 2) of the reference."""
        return remap(self._depth, (pixels * self._to_cells).astype(np.float32), cv2.INTER_LINEAR)


def to_reference(placement: Placement, depth: DepthMap, film: Map) -> Map:
    """Film pixels (h, w, 2) as pixels of the reference, (h, w, 2): the depth that counts is that of the answer."""
    back = np.linalg.inv(placement.matrix[:, :2])
    across = np.asarray(back @ placement.matrix[:, 2], np.float32)
    flat = ((film - placement.matrix[:, 3]) @ back.T).astype(np.float32)
    found = flat - across * float(depth.middle)
    for _ in range(_DEPTH_ROUNDS):
        found = flat - across * depth.at(found)[..., None]
    return found


def to_film(placement: Placement, depth: DepthMap, reference: Map) -> Map:
    """Pixels (h, w, 2) of the reference as film pixels, (h, w, 2)."""
    z = depth.at(reference)
    matrix = placement.matrix.astype(np.float32)
    return np.asarray(reference @ matrix[:, :2].T + z[..., None] * matrix[:, 2] + matrix[:, 3], np.float32)
