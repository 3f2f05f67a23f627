"""What closing one eye's lids and turning its iris need and no frame changes: computed once per face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2v.engine.compositor.upper_face.lids import (
    SHORTEST_STRIP,
    Curve,
    EyeLines,
    LidPlates,
    curve_at,
    lash_strip,
    lid_curve,
    lid_plates,
)
from s2v.engine.face.geometry import EYES, EyeMesh, Points
from s2v.engine.face.maps import Box
from s2v.engine.face.photo import Image

_SHUT_BELOW, _OPEN_FROM = 0.09, 0.14  # opening / width: an eye as narrow as that is closed; from there it is open
_FOLD_FOLLOWS = 0.3  # of a blinking lid's way is the fold's: skin comes down from above
_SMALLEST_PX = 6.0  # an eye of fewer pixels stays as it is


@dataclass(frozen=True)
class EyeTables:
    """One eye that moves. (s, t) are in eye widths: s from corner to corner, t towards the mouth."""

    box: Box  # all that a blink may change
    opening_box: Box  # all that a look aside may change
    strength: float  # over 0 to 1, of all but blinks: an eye that is nearly closed on the photo looks about less
    width_px: float
    to_photo: Points  # (2, 3) from (s, t) to photo pixels
    to_eye: Points  # (2, 3) and back
    upper: Curve  # edges of the lids, for `curve_at`
    lower: Curve
    fold_follows: float  # of a blinking lid's way is the fold's, with the skin above it; 0 behind glasses
    strip: float  # eye widths above the upper lid's edge that ride with it: see `lash_strip`
    plates: LidPlates  # of `box`: what a lid shows when it comes down


def eye_tables(photo: Image, landmarks: Points, pad_px: int, glasses: float = 0.0) -> tuple[EyeTables, ...]:
    """Those of the eyes that can move: both, one or none.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels.
        pad_px: how far the head may carry an eye beside what it does to the middle between both, `HeadTables.apart_px`.
        glasses: how surely they are worn, 0 to 1: what moves above the lids would bend their rims.
    """
    found = (_one_eye(photo, landmarks[:, :2], mesh, pad_px, glasses) for mesh in EYES)
    return tuple(eye for eye in found if eye is not None)


def _one_eye(photo: Image, at: Points, mesh: EyeMesh, pad_px: int, glasses: float) -> EyeTables | None:
    """None for an eye that stays as it is: closed on the photo, too small, or beyond its edge."""
    first, last = at[mesh.upper[0]], at[mesh.upper[-1]]
    along = last - first
    to_photo = np.c_[along, [-along[1], along[0]], first]
    width_px = float(np.hypot(*along))
    upper_lid, lower_lid = at[list(mesh.upper)], at[list(mesh.lower)]
    around = np.concatenate([upper_lid, lower_lid, at[[*mesh.brow, *mesh.fold, *mesh.cheek]]])
    size = (photo.shape[1], photo.shape[0])
    margin_px = pad_px + 0.1 * width_px
    box = _box_around(around, margin_px, size)
    left, top, right, bottom = opening_box = _box_around(np.concatenate([upper_lid, lower_lid]), margin_px, size)
    if width_px < _SMALLEST_PX or right <= left or bottom <= top:
        return None
    to_eye = np.asarray(cv2.invertAffineTransform(to_photo), np.float64)
    uv = at @ to_eye[:, :2].T + to_eye[:, 2]
    upper, lower = (lid_curve(uv[list(points)]) for points in (mesh.upper, mesh.lower))
    middle = np.linspace(0.25, 0.75, 11)
    opening = float((curve_at(lower, middle) - curve_at(upper, middle)).max())
    strength = float(np.clip((opening - _SHUT_BELOW) / (_OPEN_FROM - _SHUT_BELOW), 0, 1))
    if strength <= 0:
        return None
    lines = EyeLines(upper, lower, uv[list(mesh.fold)], uv[list(mesh.brow)], uv[list(mesh.cheek)])
    strip = lash_strip(photo, lines, to_photo)
    strip += glasses * (SHORTEST_STRIP - strip)  # a rim above the eye is not to ride with its lid
    plates = lid_plates(photo, lines, strip, box, to_photo)
    follows = _FOLD_FOLLOWS * (1 - glasses)
    return EyeTables(box, opening_box, strength, width_px, to_photo, to_eye, upper, lower, follows, strip, plates)


def _box_around(points: Points, margin_px: float, size: tuple[int, int]) -> Box:
    left, top = np.clip(np.floor(points.min(0) - margin_px), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0) + margin_px) + 1, 0, size).astype(int)
    return int(left), int(top), int(right), int(bottom)
