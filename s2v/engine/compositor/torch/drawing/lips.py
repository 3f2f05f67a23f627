"""The opening between the lips and the line where they meet, on a device: the arithmetic of the CPU's `lips.py` and
`mouth/opening.py`.

The opening is what lies between two curves over the way from corner to corner, the line is drawn by distance, blurs are
matrix products, and whether lips are closed is a factor instead of a branch: fixed shapes throughout, so it can be
recorded as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2v.engine.compositor.mouth.opening import (
    BRIGHTEST,
    DARKEST,
    DARKEST_IN_SLIT,
    FADED,
    FROM_ABOVE,
    FULLY_LIT,
    INNER_FROM,
    INNER_MOST,
    INNER_OVER,
    SHADOW,
)
from s2v.engine.compositor.mouth.tongue import BETWEEN_FROM, BETWEEN_OVER
from s2v.engine.compositor.torch.drawing.look_up import curve_heights, look_up, smoothstep
from s2v.engine.compositor.torch.tables.layout import Layout
from s2v.engine.compositor.torch.tables.mouth_tensors import MouthTensors
from s2v.engine.compositor.torch.tables.warp_tensors import N_LINE, N_LIPS


class Lips(NamedTuple):
    """Where the inner lips of n faces are, in pixels of the window."""

    corner: Tensor  # (n, 1, 2): the left one of the mouth
    across: Tensor  # (n, 1, 2): the way to the right one, length 1; a quarter turn on is down
    width_px: Tensor  # (n, 1, 1)
    gap_px: Tensor  # (n, 1, 1): how far they are apart where they are furthest, negative where they overlap
    share: Tensor  # (n, 1, 1): 0 for closed lips, 1 for open ones


class LipOpening(NamedTuple):
    """The opening between the lips in the mouth's window, (n, h, w) each in [0, 1]."""

    cover: Tensor  # how far what is inside covers the photo; nothing where lips are closed
    light: Tensor  # what falls on it
    lower_lip: Tensor  # how far the wet inner side of the lower lip hides what is inside
    line: Tensor | None  # cover of the line where closed lips meet; nothing where lips are open


def opening(face: MouthTensors, points: Tensor, tract: Tensor, layout: Layout) -> LipOpening:
    """Where the lips are open, how bright it is there, and the line where they meet.

    Args:
        points: (n, POINTS, 2) photo pixels: of `warp.lips`, where the head has carried them.
        tract: (n, 5) of `TRACT_VARIABLES`.
    """
    at = points - face.corner_px
    both = at[:, : 2 * N_LIPS].view(-1, 2, N_LIPS, 2)
    lips = _lips(face, both)
    gate = face.edge_left @ _open_share(face, lips, both) @ face.edge_right
    surroundings = face.far_left @ gate @ face.far_right
    cover = gate * (surroundings / FADED).clamp(max=1) * lips.share
    line = None
    if layout.lip_line:
        begins, ends = torch.split(at[:, 2 * N_LIPS :], N_LINE, 1)
        pen = (face.line_half_px + 0.5 - _distance_px(face, begins, ends)).clamp(0, 1)
        line = (face.line_left @ pen @ face.line_right) * (1 - lips.share)
    more_above = _above(face, lips, surroundings) - surroundings
    # A tongue between the teeth lies on the lower lip.
    bare = 1 - smoothstep((tract[:, 4, None, None] - BETWEEN_FROM) / BETWEEN_OVER)
    lower_lip = ((more_above - INNER_FROM) / INNER_OVER).clamp(0, INNER_MOST) * bare
    return LipOpening(cover, _light(face, lips, surroundings, more_above), lower_lip, line)


def draw_line(part: Tensor, line: Tensor, face: MouthTensors) -> None:
    """Draw it into a picture of the mouth (n, 3, h, w), with HALF, in place. Args: line: of `opening`."""
    # It darkens; where the photo is darker already, it stays.
    part.addcmul_(line[:, None], (face.line_colour - part).clamp(max=0))


def _lips(face: MouthTensors, both: Tensor) -> Lips:
    """Args: both: (n, 2, N_LIPS, 2) upper and lower, left to right."""
    upper, lower = both.unbind(1)
    way = upper[:, -1:] - upper[:, :1]
    width_px = torch.linalg.vector_norm(way, dim=-1, keepdim=True)
    across = way / (width_px + 1e-9)
    _, down = _turned((lower - upper)[:, 1:-1], across)
    gap_px = down.amax(1, keepdim=True)
    return Lips(upper[:, :1], across, width_px, gap_px, (gap_px / face.gap_px).clamp(0, 1))


def _open_share(face: MouthTensors, lips: Lips, both: Tensor) -> Tensor:
    """Share of each pixel of the window between the lips, widened, (n, h, w): also where they overlap, as polygons are
    filled."""
    corner, across = lips.corner[:, None], lips.across[:, None]
    curves = torch.cat(_turned(both - corner, across), -1) + face.widening
    wide_px = lips.width_px + 2 * face.margin_px
    table = curve_heights(curves, (face.entries * wide_px[:, None] - face.margin_px[:, None]))
    x, y = corner.split(1, -1)  # (n, 1, 1, 1)
    dx, dy = across.split(1, -1)
    from_x, from_y = face.columns - x, face.rows - y
    along = torch.addcmul(from_x * dx, from_y, dy)[:, 0]
    down = torch.addcmul(from_y * dx, from_x, dy, value=-1)  # (n, 1, h, w)
    entry = 2 * (along + face.margin_px) / wide_px - 1
    edges = look_up(table[:, :, None], entry[..., None].expand(-1, -1, -1, 2), "bilinear")
    below_upper, below_lower = (0.5 + down - edges).clamp(0, 1).unbind(1)
    return (below_upper - below_lower).abs()


def _above(face: MouthTensors, lips: Lips, surroundings: Tensor) -> Tensor:
    """The open share above each pixel, (n, h, w). Args: surroundings: that around it."""
    x, y = lips.across[:, None].split(1, -1)
    return look_up(surroundings[:, None], face.places - face.shadow * torch.cat([-y, x], -1), "bilinear", "zeros")[:, 0]


def _light(face: MouthTensors, lips: Lips, surroundings: Tensor, more_above: Tensor) -> Tensor:
    """(n, h, w), of `light_through`. Args: surroundings: open share around each pixel; more_above: above, that less."""
    darkest = DARKEST_IN_SLIT + (DARKEST - DARKEST_IN_SLIT) * (lips.gap_px / face.wide_px).clamp(0, 1)
    around = torch.add(surroundings, more_above, alpha=FROM_ABOVE)
    light = torch.lerp(darkest, torch.ones_like(darkest), (around / FULLY_LIT).clamp(max=1))
    above = surroundings + more_above
    return light * (BRIGHTEST * (1 - SHADOW) + BRIGHTEST * SHADOW * (above / FULLY_LIT).clamp(max=1))


def _turned(points: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """How far points (..., 2) are along a direction of length 1, and how far down from it, (..., 1) each."""
    x, y = points.split(1, -1)
    dx, dy = across.split(1, -1)
    return torch.addcmul(x * dx, y, dy), torch.addcmul(y * dx, x, dy, value=-1)


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
