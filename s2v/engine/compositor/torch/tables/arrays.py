"""Arrays as tensors in host memory, as the tables of a face hold them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HALF = 0.5  # of a level more is in all colours, so that cutting off what follows the point rounds them

Array = NDArray[np.floating] | NDArray[np.uint8] | NDArray[np.int_]


def as_float(values: Array) -> Tensor:
    """As float32, a copy."""
    return torch.from_numpy(np.array(values, np.float32))


def of_one(values: Array) -> Tensor:
    """As float32, with an axis of one face in front."""
    return as_float(values)[None]


def filled_up(grids: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Grids (..., rows, columns) with copies of their last row and column up to `size`, columns and rows."""
    more = [(0, size[1] - grids.shape[-2]), (0, size[0] - grids.shape[-1])]
    return np.pad(grids, [(0, 0)] * (grids.ndim - 2) + more, mode="edge")


def unit_step(size: tuple[int, int]) -> NDArray[np.float64]:
    """(2,) x, y: of [-1, 1], for each of so many columns and rows."""
    return 2 / np.maximum(np.subtract(size, 1), 1)


def unit_grid(size: tuple[int, int]) -> NDArray[np.float64]:
    """(rows, columns, 2): where each cell of so many columns and rows is, x y in [-1, 1]."""
    return np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size)), -1)
