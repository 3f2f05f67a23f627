"""What all of the drawing is made of: places, and pictures looked up there; for several faces at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

_NARROWEST = 1e-6  # between points of a curve: closer ones would divide by nothing


def look_up(picture: Tensor, at: Tensor, how: str, outside: str = "border") -> Tensor:
    """A picture (n, c, h, w) at places (n, H, W, 2), -1 the centre of the first pixel, 1 of the last.

    Args:
        how: "bilinear" or "bicubic" (a = -0.75, as OpenCV's). outside: "border" repeats the edge, "zeros".
    """
    return F.grid_sample(picture, at, how, outside, align_corners=True)


def affine(at: Tensor, rows: Tensor) -> Tensor:
    """(..., h, w, 2) x, y -> (..., h, w, k): rows (n, ..., 3, 1, 1, k) hold what x, y and 1 are multiplied by.

    Not a matrix product: a GPU may round those to ten bits, which is pixels.
    """
    of_x, of_y, ones = rows.unbind(-4)
    return torch.addcmul(torch.addcmul(ones, at[..., 1:2], of_y), at[..., :1], of_x)


def backward(forward: Tensor, cells: Tensor, shares: tuple[float, ...]) -> Tensor:
    """How far back each cell of a grid looks, by fixed-point iteration: b(x) = f(x - b(x)), like `forward`.

    Args:
        forward: (n, 2, rows, columns) how far each cell goes, in [-1, 1] across them.
        cells: (n, rows, columns, 2) where they are. shares: how far each step goes.
    """
    back = forward
    for share in shares:
        there = look_up(forward, cells - back.permute(0, 2, 3, 1), "bilinear")
        back = there if share == 1 else torch.lerp(back, there, share)
    return back


def curve_heights(curves: Tensor, at: Tensor) -> Tensor:
    """y of curves of straight pieces (n, j, k, 2), x ascending, at x (n, 1, 1, entries): (n, j, entries).

    As np.interp: before the first point and after the last one they go on level.
    """
    x, y = curves[..., :1], curves[..., 1:]  # (n, j, k, 1)
    width = (x[:, :, 1:] - x[:, :, :-1]).clamp(min=_NARROWEST)
    slope = (y[:, :, 1:] - y[:, :, :-1]) / width
    climbed = torch.minimum((at - x[:, :, :-1]).clamp(min=0), width)  # of each piece, all or a part or nothing
    return y[:, :, 0] + (slope * climbed).sum(2)


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    t = x.clamp(0, 1)
    return t * t * torch.rsub(t, 3, alpha=2)
