"""From where things go to where things come from, on a coarse grid."""

from __future__ import annotations

from s2v.engine.face.maps import Map, backward

STEPS = 5  # each takes away three quarters or more of what is missing


def came_from(forward: Map, cells: Map) -> Map:
    """Where each cell of a smooth field came from, by fixed-point iteration: (rows, columns, 2) cells.

    Args:
        forward: (rows, columns, 2) how far each cell goes, in cells; changes by less than one from cell to cell.
        cells: (rows, columns, 2) the cells' own places.
    """
    return cells - backward(forward, cells, (1.0,) * STEPS)
