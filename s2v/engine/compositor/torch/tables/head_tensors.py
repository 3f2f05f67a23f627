"""The tables of a face's head on a device, laid out for torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.head.tables import HeadTables
from s2v.engine.compositor.torch.tables.arrays import filled_up, of_one, unit_grid, unit_step
from s2v.engine.compositor.torch.tables.layout import Layout


@dataclass(frozen=True)
class HeadTensors:
    """For `drawing.head`: what each of a pose's coefficients adds to the way of each coarse cell.

    Faces with fewer cells than the layout's are filled up with copies of the last: these are never looked up.
    """

    terms: Tensor  # (n, 11, rows * columns): of `HeadMotion.terms`
    cells: Tensor  # (n, rows, columns, 2): where each cell is, in [-1, 1]
    pixels: Tensor  # (n, h, w, 2): the region's pixels in [-1, 1] of the cells
    to_cells: Tensor  # (n, 2, 1, 1, 2): photo pixels times the first plus the second are in [-1, 1] of the cells
    to_photo: Tensor  # (n, 2, 1, 1, 2): and back


def head_tensors(head: HeadTables | None, layout: Layout) -> HeadTensors:
    """Those of one face, n = 1, in host memory. Args: head: None is held still."""
    if head is None:
        return HeadTensors(*(torch.zeros((1, 2)) for _ in fields(HeadTensors)))
    left, top, right, bottom = layout.region
    region = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    factor = unit_step(layout.cells) / head.cell_px
    first = head.cells[0, 0].astype(np.float64)
    return HeadTensors(
        terms=of_one(filled_up(head.terms, layout.cells).reshape(len(head.terms), -1)),
        cells=of_one(unit_grid(layout.cells)),
        pixels=of_one((region - first) * factor - 1),
        to_cells=of_one(_rows(factor, -first * factor - 1)),
        to_photo=of_one(_rows(1 / factor, first + 1 / factor)),
    )


def _rows(factor: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([factor, shift])[:, None, None]
