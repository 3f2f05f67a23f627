"""The head's motion on a device: the arithmetic of the CPU's `head/drawing.py`, for several faces at once.

The coarse field is made and inverted here, of the eleven coefficients of a pose: nothing but these goes up for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.compositor.head.inversion import STEPS
from s2v.engine.compositor.torch.drawing.look_up import backward, look_up
from s2v.engine.compositor.torch.tables.head_tensors import HeadTensors
from s2v.engine.compositor.torch.tables.layout import Layout


def forward_field(face: HeadTensors, coefficients: Tensor, layout: Layout) -> Tensor:
    """How far each coarse cell goes, (n, 2, rows, columns) in [-1, 1] across them. Args: coefficients: (n, 2, 11)."""
    columns, rows = layout.cells
    return torch.bmm(coefficients, face.terms).view(-1, 2, rows, columns)


def head_map(face: HeadTensors, forward: Tensor) -> Tensor:
    """The photo pixel that each pixel of the region shows when only the head moves, (n, h, w, 2).

    Args:
        forward: of `forward_field`.
    """
    back = backward(forward, face.cells, (1.0,) * STEPS)
    factor, shift = face.to_photo.unbind(1)
    at = face.pixels - look_up(back, face.pixels, "bilinear").permute(0, 2, 3, 1)
    return torch.addcmul(shift, at, factor)


def carry(face: HeadTensors, forward: Tensor, points: Tensor) -> Tensor:
    """Where points of the photo (n, k, 2) go, pixels. Args: forward: of `forward_field`."""
    factor, shift = face.to_cells.unbind(1)
    at = torch.addcmul(shift, points[:, None], factor)  # (n, 1, k, 2)
    way = look_up(forward, at, "bilinear").permute(0, 2, 3, 1)
    return torch.addcdiv(points, way[:, 0], factor[:, 0])
