"""The line where closed lips meet, on a device: the arithmetic of the CPU's `lips.py`.

It is drawn by distance instead of by scan lines, its blur is a matrix product, and whether lips are closed is a factor
instead of a branch: fixed shapes throughout, so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.compositor.torch.mouth_tensors import N_LINE, N_LIPS, MouthTensors


def lip_line(face: MouthTensors, points: Tensor, to_window: Tensor) -> Tensor:
    """How far the line covers each pixel of the mouth's window, (n, h, w) in [0, 1]; nothing where lips are open.

    Args:
        points: of `warp.lips`. to_window: (n, 2, 3) from the face plane to pixels of the window.
    """
    of_x, of_y, ones = to_window[:, None].unbind(-1)
    at = torch.addcmul(torch.addcmul(ones, points[..., 1:], of_y), points[..., :1], of_x)
    apart = _apart(at[:, :N_LIPS], at[:, N_LIPS : 2 * N_LIPS], face.gap_px)  # (n, 1, 1)
    begins, ends = torch.split(at[:, 2 * N_LIPS :], N_LINE, 1)
    pen = (face.line_half_px + 0.5 - _distance_px(face, begins, ends)).clamp(0, 1)
    return (face.line_left @ pen @ face.line_right) * (1 - apart)


def draw_line(part: Tensor, line: Tensor, face: MouthTensors) -> None:
    """Draw it into a picture of the mouth (n, 3, h, w), with HALF, in place. Args: line: of `lip_line`."""
    # It darkens; where the photo is darker already, it stays.
    part.addcmul_(line[:, None], (face.line_colour - part).clamp(max=0))


def _apart(upper: Tensor, lower: Tensor, gap_px: Tensor) -> Tensor:
    """0 for lips that touch or overlap, 1 for open ones, (n, 1, 1), however the head is rolled."""
    across = upper[:, -1:] - upper[:, :1]
    x, y = across.unbind(-1)
    gap_x, gap_y = (lower - upper)[:, 1:-1].unbind(-1)
    widest = torch.addcmul(gap_y * x, gap_x, y, value=-1).amax(1, keepdim=True)
    length = torch.linalg.vector_norm(across, dim=-1) + 1e-9
    apart: Tensor = (widest / (length * gap_px)).clamp(0, 1)
    return apart[..., None]


def _distance_px(face: MouthTensors, begins: Tensor, ends: Tensor) -> Tensor:
    """From each pixel of the window to the nearest of k straight pieces (n, k, 2), (n, h, w)."""
    ahead = ends - begins
    length = torch.linalg.vector_norm(ahead, dim=-1, keepdim=True).clamp(min=1e-6)
    x, y = _split(begins)
    dx, dy = _split(ahead / length)
    from_x, from_y = face.columns - x, face.rows - y  # (n, k, 1, w), (n, k, h, 1)
    along = torch.addcmul(from_x * dx, from_y, dy)
    across = torch.addcmul(from_x * dy, from_y, dx, value=-1)
    past = along - torch.minimum(along.clamp(min=0), length[..., None])
    return torch.hypot(past, across).amin(1)


def _split(points: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of points (n, k, 2), (n, k, 1, 1) each."""
    x, y = points[..., None, None].unbind(2)
    return x, y
