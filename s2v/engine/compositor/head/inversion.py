"""From where things go to where things come from, on a coarse grid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.maps import Map, remap

STEPS = 5  # each takes away three quarters or more of what is missing


def came_from(forward: Map, cells: Map) -> Map:
    """Where each cell of a smooth field came from, by fixed-point iteration: b = x - f(b), (rows, columns, 2) cells.

    Args:
        forward: (rows, columns, 2) how far each cell goes, in cells; changes by less than one from cell to cell.
        cells: (rows, columns, 2) the cells' own places.
    """
    back: NDArray[np.float32] = cells - forward
    for _ in range(STEPS):
        back = cells - remap(forward, back, cv2.INTER_LINEAR)
    return np.asarray(back, np.float32)
