"""Where each pixel of a frame comes from, on a device: the head's map, and the lower face bent within it.

The same arithmetic as the CPU's `head.py` and `warp.py`, for several faces at once, of fixed shapes and without
asking the device for a number: so it can be recorded as a CUDA graph. Maps are (n, h, w, 2) photo pixels x, y.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from s2v.engine.compositor.face_tables import COARSE_CELLS
from s2v.engine.compositor.torch.face_tensors import HeadTensors, WarpTensors
from s2v.engine.compositor.torch.layout import Layout
from s2v.engine.compositor.torch.mouth_tensors import N_LIPS, POINTS
from s2v.engine.compositor.warp import INVERSION_STEPS, SEAM_SOFTNESS, SEAM_SPREAD
from s2v.engine.face.articulation import CLOSED

_NARROWEST = 1e-6  # between points of a curve: closer ones would divide by nothing


class Flows(NamedTuple):
    """How the lower face moves in a frame."""

    back: Tensor  # (n, 4, cells, cells): of `_inverted`
    seam: Tensor  # (n, 2, 1, entries): of `_seam`


def head_map(face: HeadTensors, weights: Tensor, layout: Layout) -> Tensor:
    """The photo pixel that each pixel of the region shows when only the head moves.

    Args:
        weights: (n, 4) shift x, shift y, roll, breath, as of a `FacePose`.
    """
    coarse = torch.baddbmm(face.at_rest, weights[:, None], face.fields)
    cell_px, (width, height) = layout.cell_px, layout.frame
    columns, rows = (-(-n // cell_px) + 2 for n in (width, height))
    size = [rows * cell_px, columns * cell_px]
    dense = F.interpolate(coarse.view(-1, 2, rows, columns), size, mode="bilinear", align_corners=False)
    left, top, right, bottom = (n + cell_px for n in layout.region)
    return dense[:, :, top:bottom, left:right].permute(0, 2, 3, 1)


def articulate(face: WarpTensors, weights: Tensor, articulation: Tensor) -> Tensor:
    """What `articulated` of the CPU does. Args: weights: (n, m) motion and a one. articulation: (n, 1)."""
    kept = (weights * face.gap).sum(1, keepdim=True).clamp(max=CLOSED)
    return torch.addcmul(weights, articulation - 1, torch.addcmul(weights * face.scaled, kept, face.closing, value=-1))


def lips(face: WarpTensors, weights: Tensor) -> Tensor:
    """Points of the inner lips in the face plane, (n, POINTS, 2), as `mouth_tensors.LIP_POINTS` lists them.

    Args:
        weights: (n, m) motion coefficients and a one.
    """
    return torch.baddbmm(face.points, weights[:, None], face.point_moves).view(-1, POINTS, 2)


def flows(face: WarpTensors, weights: Tensor, points: Tensor) -> Flows:
    """What the lower face's map is made of, whatever the head does. Args: points: of `lips`."""
    return Flows(_inverted(face, weights), _seam(face, points[:, : 2 * N_LIPS].view(-1, 2, N_LIPS, 2)))


def bend(face: WarpTensors, bent: Flows, moved: Tensor) -> Tensor:
    """The lower face's map: the photo pixel that each one of it shows.

    Args:
        moved: (n, h, w, 2) where each pixel of the face's box looks before the lower face moves.
    """
    at = affine(moved, face.places)
    upper, lower = torch.split(look_up(bent.back, at[..., :2], "bilinear"), 2, 1)
    seam, beyond = look_up(bent.seam, at[..., 2:4], "bilinear").unbind(1)
    below = (at[..., 4] - seam) / (SEAM_SOFTNESS + SEAM_SPREAD * beyond)
    lowerness = (below + 0.5).clamp(0, 1)[:, None]
    flow = torch.lerp(upper, lower, lowerness).permute(0, 2, 3, 1)
    return torch.addcmul(moved, flow, face.back_px)


def _inverted(face: WarpTensors, weights: Tensor) -> Tensor:
    """Backward flows with the sign turned, (n, 4, cells, cells): both layers' x, y in [-1, 1] across the cells.

    By fixed-point iteration: b(x) = f(x - b(x)), as `s2v.engine.compositor.warp` does it.
    """
    n = len(weights)
    forward = torch.bmm(weights[:, None], face.flows).view(2 * n, 2, COARSE_CELLS, COARSE_CELLS)
    back = forward
    for share in INVERSION_STEPS:
        there = face.cells - back.view(n, 2, 2, COARSE_CELLS, COARSE_CELLS).permute(0, 1, 3, 4, 2)
        back = torch.lerp(back, look_up(forward, there.flatten(0, 1), "bilinear"), share)
    return back.view(n, 4, COARSE_CELLS, COARSE_CELLS)


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


def curve_heights(curves: Tensor, at: Tensor) -> Tensor:
    """y of curves of straight pieces (n, j, k, 2), x ascending, at x (n, 1, 1, entries): (n, j, entries).

    As np.interp: before the first point and after the last one they go on level.
    """
    x, y = curves[..., :1], curves[..., 1:]  # (n, j, k, 1)
    width = (x[:, :, 1:] - x[:, :, :-1]).clamp(min=_NARROWEST)
    slope = (y[:, :, 1:] - y[:, :, :-1]) / width
    climbed = torch.minimum((at - x[:, :, :-1]).clamp(min=0), width)  # of each piece, all or a part or nothing
    return y[:, :, 0] + (slope * climbed).sum(2)


def affine(at: Tensor, rows: Tensor) -> Tensor:
    """(..., h, w, 2) x, y -> (..., h, w, k): rows (n, ..., 3, 1, 1, k) hold what x, y and 1 are multiplied by.

    Not a matrix product: a GPU may round those to ten bits, which is pixels.
    """
    of_x, of_y, ones = rows.unbind(-4)
    return torch.addcmul(torch.addcmul(ones, at[..., 1:2], of_y), at[..., :1], of_x)


def look_up(picture: Tensor, at: Tensor, how: str, outside: str = "border") -> Tensor:
    """A picture (n, c, h, w) at places (n, H, W, 2), -1 the centre of the first pixel, 1 of the last.

    Args:
        how: "bilinear" or "bicubic" (a = -0.75, as OpenCV's). outside: "border" repeats the edge, "zeros".
    """
    return F.grid_sample(picture, at, how, outside, align_corners=True)


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    t = x.clamp(0, 1)
    return t * t * torch.rsub(t, 3, alpha=2)
