"""Gaze and blinks on a device: the arithmetic of `upper_face.eyes`, both eyes of several faces at once.

Nothing here depends on what a number is, so it can be recorded as a CUDA graph, with or without lids.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2v.engine.compositor.torch.eye_tensors import EyeTensors
from s2v.engine.compositor.torch.mouth_tensors import HALF
from s2v.engine.compositor.torch.warp import affine, look_up, smoothstep
from s2v.engine.compositor.upper_face.eyes import SHADE, SHADE_REACH, SKIN_REACH
from s2v.engine.compositor.upper_face.lids import FOLD_SOFT

Lids = tuple[Tensor, Tensor]  # (n, 2, 3, h, w) colours and (n, 2, 1, h, w) cover of the upper lids


class Eyes(NamedTuple):
    """What a pose does to the part of a frame that holds the eyes."""

    offset: Tensor  # (n, h, w, 2): photo pixels to be added to the map
    lids: Lids | None


def move_eyes(face: EyeTensors, moved: Tensor, gaze: Tensor, closed: Tensor | None) -> Eyes:
    """Turn the irises; with `closed`, raise the lower lids and let the upper ones down.

    Args:
        moved: (n, h, w, 2) the photo pixels that the head's motion shows there.
        gaze: (n, 3), of `FrameInputs`. closed: (n, 1) in [0, 1], or None while nobody blinks.
    """
    at = affine(moved[:, None], face.places)  # (n, 2, h, w, 3)
    place, t = at[..., :2], at[..., 2]
    upper, opening, freedom, rise, drop = _curves(face, place)
    below = t - upper
    height = opening
    if closed is not None:
        closed = closed[:, None, None]  # (n, 1, 1, 1)
        rise, drop = closed * rise, closed * drop
        height = opening - rise
    inside = (below > 0) & (below <= height)
    level = (below / opening).clamp(0, 1)
    turn, tilt = gaze[:, None, None, None], gaze[:, None, None, 2:]
    upper_there, opening_there, *_ = _curves(face, torch.addcmul(place, freedom[..., None], turn[..., :2]))
    bowed = torch.addcmul(opening_there, freedom * tilt, 1 - level)
    along = freedom * inside * turn[..., 0]
    down = (torch.addcmul(upper_there, level, bowed) - t) * inside
    if closed is None:
        return Eyes(_to_photo(face, along, down), None)
    lower = below - height
    cheek = rise * smoothstep(1 - lower / SKIN_REACH)
    down = down + cheek * (lower > 0)
    return Eyes(_to_photo(face, along, down), _lids(face, moved, below, drop, closed))


def lay_over(part: Tensor, lids: Lids) -> None:
    """Draw the upper lids into a part of a picture (n, 3, h, w), with HALF, in place."""
    colours, cover = lids
    for eye in range(2):
        part.lerp_(colours[:, eye], cover[:, eye])


def _lids(face: EyeTensors, moved: Tensor, below: Tensor, drop: Tensor, closed: Tensor) -> Lids:
    """Colours and cover of the upper lids.

    Args:
        below: (n, 2, h, w) eye widths under the upper lid's edge. drop: as far is the lid down.
    """
    below_fold = below + face.strip
    from_photo = torch.addcmul(moved[:, None], drop[..., None], face.down, value=-1)
    at = torch.addcmul(face.plate_shift, from_photo, face.plate_factor)
    skin = look_up(face.plates.flatten(0, 1), at.flatten(0, 1), "bicubic").clamp(HALF, 255 + HALF)
    shade = 1 - (SHADE * closed * face.strength) * torch.exp(-((below_fold / SHADE_REACH) ** 2))
    cover = ((drop - below) * face.width_px + 0.5).clamp(0, 1)
    cover = cover * smoothstep(below_fold / FOLD_SOFT) * (drop > 0)
    colours = skin.view(*below.shape[:2], 3, *below.shape[2:]) * shade[:, :, None]
    return colours, cover[:, :, None]


def _curves(face: EyeTensors, place: Tensor) -> tuple[Tensor, ...]:
    """What `EyeTensors.curves` says at (n, 2, h, w, 2) places: (n, 2, h, w) each."""
    seen = look_up(face.curves.flatten(0, 1), place.flatten(0, 1), "bilinear")
    return seen.view(*place.shape[:2], *seen.shape[1:]).unbind(2)


def _to_photo(face: EyeTensors, along: Tensor, down: Tensor) -> Tensor:
    """Displacements (n, 2, h, w) as places have them -> photo pixels (n, h, w, 2) of both eyes."""
    return torch.addcmul(along[..., None] * face.along, down[..., None], face.down).sum(1)
