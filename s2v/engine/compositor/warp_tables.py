"""What moving one face's mouth needs and no frame changes: computed once per face, only read afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.layer_flows import layer_flows
from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP, FacePlane, Points, Pose
from s2v.engine.face.maps import Map

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
    lip_corners: Points  # (22, 2) how the corners of the mouth do that go up and out by a face unit
    flows: NDArray[np.float32]  # (m, 2, rows, columns, 2): of upper and lower layer, x y, in coarse cells
    corner_flows: NDArray[np.float32]  # (2, rows, columns, 2) of `FacePose.corners`: one more row of `flows`
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
    corners: Points,
    grid: Points,
    size: tuple[int, int],
    step: float,
) -> WarpTables:
    """Those of one face.

    Args:
        canonical: (468, 3) the photo's landmarks in face units.
        pose: the photo's head pose.
        plane: the flat plane that photo pixels are taken to lie on.
        displacement: (m, 468, 3) in face units. corners: (468, 3), of `corners_displacement`.
        grid: (2, 3) affine map from output pixel (column, row) to photo pixel.
        size: (width, height) of the output in pixels.
        step: output pixels per cell of the coarse grid that flows are computed on.
    """
    to_plane = np.linalg.inv(plane.matrix[:, :2])
    at = plane.to_plane(pose.to_photo(canonical)[:, :2])
    moves = pose.turn(np.concatenate([displacement, corners[None]]))[..., :2] @ to_plane.T
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP]

    width, height = size
    coarse_w, coarse_h = (max(8, round(n / step)) for n in size)
    # Centres of coarse cells, as cv2.resize lays them.
    columns = (np.arange(coarse_w) + 0.5) * width / coarse_w - 0.5
    rows = (np.arange(coarse_h) + 0.5) * height / coarse_h - 0.5
    cells = np.stack(np.meshgrid(columns, rows), axis=-1)
    uv = plane.to_plane(cells @ grid[:, :2].T + grid[:, 2])
    cell_px = np.array([width / coarse_w, height / coarse_h])
    uv_to_cells = np.linalg.inv(to_plane @ grid[:, :2]) / cell_px[:, None]
    to_cells = np.c_[np.diag(1 / cell_px), 0.5 / cell_px - 0.5]
    whole_plane, whole_grid = (np.vstack([affine, [0, 0, 1]]) for affine in (plane.matrix, grid))
    plane_to_output = np.linalg.inv(whole_grid) @ whole_plane
    plane_to_cells = to_cells @ plane_to_output
    layers = layer_flows(at, moves, uv, at @ plane_to_cells[:, :2].T + plane_to_cells[:, 2])

    flows = np.ascontiguousarray(layers @ uv_to_cells.T, np.float32)

    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    photo = pixels @ grid[:, :2].T + grid[:, 2]
    full = plane.to_plane(photo).astype(np.float32)
    seam_u = np.linspace(full[..., 0].min(), full[..., 0].max(), _SEAM_ENTRIES)
    u_per_entry = float(seam_u[1] - seam_u[0])
    to_seam = np.array([[1 / u_per_entry, 0, 0.5 - seam_u[0] / u_per_entry], [0, 1, 0]])
    return WarpTables(
        size=size,
        lips=at[lips],
        lip_moves=np.ascontiguousarray(moves[:-1, lips]),
        lip_corners=moves[-1, lips],
        flows=flows[:-1],
        corner_flows=flows[-1],
        cell_to_photo=(grid[:, :2] * cell_px).astype(np.float32),
        output_to_photo=photo.astype(np.float32),
        seam_u=seam_u,
        seam_entry=np.searchsorted(seam_u, full[..., 0]),
        v=full[..., 1],
        photo_to_seam=to_seam @ np.linalg.inv(whole_plane),
        photo_to_cells=to_cells @ np.linalg.inv(whole_grid),
        plane_to_output=plane_to_output,
    )
