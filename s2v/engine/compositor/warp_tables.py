"""What moving one face's mouth needs and no frame changes: computed once per face, only read afterwards.

Landmark displacements become two smooth flows over the lower face, one for the upper lip with what is above it, one for
the lower lip with what is below it; they fade to nothing towards the eyes and the edge of the face.
"""

from __future__ import annotations

from dataclasses import dataclass

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
from s2v.engine.face.maps import Map, smoothstep

# Where the canonical face's lips meet and end, in face units: decides which layer a point joins.
_LIP_LINE_Y = 0.78
_LIP_HALF_WIDTH = 0.25
_EYE_LINE_Y = 0.22  # nothing above moves
_SEAM_ENTRIES = 512


@dataclass(frozen=True)
class WarpTables:
    """One face on one regular grid of output pixels; m ways to move, weighed by each frame.

    The seam between the layers is a function of u, the place across the face plane: a table of it, and for each output
    pixel its place in the table.
    """

    size: tuple[int, int]  # width, height of the output
    lips: Points  # (22, 2) inner lips in the face plane, upper then lower, each left to right
    lip_moves: Points  # (m, 22, 2) how each way moves them
    flows: NDArray[np.float32]  # (m, 2, rows, columns, 2): of upper and lower layer, x y, in coarse cells
    cell_rows: NDArray[np.int_]  # (rows,) the output pixel in the middle of each coarse cell
    cell_columns: NDArray[np.int_]  # (columns,)
    cell_to_photo: NDArray[np.float32]  # (2, 2) from a step of one cell to a step in photo pixels
    output_to_photo: Map  # (h, w, 2) the photo pixel under each output pixel at rest
    seam_u: Points  # (entries,) ascending
    seam_entry: NDArray[np.intp]  # (h, w) place of each output pixel in `seam_u`
    v: NDArray[np.float32]  # (h, w) how far down the face plane each output pixel is
    photo_to_seam: Points  # (2, 3) from a photo pixel to (place in `seam_u`, v)
    photo_to_cells: Points  # (2, 3) from a photo pixel to coarse cells
    plane_to_output: Points  # (3, 3) from the face plane to output pixels


def warp_tables(
    canonical: Points,
    pose: Pose,
    plane: FacePlane,
    displacement: Points,
    grid: Points,
    size: tuple[int, int],
    step: float,
) -> WarpTables:
    """Those of one face.

    Args:
        canonical: (468, 3) the photo's landmarks in face units.
        pose: the photo's head pose.
        plane: the flat plane that photo pixels are taken to lie on.
        displacement: (m, 468, 3) in face units.
        grid: (2, 3) affine map from output pixel (column, row) to photo pixel.
        size: (width, height) of the output in pixels.
        step: output pixels per cell of the coarse grid that flows are computed on.
    """
    to_plane = np.linalg.inv(plane.matrix[:, :2])
    at = plane.to_plane(pose.to_photo(canonical)[:, :2])
    moves = pose.turn(displacement)[..., :2] @ to_plane.T
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP]

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

    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    photo = pixels @ grid[:, :2].T + grid[:, 2]
    full = plane.to_plane(photo).astype(np.float32)
    seam_u = np.linspace(full[..., 0].min(), full[..., 0].max(), _SEAM_ENTRIES)
    u_per_entry = float(seam_u[1] - seam_u[0])
    to_seam = np.array([[1 / u_per_entry, 0, 0.5 - seam_u[0] / u_per_entry], [0, 1, 0]])
    to_cells = np.c_[np.diag(1 / cell_px), 0.5 / cell_px - 0.5]
    whole_plane, whole_grid = (np.vstack([affine, [0, 0, 1]]) for affine in (plane.matrix, grid))
    return WarpTables(
        size=size,
        lips=at[lips],
        lip_moves=np.ascontiguousarray(moves[:, lips]),
        flows=np.ascontiguousarray((layers * fade) @ uv_to_cells.T, np.float32),
        cell_rows=rows.round().astype(int),
        cell_columns=columns.round().astype(int),
        cell_to_photo=(grid[:, :2] * cell_px).astype(np.float32),
        output_to_photo=photo.astype(np.float32),
        seam_u=seam_u,
        seam_entry=np.searchsorted(seam_u, full[..., 0]),
        v=full[..., 1],
        photo_to_seam=to_seam @ np.linalg.inv(whole_plane),
        photo_to_cells=to_cells @ np.linalg.inv(whole_grid),
        plane_to_output=np.linalg.inv(whole_grid) @ whole_plane,
    )


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
