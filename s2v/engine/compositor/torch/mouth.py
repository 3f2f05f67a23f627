"""The mouth between the lips, on a device: the arithmetic of the CPU's `lips.py` and `mouth/own_teeth.py`.

Outlines are drawn by distance instead of by scan lines, blurs are matrix products, and whether lips are closed is a
factor instead of a branch: fixed shapes throughout, so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2v.engine.compositor.lips import DARKEST
from s2v.engine.compositor.torch.layout import Layout
from s2v.engine.compositor.torch.mouth_tensors import N_LINE, N_LIPS, N_OUTLINE, MouthTensors
from s2v.engine.compositor.torch.warp import look_up

_FAR_PX = 1e9
_NO_LIGHT = 1e-3 / 255


Paint = tuple[Tensor, Tensor]  # colours (n, 3, h, w) and alpha (n, 1, h, w)


class Opening(NamedTuple):
    """The opening between the lips in the mouth's window, (n, h, w) each."""

    gate: Tensor  # share of each pixel that is open
    light: Tensor  # what falls there, 0 to 255
    line: Tensor | None  # cover of the line where closed lips meet


def opening(face: MouthTensors, points: Tensor, to_window: Tensor, layout: Layout) -> Opening:
    """Where the lips are open.

    Args:
        points: of `warp.lips`. to_window: (n, 2, 3) from the face plane to pixels of the window.
    """
    of_x, of_y, ones = to_window[:, None].unbind(-1)
    at = torch.addcmul(torch.addcmul(ones, points[..., 1:], of_y), points[..., :1], of_x)
    n_pieces = N_OUTLINE + N_LINE
    apart = _apart(at[:, :N_LIPS], at[:, N_LIPS : 2 * N_LIPS], face.gap_px)  # (n, 1, 1)
    begins, ends = torch.split(at[:, 2 * N_LIPS :], n_pieces, 1)
    if not layout.lip_line:
        begins, ends = begins[:, :N_OUTLINE], ends[:, :N_OUTLINE]
    distance_px, odd = _distances(face, begins, ends)
    # A pen along the outline, or inside of it.
    pen = torch.maximum(_pen(distance_px[:, :N_OUTLINE].amin(1), face.gate_half_px), odd)
    gate = _blurred(pen, face.gate_left, face.gate_right) * apart
    line = None
    if layout.lip_line:
        pen = _pen(distance_px[:, N_OUTLINE:].amin(1), face.line_half_px)
        line = _blurred(pen, face.line_left, face.line_right) * (1 - apart)
    light = _blurred(gate, face.light_left, face.light_right).clamp(0, 255 * (1 - DARKEST)) + 255 * DARKEST
    return Opening(gate, light, line)


def paint_colours(face: MouthTensors, patch: Tensor, places: Tensor, layout: Layout) -> Paint:
    """What is between the lips, in full light: (n, 3, h, w) and (n, 1, h, w) alpha, both in [0, 1].

    Args:
        patch: (n, 4, h, w) of the network.
        places: (n, 4, 3) from pixels of the window to the patch, [-1, 1], then to where the head came from.
    """
    if layout.soft_patch:
        patch = _blurred(patch, face.patch_left, face.patch_right)
    own_teeth_move = layout.teeth and layout.idle
    grid = _grid(face, places if own_teeth_move else places[:, :2])
    seen = look_up(patch, grid[..., :2], "bicubic", "zeros")
    painted, alpha = seen[:, :3], seen[:, 3:].clamp(0, 1)
    if layout.teeth:
        teeth = look_up(face.teeth, grid[..., 2:], "bicubic", "zeros") if own_teeth_move else face.teeth
        painted = _beside_teeth(face, painted, teeth[:, :3], teeth[:, 3:].clamp(0, 1))
    return painted, alpha


def lay_paint(part: Tensor, opened: Opening, paint: Paint, face: MouthTensors) -> None:
    """Paint the opening into a picture of the mouth (n, 3, h, w), with HALF, in place."""
    shown, alpha = paint
    gate, light = opened.gate[:, None], opened.light[:, None]
    # Alpha decides only at the soft edge of the opening: see `lips.paint_cover`.
    part.lerp_(torch.addcmul(face.half, shown, light), gate * torch.maximum(alpha, 2 * gate - 1))
    if opened.line is not None:  # it darkens; where the photo is darker already, it stays
        part.addcmul_(opened.line[:, None], (face.line_colour - part).clamp(max=0))


def _apart(upper: Tensor, lower: Tensor, gap_px: Tensor) -> Tensor:
    """0 for lips that touch or overlap, 1 for open ones, (n, 1, 1), however the head is rolled."""
    across = upper[:, -1:] - upper[:, :1]
    x, y = across.unbind(-1)
    gap_x, gap_y = (lower - upper)[:, 1:-1].unbind(-1)
    widest = torch.addcmul(gap_y * x, gap_x, y, value=-1).amax(1, keepdim=True)
    length = torch.linalg.vector_norm(across, dim=-1) + 1e-9
    apart: Tensor = (widest / (length * gap_px)).clamp(0, 1)
    return apart[..., None]


def _distances(face: MouthTensors, begins: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels from each pixel of the window to k straight pieces, (n, k, h, w); and 1 inside the outline, else 0,
    (n, h, w): the pieces of the outline are the first N_OUTLINE of them, (n, k, 2)."""
    ahead = ends - begins
    length = torch.linalg.vector_norm(ahead, dim=-1, keepdim=True).clamp(min=1e-6)
    x, y = _split(begins)
    dx, dy = _split(ahead / length)
    from_x, from_y = face.columns - x, face.rows - y  # (n, k, 1, w), (n, k, h, 1)
    along = torch.addcmul(from_x * dx, from_y, dy)
    across = torch.addcmul(from_x * dy, from_y, dx, value=-1)
    past = along - torch.minimum(along.clamp(min=0), length[..., None])
    distance_px = torch.hypot(past, across)
    # Even-odd: how many pieces cross a pixel's row to its right.
    from_y, dx, dy = from_y[:, :N_OUTLINE], dx[:, :N_OUTLINE], dy[:, :N_OUTLINE]
    y_end = ends[:, :N_OUTLINE, 1:, None]
    aside = (from_y < 0) == (face.rows < y_end)
    crossed_at = torch.addcmul(x[:, :N_OUTLINE], from_y, dx / dy).masked_fill(aside, -_FAR_PX)  # (n, k, h, 1)
    odd = (face.columns < crossed_at).sum(1).remainder(2)
    return distance_px, odd.to(distance_px.dtype)


def _pen(distance_px: Tensor, half_px: Tensor) -> Tensor:
    """Share of each pixel that a pen of that half width covers."""
    return (half_px + 0.5 - distance_px).clamp(0, 1)


def _blurred(picture: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return left @ picture @ right


def _grid(face: MouthTensors, to: Tensor) -> Tensor:
    """Where the window's pixels are after a (n, k, 3) map, (n, h, w, k)."""
    of_x, of_y, ones = to[:, None, None].unbind(-1)  # (n, 1, 1, k) each
    rows, columns = face.rows[:, 0, :, :, None], face.columns[:, 0, :, :, None]
    return torch.addcmul(torch.addcmul(ones, rows, of_y), columns, of_x)


def _beside_teeth(face: MouthTensors, painted: Tensor, teeth: Tensor, cover: Tensor) -> Tensor:
    """The photo's own teeth over paint (n, 3, h, w), which is made as bright as they are."""
    own, besides = (cover * teeth).sum((2, 3), keepdim=True), (cover * painted).sum((2, 3), keepdim=True)
    light = (own / (besides + _NO_LIGHT)).clamp(face.least_match, face.most_match)
    return torch.lerp(painted * light, teeth, cover)


def _split(points: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of points (n, k, 2), (n, k, 1, 1) each."""
    x, y = points[..., None, None].unbind(2)
    return x, y
