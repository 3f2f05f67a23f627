"""Moves the lower face of a photo: landmark displacement -> a smooth backward map.

The upper lip with what is above it and the lower lip with what is below it are two layers, each
with a smooth flow that runs on across the mouth; they are cut along the middle of the opening. So
lips open without stretching skin across the gap, and an open mouth on a photo can close.
Everything that does not depend on the frame is computed once per face.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import (
    FACE_OVAL,
    LOWER_INNER_LIP,
    UPPER_INNER_LIP,
    FacePlane,
    Points,
    Pose,
    canonical_face,
)

Map = NDArray[np.float32]
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Real = TypeVar("Real", bound=np.floating)

# Where the canonical face's lips meet and end, in face units: decides which layer a point joins.
_LIP_LINE_Y = 0.78
_LIP_HALF_WIDTH = 0.25
_EYE_LINE_Y = 0.22  # nothing above moves
_SEAM_SOFTNESS = 1e-5  # face units over which the layers mix inside the mouth: a pixel in between would show teeth
_SEAM_SPREAD = 0.8  # how fast the seam widens beyond the corners of the mouth
_INVERSION_STEPS = 6  # with 3, the upper lip of a wide smile was still 1.6 px off


class LayeredWarp:
    """Backward maps for one face on one regular grid of output pixels.

    Args:
        canonical: (468, 3) the photo's landmarks in face units.
        pose: the photo's head pose.
        plane: the flat plane that photo pixels are taken to lie on.
        displacement: (m, 468, 3) in face units: m ways to move, weighed by each frame.
        grid: (2, 3) affine map from output pixel (column, row) to photo pixel.
        size: (width, height) of the output in pixels.
        step: output pixels per cell of the coarse grid that flows are computed on.
    """

    def __init__(
        self,
        canonical: Points,
        pose: Pose,
        plane: FacePlane,
        displacement: Points,
        grid: Points,
        size: tuple[int, int],
        step: float,
    ) -> None:
        self.size = size
        to_plane = np.linalg.inv(plane.matrix[:, :2])
        at = plane.to_plane(pose.to_photo(canonical)[:, :2])
        moves = pose.turn(displacement)[..., :2] @ to_plane.T
        lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP]
        self._lips = at[lips]
        self._lip_moves = moves[:, lips].reshape(len(moves), -1)  # so that both lips are one product

        width, height = size
        coarse_w, coarse_h = (max(8, round(n / step)) for n in size)
        # Centres of coarse cells, as cv2.resize lays them.
        columns = (np.arange(coarse_w) + 0.5) * width / coarse_w - 0.5
        rows = (np.arange(coarse_h) + 0.5) * height / coarse_h - 0.5
        cells = np.stack(np.meshgrid(columns, rows), axis=-1)
        uv = plane.to_plane(cells @ grid[:, :2].T + grid[:, 2])
        layers = _layer_flows(at, moves, uv)
        fade = _fade(at, uv)[None, None, :, :, None]
        cell_px = np.array([width / coarse_w, height / coarse_h])
        uv_to_cells = np.linalg.inv(to_plane @ grid[:, :2]) / cell_px[:, None]
        # (m, layer, row, column, xy) in coarse cells, flattened so that a frame is one product
        self._flows = np.asarray((layers * fade) @ uv_to_cells.T, np.float32).reshape(len(displacement), -1)
        self._shape = (2, coarse_h, coarse_w, 2)
        self._cells = np.stack(np.meshgrid(np.arange(coarse_w), np.arange(coarse_h)), -1).astype(np.float32)
        self._to_photo = (grid[:, :2] * cell_px).astype(np.float32)

        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        photo = pixels @ grid[:, :2].T + grid[:, 2]
        self._base = photo.astype(np.float32)
        full = plane.to_plane(photo).astype(np.float32)
        # The seam is a function of u: a table of it, and for each pixel its place in the table.
        self._table_u = np.linspace(full[..., 0].min(), full[..., 0].max(), 512)
        self._table_at = np.searchsorted(self._table_u, full[..., 0])
        self._v = full[..., 1]
        # The same from anywhere on the photo: to (place in the table, v), and to coarse cells.
        u_per_entry = float(self._table_u[1] - self._table_u[0])
        to_table = np.array([[1 / u_per_entry, 0, 0.5 - self._table_u[0] / u_per_entry], [0, 1, 0]])
        whole_plane = np.vstack([plane.matrix, [0, 0, 1]])
        self._photo_to_table = to_table @ np.linalg.inv(whole_plane)
        to_cells = np.c_[np.diag(1 / cell_px), 0.5 / cell_px - 0.5]
        self._photo_to_cells = to_cells @ np.linalg.inv(np.vstack([grid, [0, 0, 1]]))
        self._cell_pixels = np.ix_(rows.round().astype(int), columns.round().astype(int))
        self._plane_to_output = np.linalg.inv(np.vstack([grid, [0, 0, 1]])) @ np.vstack([plane.matrix, [0, 0, 1]])

    def lips(self, weights: NDArray[np.float32]) -> tuple[Points, Points]:
        """Where the inner lips go: upper and lower, each (11, 2) in the face plane, left to right."""
        both = self._lips + (weights @ self._lip_moves).reshape(self._lips.shape)
        return both[: len(UPPER_INNER_LIP)], both[len(UPPER_INNER_LIP) :]

    def mouth_outline(self, weights: NDArray[np.float32]) -> Points:
        """The opening between the lips as a polygon in output pixels, (20, 2)."""
        upper, lower = self.lips(weights)
        uv = np.concatenate([upper, lower[-2:0:-1]])
        outline: Points = uv @ self._plane_to_output[:2, :2].T + self._plane_to_output[:2, 2]
        return outline

    def source_map(self, weights: NDArray[np.float32], moved: Map | None = None) -> Map:
        """For each output pixel, the photo pixel it shows: (height, width, 2) float32 x, y.

        Args:
            weights: (m,) how far to go along each displacement.
            moved: (height, width, 2) photo pixels: where each output pixel looks instead of its own place,
                little and smoothly apart from it. The result is this map looked up there.
        """
        flows = (weights.astype(np.float32) @ self._flows).reshape(self._shape)
        layers = [_invert(flow, self._cells) for flow in flows]
        if moved is not None:
            at = np.asarray(cv2.transform(moved[self._cell_pixels], self._photo_to_cells), np.float32)
            layers = [remap(layer, at, cv2.INTER_LINEAR) for layer in layers]
        upper, lower = (cv2.resize(layer @ self._to_photo.T, self.size) for layer in layers)
        lower -= upper
        lowerness = self._lowerness(weights, moved)
        lower *= cv2.merge([lowerness, lowerness])  # five times as fast as broadcasting over the last axis
        upper += lower
        upper += self._base if moved is None else moved
        return np.asarray(upper, np.float32)

    def _lowerness(self, weights: NDArray[np.float32], moved: Map | None) -> Map:
        """0 above the seam between the lips, 1 below it, (height, width)."""
        upper, lower = self.lips(weights)
        u = self._table_u
        seam = (np.interp(u, upper[:, 0], upper[:, 1]) + np.interp(u, lower[:, 0], lower[:, 1])) / 2
        beyond = np.maximum(np.maximum(upper[0, 0] - u, u - upper[-1, 0]), 0.0)
        steepness = 1.0 / (_SEAM_SOFTNESS + _SEAM_SPREAD * beyond)
        table_at, v = self._table_at, self._v
        if moved is not None:
            place = np.asarray(cv2.transform(moved, self._photo_to_table), np.float32)
            table_at, v = place[..., 0].astype(np.intp), place[..., 1]
        lowerness = v * np.take(steepness.astype(np.float32), table_at, mode="clip")
        lowerness += np.take((0.5 - seam * steepness).astype(np.float32), table_at, mode="clip")
        return np.asarray(np.clip(lowerness, 0.0, 1.0, out=lowerness), np.float32)


def remap(image: NDArray[Pixel], source: Map, interpolation: int = cv2.INTER_CUBIC) -> NDArray[Pixel]:
    """`image` seen through a map (h, w, 2) of x, y: what `LayeredWarp.source_map` gives. Edges repeat."""
    look_up: Any = cv2.remap  # OpenCV's own types differ by release on whether the second map may be None
    return np.asarray(look_up(image, source, None, interpolation, borderMode=cv2.BORDER_REPLICATE), image.dtype)


def _invert(forward: Map, cells: Map) -> Map:
    """Backward flow of a smooth forward flow by fixed-point iteration: b(x) = -f(x + b(x))."""
    backward = -forward
    for _ in range(_INVERSION_STEPS):
        at = cells + backward
        backward = -remap(forward, at, cv2.INTER_LINEAR)
    return np.asarray(backward, np.float32)


def _layer_flows(at: Points, moves: Points, uv: Points) -> Points:
    """Both layers' flow at `uv`: (m, 2, rows, columns, 2) face units, upper layer first."""
    face = canonical_face()
    inside = np.abs(face[:, 0]) < _LIP_HALF_WIDTH
    is_lower = inside & (face[:, 1] > _LIP_LINE_Y) & (face[:, 1] < 2.0)
    is_upper = inside & (face[:, 1] <= _LIP_LINE_Y) & (face[:, 1] > 0.3)
    for lips, flag in ((UPPER_INNER_LIP, True), (LOWER_INNER_LIP, False)):
        is_upper[list(lips[1:-1])] = flag
        is_lower[list(lips[1:-1])] = not flag
    ring = _ring(at, 1.35)
    values = np.concatenate([moves, np.zeros((len(moves), len(ring), 2))], axis=1)
    points = np.concatenate([at, ring])
    keep_ring = np.ones(len(ring), bool)
    layers = [
        _thin_plate(points[keep], values[:, keep], uv)
        for keep in (np.concatenate([~is_lower, keep_ring]), np.concatenate([~is_upper, keep_ring]))
    ]
    return np.stack(layers, axis=1)


def _ring(at: Points, factor: float) -> Points:
    """The face oval blown up from its middle: where the neck and the background stay put."""
    oval = at[list(FACE_OVAL)]
    middle = (oval.min(0) + oval.max(0)) / 2
    ring: Points = middle + factor * (oval - middle)
    return ring


def _fade(at: Points, uv: Points) -> Points:
    """1 on the lower face, smoothly 0 at the eyes and at the ring around the face, (rows, columns)."""
    ring = _ring(at, 1.35).astype(np.float32)
    flat = uv.reshape(-1, 2)
    inside = np.array([cv2.pointPolygonTest(ring, (float(u), float(v)), True) for u, v in flat])
    edge = smoothstep(inside / 0.15)
    return (edge * smoothstep((flat[:, 1] - _EYE_LINE_Y) / 0.25)).reshape(uv.shape[:2])


def smoothstep(x: NDArray[Real]) -> NDArray[Real]:
    """0 below 0, 1 above 1, smooth between; keeps the type."""
    t = np.clip(x, 0.0, 1.0)
    smooth: NDArray[Real] = t * t * (3 - 2 * t)
    return smooth


def _thin_plate(points: Points, values: Points, uv: Points, stiffness: float = 2e-3) -> Points:
    """Smoothing thin-plate spline through scattered displacements.

    Args:
        points: (n, 2); values: (m, n, 2); uv: (rows, columns, 2).
    Returns: (m, rows, columns, 2).
    Source: Wahba, "Spline Models for Observational Data" (1990), section 2.4.
    """

    def kernel(a: Points, b: Points) -> Points:
        r2: Points = ((a[:, None] - b[None]) ** 2).sum(-1)
        bent: Points = r2 * np.log(r2 + 1e-12)
        return bent

    n = len(points)
    affine = np.c_[np.ones(n), points]
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(points, points) + stiffness * np.eye(n)
    system[:n, n:], system[n:, :n] = affine, affine.T
    right = np.zeros((n + 3, len(values) * 2))
    right[:n] = values.transpose(1, 0, 2).reshape(n, -1)
    solved = np.linalg.solve(system, right)
    flat = uv.reshape(-1, 2)
    at = np.c_[kernel(flat, points), np.ones(len(flat)), flat] @ solved
    flows: Points = at.reshape(*uv.shape[:2], len(values), 2).transpose(2, 0, 1, 3)
    return flows
