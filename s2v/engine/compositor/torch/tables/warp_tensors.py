"""The tables of a face's lower part on a device, laid out for torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import COARSE_CELLS, FaceTables
from s2v.engine.compositor.torch.tables.arrays import filled_up, of_one, unit_grid, unit_step
from s2v.engine.face.geometry import UPPER_INNER_LIP

N_LIPS = len(UPPER_INNER_LIP)  # of one lip; both begin and end in the corners of the mouth
N_LINE = N_LIPS - 1  # straight pieces along the middle of the opening
POINTS = 2 * N_LIPS + 2 * N_LINE

_SEAM_ENTRIES = 512  # of the table of the seam between the lips
_CELLS = (COARSE_CELLS, COARSE_CELLS)


@dataclass(frozen=True)
class WarpTensors:
    """For `drawing.warp`; m is the number of motions, the photo's own rest and the corners of the mouth.

    Of coarse cells there are COARSE_CELLS along each side; a face with fewer is filled up with copies of the last.
    """

    gap: Tensor  # (n, m): of `ArticulationTables`, 0 for rest and corners
    closing: Tensor  # (n, m)
    scaled: Tensor  # (n, m): 1 for motion, 0 for rest and corners, which no articulation scales
    flows: Tensor  # (n, m, 4 * cells * cells): both layers' x and y in [-1, 1] across the cells
    cells: Tensor  # (n, 1, cells, cells, 2): where each cell is, in [-1, 1]
    places: Tensor  # (n, 3, 1, 1, 5): photo pixel (x, y, 1) -> cells x and y, seam table x and 0, v
    first: Tensor  # (n, 1, 1, 2): where the lower face's box begins and ends, in [-1, 1] of the cells: ...
    last: Tensor  # (n, 1, 1, 2): ... nothing moves but what is seen there
    back_px: Tensor  # (n, 1, 1, 2): photo pixels of one unit of flow, negative
    points: Tensor  # (n, 1, 2 * POINTS): what `LIP_POINTS` makes of the inner lips at rest, x y in the face plane
    point_moves: Tensor  # (n, m, 2 * POINTS)
    to_photo: Tensor  # (n, 3, 1, 2): face plane (u, v, 1) -> photo pixel
    seam_u: Tensor  # (n, 1, 1, entries)


def warp_tensors(tables: FaceTables) -> WarpTensors:
    """Those of one face, n = 1, in host memory."""
    warp, articulation = tables.warp, tables.articulation
    per_cell = unit_step(_CELLS)
    flows = np.concatenate([warp.flows, warp.corner_flows[None]])
    lip_moves = np.concatenate([warp.lip_moves, warp.lip_corners[None]])
    m, _, rows, columns, _ = flows.shape
    filled = filled_up(np.ascontiguousarray((per_cell * flows).transpose(0, 1, 4, 2, 3), np.float32), _CELLS)
    to_cells = per_cell[:, None] * warp.photo_to_cells - np.array([[0, 0, 1], [0, 0, 1]])
    u, to_plane = warp.seam_u, tables.photo_to_plane
    to_seam = np.array([[2 / (u[-1] - u[0])], [0]]) * to_plane[:1] - np.array([[0, 0, 2 * u[0] / (u[-1] - u[0]) + 1]])
    places = np.concatenate([to_cells, to_seam[:1], np.zeros((1, 3)), to_plane[1:]])
    plane_to_photo = np.array([[1, 0, tables.box[0]], [0, 1, tables.box[1]], [0, 0, 1]]) @ warp.plane_to_output
    return WarpTensors(
        gap=of_one(np.append(articulation.gap, [0, 0])),
        closing=of_one(np.append(articulation.closing, [0, 0])),
        scaled=of_one(np.append(np.ones(m - 2), [0, 0])),
        flows=of_one(filled.reshape(m, -1)),
        cells=of_one(unit_grid(_CELLS)[None]),
        places=of_one(places.T.reshape(3, 1, 1, 5)),
        first=of_one((-0.5 * per_cell - 1).reshape(1, 1, 2)),
        last=of_one(((np.array([columns, rows]) - 0.5) * per_cell - 1).reshape(1, 1, 2)),
        back_px=of_one((-np.diag(warp.cell_to_photo) / per_cell).reshape(1, 1, 2)),
        points=of_one((LIP_POINTS @ warp.lips).reshape(1, -1)),
        point_moves=of_one((LIP_POINTS @ lip_moves).reshape(m, -1)),
        to_photo=of_one(plane_to_photo[:2].T[:, None]),
        seam_u=of_one(np.linspace(u[0], u[-1], _SEAM_ENTRIES).reshape(1, 1, -1)),
    )


def _lip_points() -> NDArray[np.float64]:
    """(POINTS, 2 * N_LIPS) from the inner lips, upper then lower, to: themselves, where the line's straight pieces
    begin, where they end."""
    upper, lower = np.split(np.eye(2 * N_LIPS), 2)
    middle = (upper + lower) / 2
    return np.concatenate([upper, lower, middle[:-1], middle[1:]])


LIP_POINTS = _lip_points()
