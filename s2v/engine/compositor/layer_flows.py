"""Landmark displacements -> two smooth flows over the lower face, one for the upper lip with what is above it, one for
the lower lip with what is below it.

On the lips and in the corners of the mouth the flows are what the landmarks ask, as read from the grid that holds
them; elsewhere they are smoothed. They fade to nothing towards the eyes and the edge of the face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import (
    FACE_OVAL,
    LIP_CORNERS,
    LOWER_INNER_LIP,
    OUTER_LIPS,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.thin_plate import bent_plate, smoothing_plate

# Where the canonical face's lips meet and end, in face units: decides which layer a point joins.
_LIP_LINE_Y = 0.78
_LIP_HALF_WIDTH = 0.25
_EYE_LINE_Y = 0.22  # nothing above moves
_RING = 1.35  # times the oval of the face: there the neck and the background stay put
_STIFFNESS = 2e-3  # of the plates; landmarks that disagree with their neighbours would fold one without any
_RIDGE = 3e-4  # of the lips' own equations; with less, skin beside a narrow mouth folds


def layer_flows(at: Points, moves: Points, uv: Points, cells: Points) -> Points:
    """Both layers' flow at the cells of a grid: (m, 2, rows, columns, 2) face units, upper layer first.

    Args:
        at: (468, 2) landmarks in the face plane.
        moves: (m, 468, 2) their displacements.
        uv: (rows, columns, 2) the cells in the face plane.
        cells: (468, 2) the landmarks in cells.
    Source: after "twicing" (Tukey, "Exploratory Data Analysis", 1977): what smoothing left over is smoothed once more.
    """
    ring = at[list(FACE_OVAL)]
    middle = (ring.min(0) + ring.max(0)) / 2
    ring = middle + _RING * (ring - middle)
    fade = _fade(ring, uv)
    points = np.concatenate([at, ring])
    n = len(points)
    asked = np.zeros((n, 2 * len(moves)))
    asked[: len(at)] = moves.transpose(1, 0, 2).reshape(len(at), -1)
    # What a plate that is held at the points does to each cell; a landmark that a layer is without has no weight in it.
    bent = np.zeros((fade.size, n + 3))
    moving = np.flatnonzero(fade)
    bent[moving] = fade.reshape(-1, 1)[moving] * bent_plate(uv.reshape(-1, 2)[moving], points)
    on_grid = ((cells >= 0) & (cells <= np.array(fade.shape[::-1]) - 1)).all(1)
    weights = np.zeros((2, n + 3, asked.shape[1]))
    for weight, absent in zip(weights, _absent(), strict=True):
        kept = np.flatnonzero(~np.append(absent, np.zeros(n - len(at), bool)))
        used = np.append(kept, [n, n + 1, n + 2])
        plate = smoothing_plate(points[kept], _STIFFNESS)
        lips = np.flatnonzero(_of_the_lips() & ~absent & on_grid)
        answers = _read(bent, cells[lips], fade.shape[1])[:, used] @ plate  # of the grid at the lips to each landmark
        wanted, there = asked[kept], np.searchsorted(kept, lips)
        # The lips are asked for as much more as the plate and the grid keep back of them.
        missing, own = asked[lips] - answers @ wanted, answers[:, there]
        wanted[there] += own.T @ np.linalg.solve(own @ own.T + _RIDGE * np.eye(len(lips)), missing)
        weight[used] = plate @ wanted
    flows: Points = (bent @ weights).reshape(2, *fade.shape, len(moves), 2).transpose(3, 0, 1, 2, 4)
    return flows


def _absent() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(468,) which landmarks the upper layer does without, and which the lower one; the corners belong to both."""
    face = canonical_face()
    inside = np.abs(face[:, 0]) < _LIP_HALF_WIDTH
    is_lower = inside & (face[:, 1] > _LIP_LINE_Y) & (face[:, 1] < 2.0)
    is_upper = inside & (face[:, 1] <= _LIP_LINE_Y) & (face[:, 1] > 0.3)
    for lips, flag in ((UPPER_INNER_LIP, True), (LOWER_INNER_LIP, False)):
        is_upper[list(lips[1:-1])] = flag
        is_lower[list(lips[1:-1])] = not flag
    is_upper[list(LIP_CORNERS)] = is_lower[list(LIP_CORNERS)] = False
    return is_lower, is_upper


def _of_the_lips() -> NDArray[np.bool_]:
    lips = np.zeros(len(canonical_face()), bool)
    lips[[*UPPER_INNER_LIP, *LOWER_INNER_LIP, *OUTER_LIPS, *LIP_CORNERS]] = True
    return lips


def _fade(ring: Points, uv: Points) -> Points:
    """1 on the lower face, smoothly 0 at the eyes and at the ring around the face, (rows, columns)."""
    flat, outline = uv.reshape(-1, 2), ring.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(outline, (float(u), float(v)), True) for u, v in flat])
    edge = smoothstep(inside / 0.15)
    return (edge * smoothstep((flat[:, 1] - _EYE_LINE_Y) / 0.25)).reshape(uv.shape[:2])


def _read(grid: Points, cells: Points, columns: int) -> Points:
    """A grid (rows * columns, k) as it is looked up, bilinearly, at places (n, 2) on it: (n, k)."""
    corner = np.minimum(cells.astype(int), [columns - 2, len(grid) // columns - 2])
    (right, down), first = (cells - corner).T[..., None], corner[:, 1] * columns + corner[:, 0]
    above = (1 - right) * grid[first] + right * grid[first + 1]
    below = (1 - right) * grid[first + columns] + right * grid[first + columns + 1]
    found: Points = (1 - down) * above + down * below
    return found
