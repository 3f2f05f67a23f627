"""The inside of a mouth on a device: the layers of the CPU's `mouth/interior.py`, over the whole window, and the
formulas of its `mouth/tongue.py`, for several faces at once.

What is not there has no cover, instead of being left out: so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.compositor.mouth import tongue as shapes
from s2v.engine.compositor.mouth.interior_tables import LOWER_DEPTH, TONGUE_DEPTH, UPPER_DEPTH
from s2v.engine.compositor.torch.drawing.lips import LipOpening
from s2v.engine.compositor.torch.drawing.look_up import look_up, smoothstep
from s2v.engine.compositor.torch.tables.mouth_tensors import InteriorTensors, MouthTensors

N_SHAPES, N_BEHIND = 7, 3  # planes of `soft_shapes`, and those behind the lower teeth


def layers(
    face: InteriorTensors, window: MouthTensors, weights: Tensor, tract: Tensor, places: Tensor, depth_shift: Tensor
) -> Tensor:
    """What the window shows in full light, (n, 3, h, w) B, G, R in [0, 255].

    Args:
        weights: (n, m) motion coefficients and a one. tract: (n, 5) of `TRACT_VARIABLES`.
        places: (n, 4, 3) from pixels of the window to where the head has them from: in a row of teeth, in the grid of
            soft shapes, [-1, 1] each.
        depth_shift: (n, 2) of the CPU's `MouthInterior.draw`.
    """
    numbers = torch.bmm(torch.cat([weights, tract], 1)[:, None], face.numbers)[:, 0]
    in_row, in_grid = _places(window, places).split(2, -1)
    row_shift, grid_shift = _shifts(places, depth_shift).split(2, -1)  # (n, 1, 1, 2) for a depth of one
    behind, before = soft_shapes(face, numbers, tract).split([N_BEHIND, N_SHAPES - N_BEHIND], 1)
    flesh, cavity, shade = look_up(behind, in_grid - TONGUE_DEPTH * grid_shift, "bilinear").unbind(1)
    seen_before = look_up(before, in_grid - UPPER_DEPTH * grid_shift, "bilinear")
    between, between_cover, lip, lip_cover = seen_before.unbind(1)

    tooth_light, gum_light, cover = _row(face.lower, in_row - (numbers[:, None, None, :2] + LOWER_DEPTH * row_shift))
    shares = [tooth_light * shade, torch.addcmul(gum_light * shade, flesh, 1 - cover), cavity * (1 - cover)]
    teeth, flesh, cavity = (share * (1 - between_cover) for share in shares)
    tooth_light, gum_light, cover = _row(face.upper, in_row - UPPER_DEPTH * row_shift)
    bare = 1 - cover
    teeth, flesh = torch.addcmul(tooth_light, teeth, bare), torch.addcmul(gum_light, flesh + between, bare)
    behind_lip = torch.stack([teeth, flesh, cavity * bare], 1) * (1 - lip_cover)[:, None]
    shares_of_all = torch.cat([behind_lip, lip[:, None]], 1)
    return torch.bmm(face.colours, shares_of_all.flatten(2)).view(-1, 3, *lip.shape[1:])


def lay_inside(part: Tensor, inside: Tensor, opened: LipOpening, face: InteriorTensors) -> None:
    """Lay `layers` into a picture of the mouth (n, 3, h, w), with HALF, shaded, in place."""
    behind_lip = torch.lerp(inside, face.inner_lip, opened.lower_lip[:, None])
    shown = torch.addcmul(face.half, behind_lip, opened.light[:, None] ** face.exponents)
    part.lerp_(shown, opened.cover[:, None])


def _row(row: Tensor, at: Tensor) -> tuple[Tensor, ...]:
    """Light of teeth, of gums, and cover, (n, h, w) each; nothing beyond the row."""
    return look_up(row, at, "bilinear", "zeros").unbind(1)


def _places(window: MouthTensors, to: Tensor) -> Tensor:
    """Where the window's pixels are after a (n, k, 3) map, (n, h, w, k). Not a matrix product: see `look_up.affine`."""
    of_x, of_y, ones = to[:, None, None].unbind(-1)  # (n, 1, 1, k) each
    rows, columns = window.rows[:, 0, :, :, None], window.columns[:, 0, :, :, None]
    return torch.addcmul(torch.addcmul(ones, rows, of_y), columns, of_x)


def _shifts(to: Tensor, move: Tensor) -> Tensor:
    """How far a move (n, 2) of the window goes in what a (n, k, 3) map leads to, (n, 1, 1, k)."""
    of_x, of_y, _ = to[:, None, None].unbind(-1)
    x, y = move[:, None, None].split(1, -1)
    return torch.addcmul(of_x * x, of_y, y)


def soft_shapes(face: InteriorTensors, numbers: Tensor, tract: Tensor) -> Tensor:
    """All of them on the grid, (n, N_SHAPES, gh, gw) in [0, 1].

    The flesh and the cavity behind the lower teeth and the light left to what is behind the upper ones; the tongue
    between the teeth (light times cover, cover); the tucked lower lip (the same).

    Args:
        numbers: (n, len(NUMBERS)). tract: (n, 5) of `TRACT_VARIABLES`.
    """
    _, _, lower_v, body_v, left_behind, tip_low_v, up, out, front_light = numbers[..., None].unbind(1)  # (n, 1) each
    tip, tuck = tract[:, 2:3], tract[:, 3:4]
    body_v = body_v - left_behind.clamp(min=0)
    tip_v = torch.lerp(tip_low_v, tip_low_v.clamp(max=-shapes.TIP_SOFT), tip)
    depth = lower_v.clamp(min=0) + (shapes.BETWEEN_OUT + shapes.TIP_SOFT)  # of the tongue between the teeth
    ones = torch.ones_like(tip)
    amount = torch.cat([ones, *smoothstep(torch.stack([up, out])), tuck], 1)
    round_off = torch.cat([face.round_off[:, :2] * ones, 4 / depth, face.round_off[:, 3:] * ones], 1)

    # Body, tip, tongue between the teeth, lip: how far each pixel is inside of each one's edge.
    beyond_top = face.below - torch.cat([body_v, tip_v, 0 * ones, 0 * ones], 1)[..., None, None]
    between = torch.minimum(beyond_top[:, 2], face.above + depth[..., None])
    inside = torch.stack([beyond_top[:, 0], beyond_top[:, 1], between, beyond_top[:, 3]], 1)
    cover = smoothstep(inside * face.soft) * amount[..., None, None]
    light = torch.addcmul(face.least_light, face.more_light, smoothstep(inside * round_off[..., None, None]))
    of_body, of_wet, cheeks, of_tip = face.across.unbind(1)  # (n, 1, gw) each
    wet = (1 - (inside[:, 0] - shapes.WET_AT).abs() / shapes.WET_HALF).clamp(min=0)
    body = torch.addcmul(of_wet * wet, light[:, 0], of_body * front_light[..., None]) * cover[:, 0]
    tip_light, between_light = (light[:, 1:3] * of_tip[:, None] * cover[:, 1:3]).unbind(1)
    bare = 1 - cover[:, :2]
    behind = face.shade * bare[:, 1]  # the tip is in front of where the upper teeth's shade falls
    flesh = torch.addcmul(tip_light, torch.addcmul(body, cheeks, bare[:, 0]), behind)
    cavity = bare[:, 0] * (1 - cheeks) * behind
    lip_light = light[:, 3] * cover[:, 3]
    return torch.stack([flesh, cavity, face.shade, between_light, cover[:, 2], lip_light, cover[:, 3]], 1)
