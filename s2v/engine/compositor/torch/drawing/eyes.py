"""Gaze and lids on a device: the arithmetic of the CPU's `upper_face/eyes.py`, both eyes of several faces at once.

Nothing here depends on what a number is, so it can be recorded as a CUDA graph, with or without blinks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2v.engine.compositor.torch.drawing.look_up import affine, look_up, smoothstep
from s2v.engine.compositor.torch.tables.arrays import HALF
from s2v.engine.compositor.torch.tables.eye_tensors import EyeTensors
from s2v.engine.compositor.upper_face.eye_curves import LEAST_OPENING
from s2v.engine.compositor.upper_face.eyes import (
    FOLD_REACH,
    LOWER_FOLLOWS,
    LOWER_LID_SHARE,
    SKIN_REACH,
    STRETCH,
    UPPER_FOLLOWS,
)
from s2v.engine.compositor.upper_face.lid_paint import BULGE, EDGES_SHADE, FOLD_SOFTER, LASHES_SHARE, SOFT_ABOVE
from s2v.engine.compositor.upper_face.lids import FOLD_SOFT

Lids = tuple[Tensor, Tensor]  # (n, 2, 3, h, w) colours and (n, 2, 1, h, w) cover of the upper lids


class Eyes(NamedTuple):
    """What a pose does to the part of a frame that holds the eyes."""

    offset: Tensor  # (n, h, w, 2): photo pixels to be added to the map
    lids: Lids | None


class _Amounts(NamedTuple):
    """`eye_tensors.AMOUNTS`, (n, 2, 1, 1) each."""

    shut: Tensor
    overlap: Tensor
    follow: Tensor
    widen: Tensor
    rise: Tensor
    turn: Tensor
    tilt: Tensor
    lashes: Tensor


class _Places(NamedTuple):
    """Of each pixel as both eyes see it, (n, 2, h, w) each but the first; the rest is `eye_tensors.CURVES`."""

    along: Tensor  # (n, 2, h, w, 2): 2 s - 1, 0
    t: Tensor
    upper: Tensor
    opening: Tensor
    freedom: Tensor
    overlap: Tensor


def move_eyes(face: EyeTensors, moved: Tensor, amounts: Tensor, blinking: bool) -> Eyes:
    """Turn the irises, move the lids with them and as they are raised; with `blinking`, let the upper lids down.

    Args:
        moved: (n, h, w, 2) the photo pixels that head and skin show there. amounts: (n, 2, 8), of `FrameInputs.eyes`.
    """
    given = _Amounts(*amounts[..., None, None].unbind(2))
    at = affine(moved[:, None], face.places)  # (n, 2, h, w, 3)
    seen = _Places(at[..., :2], at[..., 2], *_curves(face, at[..., :2]))
    follow = given.follow * seen.freedom
    drop = UPPER_FOLLOWS * follow - given.widen * seen.opening
    rise = given.rise * seen.opening - LOWER_FOLLOWS * follow
    blink = None
    if blinking:
        blink = (1 - LOWER_LID_SHARE) * given.shut * seen.opening + given.overlap * seen.overlap
    offset = _offset(face, given, seen, drop, rise, blink)
    return Eyes(offset, None if blink is None else _lids(face, given, seen, moved, drop, blink))


def lay_over(part: Tensor, lids: Lids) -> None:
    """Draw the upper lids into a part of a picture (n, 3, h, w), with HALF, in place."""
    colours, cover = lids
    for eye in range(2):
        part.lerp_(colours[:, eye], cover[:, eye])


def _offset(
    face: EyeTensors, given: _Amounts, seen: _Places, drop: Tensor, rise: Tensor, blink: Tensor | None
) -> Tensor:
    """Photo pixels (n, h, w, 2) of both eyes.

    Args:
        drop, rise: how far the lids are from where the photo has them. blink: how far the upper ones are besides.
    """
    t, edge, seam = seen.t, seen.upper + drop, seen.upper + seen.opening - rise
    height = seen.opening.clamp(min=LEAST_OPENING)
    stretched = smoothstep(1 - (t - edge) / (STRETCH * height))
    level = ((torch.addcmul(t, (-drop).clamp(min=0), stretched) - seen.upper) / height).clamp(0, 1)
    turn = given.turn * seen.freedom
    there = torch.stack([seen.along[..., 0] - 2 * turn, seen.along[..., 1]], -1)
    upper_there, opening_there, *_ = _curves(face, there)
    bowed = opening_there - given.tilt * seen.freedom * (1 - level)
    of_eyeball = torch.addcmul(upper_there, level, bowed) - t
    above, below = edge - t, t - seam
    skin = torch.where(above >= 0, -drop, rise) * smoothstep(1 - torch.maximum(above, below) / SKIN_REACH)
    if blink is not None:
        folded = face.fold_follows * blink
        skin = skin - folded * smoothstep(1 - (seen.upper - face.strip + folded - t) / FOLD_REACH) * (above >= 0)
    inside = -torch.maximum(above, below)
    # Over a pixel from one to the other, else the edge of a lid is a stair; beyond the corners there is no eyeball.
    eyeball = (inside * face.width_px + 0.5).clamp(0, 1) * (seen.opening > 0)
    down = torch.lerp(skin, of_eyeball, eyeball)
    along = -turn * ((above < 0) & (below <= 0))
    return torch.addcmul(along[..., None] * face.along, down[..., None], face.down).sum(1)


def _lids(face: EyeTensors, given: _Amounts, seen: _Places, moved: Tensor, drop: Tensor, blink: Tensor) -> Lids:
    """Colours and cover of the upper lids.

    Args:
        moved: of `move_eyes`. drop: how far they are down without a blink. blink: and with it, besides.
    """
    folded = face.fold_follows * blink
    below_fold = seen.t - seen.upper + face.strip - folded
    below_edge = seen.t - seen.upper - drop - blink
    back = torch.addcmul(moved[:, None], (drop + blink)[..., None], face.down, value=-1)
    mirrored = torch.addcmul(back, below_edge.clamp(min=0)[..., None], face.down, value=-(1 + 1 / LASHES_SHARE))
    half_open, shut = _plates(face, face.plates, back, "bicubic").clamp(HALF, 255 + HALF).split(3, 2)
    turned = given.lashes * seen.freedom
    lashes = _plates(face, face.lashes, mirrored, "bilinear")[:, :, 0] * turned * (below_edge > 0)
    softer = given.shut * face.fold_follows
    fold = smoothstep(below_fold / (FOLD_SOFT + FOLD_SOFTER * softer) + SOFT_ABOVE * softer)
    edge = (0.5 - below_edge * face.width_px).clamp(0, 1) * fold
    cover = edge + lashes * (1 - edge)
    way = (below_fold / (face.strip + drop + blink - folded).clamp(min=LEAST_OPENING)).clamp(0, 1)
    shade = 1 + given.shut * (4 * BULGE * way * (1 - way) * seen.freedom - EDGES_SHADE)
    # What lashes cover turns dark, the lid above stays what it is.
    light = shade * edge / cover.clamp(min=LEAST_OPENING)
    colours = torch.lerp(half_open, shut, turned[:, :, None]) * light[:, :, None]
    return colours, (cover * (blink > 0))[:, :, None]


def _plates(face: EyeTensors, plates: Tensor, at: Tensor, how: str) -> Tensor:
    """Plates (n, 2, k, h, w) looked up at photo pixels (n, 2, H, W, 2)."""
    places = torch.addcmul(face.plate_shift, at, face.plate_factor)
    return look_up(plates.flatten(0, 1), places.flatten(0, 1), how).view(*at.shape[:2], -1, *at.shape[2:4])


def _curves(face: EyeTensors, place: Tensor) -> tuple[Tensor, ...]:
    """What `EyeTensors.curves` says at (n, 2, h, w, 2) places: (n, 2, h, w) each."""
    seen = look_up(face.curves.flatten(0, 1), place.flatten(0, 1), "bilinear")
    return seen.view(*place.shape[:2], *seen.shape[1:]).unbind(2)
