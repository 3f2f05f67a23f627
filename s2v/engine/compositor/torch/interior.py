"""The inside of a mouth on a device: the layers of the CPU's `mouth/interior.py`, over the whole window, and the
formulas of its `mouth/tongue.py`, for several faces at once.

What is not there has no cover, instead of being left out: so it can be recorded as a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.compositor.mouth import tongue as shapes
from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE
from s2v.engine.compositor.torch.lips import LipOpening
from s2v.engine.compositor.torch.mouth_tensors import InteriorTensors, MouthTensors
from s2v.engine.compositor.torch.warp import look_up, smoothstep

N_SHAPES = 7  # planes of `soft_shapes`


def layers(face: InteriorTensors, window: MouthTensors, weights: Tensor, tract: Tensor, places: Tensor) -> Tensor:
    """What the window shows in full light, (n, 3, h, w) B, G, R in [0, 255].

    Args:
        weights: (n, m) motion coefficients and a one. tract: (n, 4) of `TRACT_VARIABLES`.
        places: (n, 4, 3) from pixels of the window to where the head has them from: in a row of teeth, in the grid of
            soft shapes, [-1, 1] each.
    """
    jaw, chin = torch.bmm(weights[:, None], face.jaw_moves).split([2, 1], -1)
    lower_v = face.lower_v + JAW_SHARE * chin
    in_row, in_grid = _places(window, places).split(2, -1)
    seen = look_up(soft_shapes(face, lower_v, chin, tract), in_grid, "bilinear")
    flesh, cavity, shade, between, between_cover, lip, lip_cover = seen.unbind(1)

    tooth_light, gum_light, cover = _row(face.lower, in_row - jaw[:, None])
    shares = [tooth_light * shade, torch.addcmul(gum_light * shade, flesh, 1 - cover), cavity * (1 - cover)]
    teeth, flesh, cavity = (share * (1 - between_cover) for share in shares)
    tooth_light, gum_light, cover = _row(face.upper, in_row)
    bare = 1 - cover
    teeth, flesh = torch.addcmul(tooth_light, teeth, bare), torch.addcmul(gum_light, flesh + between, bare)
    behind_lip = torch.stack([teeth, flesh, cavity * bare], 1) * (1 - lip_cover)[:, None]
    shares_of_all = torch.cat([behind_lip, lip[:, None]], 1)
    return torch.bmm(face.colours, shares_of_all.flatten(2)).view(-1, 3, *lip.shape[1:])


def lay_inside(part: Tensor, inside: Tensor, opened: LipOpening, face: InteriorTensors) -> None:
    """Lay `layers` into a picture of the mouth (n, 3, h, w), with HALF, shaded, in place."""
    shown = torch.addcmul(face.half, inside, opened.light[:, None] ** face.exponents)
    part.lerp_(shown, opened.cover[:, None])


def _row(row: Tensor, at: Tensor) -> tuple[Tensor, ...]:
    """Light of teeth, of gums, and cover, (n, h, w) each; nothing beyond the row."""
    return look_up(row, at, "bilinear", "zeros").unbind(1)


def _places(window: MouthTensors, to: Tensor) -> Tensor:
    """Where the window's pixels are after a (n, k, 3) map, (n, h, w, k). Not a matrix product: see `warp.affine`."""
    of_x, of_y, ones = to[:, None, None].unbind(-1)  # (n, 1, 1, k) each
    rows, columns = window.rows[:, 0, :, :, None], window.columns[:, 0, :, :, None]
    return torch.addcmul(torch.addcmul(ones, rows, of_y), columns, of_x)


def soft_shapes(face: InteriorTensors, lower_v: Tensor, chin: Tensor, tract: Tensor) -> Tensor:
    """All of them on the grid, (n, N_SHAPES, gh, gw) in [0, 1].

    The flesh and the cavity behind the lower teeth and the light left to what is behind the upper ones; the tongue
    between the teeth (light times cover, cover); the tucked lower lip (the same).

    Args:
        lower_v: (n, 1, 1) of the lower teeth's edge, below the upper ones'. chin: (n, 1, 1) how far it is moved down,
            face units.
        tract: (n, 4) of `TRACT_VARIABLES`.
    """
    height, front, tip, tuck = tract[..., None, None].unbind(1)
    flesh, cavity = _behind_teeth(face, lower_v, chin, height, front, tip)
    return torch.stack([flesh, cavity, face.shade, *_between_teeth(face, lower_v, front, tip), *_lip(face, tuck)], 1)


def _behind_teeth(
    face: InteriorTensors, lower_v: Tensor, chin: Tensor, height: Tensor, front: Tensor, tip: Tensor
) -> tuple[Tensor, Tensor]:
    """Light of the tongue and of the cavity."""
    left_behind = shapes.MOUND * (chin - shapes.MOUND_FROM).clamp(min=0)
    top = lower_v - (shapes.OVER_TEETH + shapes.HEIGHT * height) - left_behind
    below = face.v - top - shapes.BODY_BEND * face.u2
    light = shapes.EDGE_LIGHT + (1 - shapes.EDGE_LIGHT) * smoothstep(below / shapes.ROUND)
    light = light * (face.groove * (shapes.BACK_LIGHT + (1 - shapes.BACK_LIGHT) * front))
    cover = smoothstep(below / shapes.BODY_SOFT)
    flesh, cavity = light * cover * face.shade, (1 - cover) * face.shade
    # The tip, raised.
    low = lower_v - 0.5 * shapes.OVER_TEETH
    below = face.v - (low + (low.clamp(max=-shapes.TIP_SOFT) - low) * tip) - shapes.TIP_BEND * face.u2
    light = shapes.TIP_LIGHT - shapes.TIP_DARKER * smoothstep(below / shapes.TIP_UNDER)
    cover = smoothstep(below / shapes.TIP_SOFT) * smoothstep(3 * tip)
    return torch.lerp(flesh, light, cover), cavity * (1 - cover)


def _between_teeth(face: InteriorTensors, lower_v: Tensor, front: Tensor, tip: Tensor) -> tuple[Tensor, Tensor]:
    out = smoothstep((tip + front - shapes.BETWEEN_FROM) / shapes.BETWEEN_OVER)
    top, bottom = -shapes.TIP_SOFT, lower_v.clamp(min=0) + shapes.BETWEEN_OUT
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    inside = half - (face.v - middle).abs() - shapes.BETWEEN_BEND * face.u2
    light = shapes.BETWEEN_EDGE + shapes.BETWEEN_LIGHT * smoothstep(2 * inside / half)
    cover = smoothstep(inside / shapes.TIP_SOFT) * out
    return light * cover, cover


def _lip(face: InteriorTensors, tuck: Tensor) -> tuple[Tensor, Tensor]:
    below = face.v + shapes.LIP_BEND * face.u2
    light = shapes.LIP_EDGE + (1 - shapes.LIP_EDGE) * smoothstep(below / shapes.ROUND)
    cover = smoothstep(below / shapes.LIP_SOFT) * tuck
    return light * cover, cover
