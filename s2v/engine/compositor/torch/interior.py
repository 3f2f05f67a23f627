"""The inside of a mouth on a device: the layers of the CPU's `mouth/interior.py`, over the whole window."""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.compositor.mouth.interior_tables import JAW_SHARE
from s2v.engine.compositor.torch.lips import LipOpening
from s2v.engine.compositor.torch.mouth_tensors import InteriorTensors, MouthTensors
from s2v.engine.compositor.torch.tongue import soft_shapes
from s2v.engine.compositor.torch.warp import look_up


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
