"""How the lower face moves, on a device: the arithmetic of the CPU's `warp.py`, for several faces at once.

Of fixed shapes and without asking the device for a number: so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2v.engine.compositor.face_tables import COARSE_CELLS
from s2v.engine.compositor.torch.drawing.look_up import affine, backward, curve_heights, look_up
from s2v.engine.compositor.torch.tables.warp_tensors import N_LIPS, POINTS, WarpTensors
from s2v.engine.compositor.warp import INVERSION_STEPS, SEAM_SOFTNESS, SEAM_SPREAD
from s2v.engine.face.articulation import CLOSED


class Flows(NamedTuple):
    """How the lower face moves in a frame."""

    back: Tensor  # (n, 4, cells, cells): both layers' x, y in [-1, 1] across the cells, with the sign turned
    seam: Tensor  # (n, 2, 1, entries): of `_seam`


def articulate(face: WarpTensors, weights: Tensor, articulation: Tensor) -> Tensor:
    """What `articulated` of the CPU does. Args: weights: (n, m) motion, a one, corners. articulation: (n, 1)."""
    kept = (weights * face.gap).sum(1, keepdim=True).clamp(max=CLOSED)
    return torch.addcmul(weights, articulation - 1, torch.addcmul(weights * face.scaled, kept, face.closing, value=-1))


def lips(face: WarpTensors, weights: Tensor) -> Tensor:
    """Points of the inner lips in the face plane, (n, POINTS, 2), as `warp_tensors.LIP_POINTS` lists them.

    Args:
        weights: (n, m) of `articulate`.
    """
    return torch.baddbmm(face.points, weights[:, None], face.point_moves).view(-1, POINTS, 2)


def on_photo(face: WarpTensors, points: Tensor) -> Tensor:
    """Points (n, k, 2) of the face plane as photo pixels."""
    return affine(points[:, None], face.to_photo[:, :, None])[:, 0]


def flows(face: WarpTensors, weights: Tensor, points: Tensor) -> Flows:
    """What the lower face's map is made of, whatever the head does. Args: points: of `lips`."""
    n = len(weights)
    forward = torch.bmm(weights[:, None], face.flows).view(2 * n, 2, COARSE_CELLS, COARSE_CELLS)
    cells = face.cells.expand(-1, 2, -1, -1, -1).flatten(0, 1)
    back = backward(forward, cells, INVERSION_STEPS).view(n, 4, COARSE_CELLS, COARSE_CELLS)
    return Flows(back, _seam(face, points[:, : 2 * N_LIPS].view(-1, 2, N_LIPS, 2)))


def bend(face: WarpTensors, bent: Flows, moved: Tensor) -> Tensor:
    """The lower face's map: the photo pixel that each one of it shows.

    Args:
        moved: (n, h, w, 2) the photo pixels that a part of the frame shows before the lower face moves.
    """
    at = affine(moved, face.places)
    place = at[..., :2]
    upper, lower = torch.split(look_up(bent.back, place, "bilinear"), 2, 1)
    seam, beyond = look_up(bent.seam, at[..., 2:4], "bilinear").unbind(1)
    below = (at[..., 4] - seam) / (SEAM_SOFTNESS + SEAM_SPREAD * beyond)
    lowerness = (below + 0.5).clamp(0, 1)[:, None]
    flow = torch.lerp(upper, lower, lowerness).permute(0, 2, 3, 1)
    inside = ((place >= face.first) & (place <= face.last)).all(-1, keepdim=True)
    return torch.addcmul(moved, flow * inside, face.back_px)


def _seam(face: WarpTensors, both: Tensor) -> Tensor:
    """The seam between the layers, and how far beyond the corners of the mouth: (n, 2, 1, entries) over u.

    Args:
        both: (n, 2, N_LIPS, 2) the lips.
    """
    u = face.seam_u  # (n, 1, 1, entries)
    height = curve_heights(both, u)
    upper_x = both[:, 0, :, :1]
    beyond = torch.maximum(upper_x[:, :1] - u[:, 0], u[:, 0] - upper_x[:, -1:]).clamp(min=0)
    return torch.cat([height.mean(1, keepdim=True), beyond], 1)[:, :, None]
