"""Closes the lids of a photo's eyes and turns its irises a little.

Three layers with hard seams, as in a real eye: the eyeball lies still behind the lids, the upper lid slides down
over it from behind the fold of skin above, the lower lid rises a little. All of it is laid out along
the line between the corners of an eye: (s, t) in eye widths, s from corner to corner, t towards the mouth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.idle_motion import IdlePose
from s2v.engine.compositor.lids import FOLD_SOFT, Box, EyeLines, curve_at, lash_strip, lid_curve, lid_plate
from s2v.engine.compositor.warp import Map, remap, smoothstep
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image


class EyeMesh(NamedTuple):
    """Mesh points of one eye, left to right on the picture; the lids' ends are the corners."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    fold: tuple[int, ...]  # about the fold of the upper lid
    brow: tuple[int, ...]  # under the eyebrow
    cheek: tuple[int, ...]


EYES = (
    EyeMesh(
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (33, 7, 163, 144, 145, 153, 154, 155, 133),
        (247, 30, 29, 27, 28, 56, 190),
        (113, 225, 224, 223, 222, 221, 189),
        (130, 25, 110, 24, 23, 22, 26, 112, 243),
    ),
    EyeMesh(
        (362, 398, 384, 385, 386, 387, 388, 466, 263),
        (362, 382, 381, 380, 374, 373, 390, 249, 263),
        (414, 286, 258, 257, 259, 260, 467),
        (413, 441, 442, 443, 444, 445, 342),
        (463, 341, 256, 252, 253, 254, 339, 255, 359),
    ),
)

_SHUT_BELOW, _OPEN_FROM = 0.09, 0.14  # opening / width: an eye as narrow as that is closed; from there it is open
_SMALLEST_PX = 6.0  # an eye of fewer pixels stays as it is
_LOWER_LID_SHARE = 0.12  # of the opening is closed from below
_STRIP = (0.08, 0.22)  # eye widths: so much of the photo above the upper lid's edge, with its lashes, rides with it
_OVERLAP = 0.16  # a quarter of it, in eye widths: shut lids overlap in the middle, or a line of white stays
_CHEEK_REACH = 0.25  # eye widths below the lower lid that rise with it
_SHADE = 0.2  # a closing lid's shadow on the eyeball, and the fold's on the lid


class Lid(NamedTuple):
    """A piece of upper lid, to be laid over a frame."""

    box: Box
    paint: NDArray[np.float32]  # (h, w, 3)
    alpha: NDArray[np.float32]  # (h, w, 1) in [0, 1]


class MovingEyes:
    """Both eyes of a photo.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels.
        pad_px: how far the head may carry the eyes from where they are on the photo.
    """

    def __init__(self, photo: Image, landmarks: Points, pad_px: int) -> None:
        self._eyes = [_Eye(photo, landmarks[:, :2], mesh, pad_px) for mesh in EYES]

    def move(self, source: Map, origin: tuple[int, int], pose: IdlePose) -> list[Lid]:
        """Turn the irises and raise the lower lids in a map, in place; returns the upper lids to be laid over.

        Args:
            source: (h, w, 2) photo pixel of each pixel of a part of the frame; origin: where that part begins.
        """
        lids: list[Lid] = []
        if pose.closed <= 0 and pose.gaze == (0.0, 0.0):
            return lids
        for eye in self._eyes:
            box = eye.box if pose.closed > 0 else eye.opening_box
            ends = np.array([source.shape[1], source.shape[0]] * 2)
            left, top, right, bottom = (int(n) for n in np.clip(np.array(box) - [*origin, *origin], 0, ends))
            if eye.strength <= 0 or right <= left or bottom <= top:
                continue
            part = source[top:bottom, left:right]
            at = eye.lay_out(part)
            if pose.closed > 0:
                lids.append(Lid((left, top, right, bottom), *eye.lid(at, part, pose.closed)))
            part += eye.offset(at, pose)
        return lids


def lay_over(picture: Image, lids: list[Lid]) -> None:
    """Draw lids on the part of the frame whose map they were made with, in place."""
    for (left, top, right, bottom), paint, alpha in lids:
        part = picture[top:bottom, left:right]
        part[:] = np.clip(part + alpha * (paint - part) + 0.5, 0, 255).astype(np.uint8)


class _Eye:
    """One eye: its curves, and the skin that its upper lid shows when it comes down."""

    def __init__(self, photo: Image, at: Points, mesh: EyeMesh, pad_px: int) -> None:
        first, last = at[mesh.upper[0]], at[mesh.upper[-1]]
        along = last - first
        self._to_photo = np.c_[along, [-along[1], along[0]], first]
        self._width_px = float(np.hypot(*along))
        upper, lower = at[list(mesh.upper)], at[list(mesh.lower)]
        around = np.concatenate([upper, lower, at[[*mesh.fold, *mesh.cheek]]])
        size = (photo.shape[1], photo.shape[0])
        margin_px = pad_px + 0.1 * self._width_px
        self.box = _box_around(around, margin_px, size)
        self.opening_box = _box_around(np.concatenate([upper, lower]), margin_px, size)
        self.strength = 0.0
        left, top, right, bottom = self.opening_box
        if self._width_px < _SMALLEST_PX or right <= left or bottom <= top:
            return
        self._to_eye = cv2.invertAffineTransform(self._to_photo)
        uv = at @ self._to_eye[:, :2].T + self._to_eye[:, 2]
        self._upper, self._lower = (lid_curve(uv[list(points)]) for points in (mesh.upper, mesh.lower))
        middle = np.linspace(0.25, 0.75, 11)
        opening = float((curve_at(self._lower, middle) - curve_at(self._upper, middle)).max())
        self.strength = float(np.clip((opening - _SHUT_BELOW) / (_OPEN_FROM - _SHUT_BELOW), 0, 1))
        if self.strength > 0:
            lines = EyeLines(self._upper, self._lower, uv[list(mesh.fold)], uv[list(mesh.brow)], uv[list(mesh.cheek)])
            self._strip = lash_strip(photo, lines, self._to_photo)
            self._plate = lid_plate(photo, lines, self._strip, self.box, self._to_photo)

    def lay_out(self, source: Map) -> Map:
        """Photo pixels (h, w, 2) -> (s, t)."""
        return np.asarray(cv2.transform(source, self._to_eye), np.float32)

    def offset(self, at: Map, pose: IdlePose) -> Map:
        """What gaze and lower lid add to a map, (h, w, 2) photo pixels."""
        s, t = _split(at)
        upper, lower = curve_at(self._upper, s), curve_at(self._lower, s)
        opening = lower - upper
        rise = (self.strength * pose.closed * _LOWER_LID_SHARE) * opening
        seam = lower - rise
        # The eyeball: level lines run along the lids, so that lids and their shadow stay.
        inside = (t > upper) & (t <= seam)
        level = np.clip((t - upper) / np.maximum(opening, 1e-3), 0, 1)
        free = self.strength * smoothstep(np.minimum(s, 1 - s) / 0.3)
        s_from = s - pose.gaze[0] * free
        upper_from = curve_at(self._upper, s_from)
        t_from = upper_from + level * (
            curve_at(self._lower, s_from) - upper_from - 4 * pose.gaze[1] * free * (1 - level)
        )
        along, down = (s_from - s) * inside, (t_from - t) * inside
        if pose.closed > 0:
            down += np.where(t > seam, rise * smoothstep(1 - (t - seam) / _CHEEK_REACH), 0)
        return np.asarray(cv2.transform(cv2.merge([along, down]), self._to_photo[:, :2]), np.float32)

    def lid(self, at: Map, source: Map, closed: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The upper lid's pixels and how much they cover, (h, w, 3) and (h, w, 1)."""
        closed = closed * self.strength
        s, t = _split(at)
        upper = curve_at(self._upper, s)
        fold = upper - self._strip
        drop = closed * ((1 - _LOWER_LID_SHARE) * (curve_at(self._lower, s) - upper) + curve_at((0.0, _OVERLAP), s))
        left, top = self.box[:2]
        back = source - drop[..., None] * self._to_photo[:, 1].astype(np.float32) - np.array([left, top], np.float32)
        paint = remap(self._plate, np.asarray(back, np.float32), cv2.INTER_CUBIC)
        shade = 1 - _SHADE * closed * np.exp(-(((t - fold) / 0.10) ** 2))
        over = np.clip((upper + drop - t) * self._width_px + 0.5, 0, 1) * smoothstep((t - fold) / FOLD_SOFT)
        over *= drop > 0
        return np.asarray(paint * shade[..., None], np.float32), np.asarray(over[..., None], np.float32)


def _split(at: Map) -> tuple[Map, Map]:
    """The two numbers of each pixel, (h, w, 2) -> (h, w) each: what follows is faster on them."""
    s, t = cv2.split(at)
    return np.asarray(s, np.float32), np.asarray(t, np.float32)


def _box_around(points: Points, margin_px: float, size: tuple[int, int]) -> Box:
    left, top = np.clip(np.floor(points.min(0) - margin_px), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0) + margin_px) + 1, 0, size).astype(int)
    return int(left), int(top), int(right), int(bottom)
