"""Moves the lids of a photo's eyes and turns its irises a little.

Three layers with hard seams, as in a real eye: the eyeball lies still behind the lids, the upper lid slides down
over it from behind the fold of skin above, the lower lid rises a little. All of it is laid out along
the line between the corners of an eye: (s, t) in eye widths, s from corner to corner, t towards the mouth.

A blink is painted: it brings out skin that the photo does not show. What lids do besides, following the gaze, opening
wider, rising with a cheek, is small and bends the map: skin stretches, and under a lid that stands higher the eyeball.
A device needs nothing but the tables: all amounts enter linearly, in `_Lids`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.lids import FOLD_SOFT, curve_at
from s2v.engine.face.maps import Box, Map, remap, smoothstep
from s2v.engine.face.photo import Image

LOWER_LID_SHARE = 0.12  # of the opening is closed from below
SKIN_REACH = 0.25  # eye widths beyond the lids' edges that go with them
CHEEK_LID_SHARE = 0.22  # of the opening by which a raised cheek lifts the lower lid
UPPER_FOLLOWS, LOWER_FOLLOWS = 0.7, 0.3  # of the iris's way up or down is the lids'
STRETCH = 0.8  # of the opening, from the upper lid down: so much of the eyeball stretches under a lid that rises
FOLD_REACH = 0.22  # eye widths above the fold that go with it
# By how much more softly a shut lid comes out from behind a fold that goes all the way with it, eye widths, and which
# share of all the softness is above the fold: times `EyeTables.fold_follows`.
FOLD_SOFTER, SOFT_ABOVE = 0.30, 1.7
EDGES_SHADE, BULGE = 0.12, 0.18  # a shut lid is darker along fold and lashes, lighter over the ball of the eye
LASHES_TURN = (0.5, 0.9)  # of the way down: they begin and end to point down
LASHES_TURNED = 0.6  # of their darkness, and of the skin that they covered
LASHES_SHARE = 0.8  # of their length above the open eye: so long are they below the shut one
_OVERLAP = 0.16  # a quarter of it, in eye widths: shut lids overlap in the middle, or a line of white stays
_OVERLAP_FROM = 0.75  # of a blink: until then both eyes close by the same share of their openings
_COARSE = 3  # pixels from one to the next that is asked where the eye is
LEAST_OPENING = 1e-3  # eye widths: what an opening's height counts as at least
_CORNER = 0.3  # of the eye's width from a corner: from there on the eyeball turns freely


class Lid(NamedTuple):
    """A piece of upper lid, to be laid over a frame."""

    box: Box
    paint: NDArray[np.float32]  # (h, w, 3)
    alpha: NDArray[np.float32]  # (h, w, 1) in [0, 1]


class MovingEyes:
    """The eyes of a photo."""

    def __init__(self, eyes: Sequence[EyeTables]) -> None:
        self._eyes = [(eye, *_lid_heights(eye)) for eye in eyes]

    def move(self, source: Map, origin: tuple[int, int], pose: FacePose) -> list[Lid]:
        """Turn the irises and raise the lower lids in a map, in place; returns the upper lids to be laid over.

        Args:
            source: (h, w, 2) photo pixel of each pixel of a part of the frame; origin: where that part begins.
        """
        lids: list[Lid] = []
        stay = _lids_stay(pose)
        if stay and pose.gaze[0] == 0:
            return lids
        for eye, highest, lowest in self._eyes:
            box = eye.opening_box if stay else eye.box
            ends = np.array([source.shape[1], source.shape[0]] * 2)
            left, top, right, bottom = (int(n) for n in np.clip(np.array(box) - [*origin, *origin], 0, ends))
            if right <= left or bottom <= top:
                continue
            rows = (highest, lowest) if stay else _lids_reach(eye, highest, lowest, pose)
            within = _where(source[top:bottom, left:right], eye, rows)
            if within is None:
                continue
            left, top, right, bottom = (n + start for n, start in zip(within, (left, top) * 2, strict=True))
            part = source[top:bottom, left:right]
            s, t = _split(np.asarray(cv2.transform(part, eye.to_eye), np.float32))
            moved = _lids(eye, s, pose)
            if pose.closed > 0:
                lids.append(Lid((left, top, right, bottom), *_blink(eye, s, t, part, moved, pose.closed)))
            part += _offset(eye, s, t, moved, pose)
        return lids


def lay_over(picture: Image, lids: list[Lid]) -> None:
    """Draw lids on the part of the frame whose map they were made with, in place."""
    for (left, top, right, bottom), paint, alpha in lids:
        part = picture[top:bottom, left:right]
        share = alpha[..., 0]
        part[:] = cv2.convertScaleAbs(cv2.blendLinear(paint, part.astype(np.float32), share, 1 - share))


def gaze_freedom(s: NDArray[np.floating]) -> NDArray[np.floating]:
    """How freely the eyeball turns at s, 0 in the corners to 1."""
    from_corner: NDArray[np.floating] = np.minimum(s, 1 - s) / _CORNER
    return smoothstep(from_corner)


def lids_overlap(s: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far a shut upper lid goes beyond the lower one at s, in eye widths."""
    return curve_at((0.0, _OVERLAP), s)


def overlap_share(closed: float) -> float:
    """How much of `lids_overlap` a blink has reached. Args: closed: 0 to 1."""
    return float(smoothstep((closed - _OVERLAP_FROM) / (1 - _OVERLAP_FROM)))


def lashes_turned(closed: float) -> float:
    """How far the lashes of a blink point down, 0 to `LASHES_TURNED`. Args: closed: 0 to 1."""
    return LASHES_TURNED * float(smoothstep((closed - LASHES_TURN[0]) / (LASHES_TURN[1] - LASHES_TURN[0])))


def _lids_stay(pose: FacePose) -> bool:
    return pose.closed <= 0 and pose.gaze[1] == 0 and pose.widen == 0 and pose.cheeks == 0


class _Lids(NamedTuple):
    """Where the lids of an eye are, (h, w) eye widths each, and how far they are from where the photo has them."""

    upper: NDArray[np.floating]  # edges on the photo
    opening: NDArray[np.floating]
    drop: NDArray[np.floating]  # of the upper lid, but for the blink
    rise: NDArray[np.floating]  # of the lower lid, with the blink
    free: NDArray[np.floating]  # of `gaze_freedom`
    blink: NDArray[np.floating] | None  # how far a blink brings the upper lid down besides; None without one


def _lids(eye: EyeTables, s: Map, pose: FacePose) -> _Lids:
    upper = curve_at(eye.upper, s)
    opening = curve_at(eye.lower, s) - upper
    awake = eye.strength * (1 - pose.closed)
    free = gaze_freedom(s)
    follow = awake * pose.gaze[1] * free
    drop = UPPER_FOLLOWS * follow - (awake * pose.widen) * opening
    rise = (LOWER_LID_SHARE * pose.closed + CHEEK_LID_SHARE * awake * pose.cheeks) * opening - LOWER_FOLLOWS * follow
    blink = None
    if pose.closed > 0:
        blink = ((1 - LOWER_LID_SHARE) * pose.closed) * opening + overlap_share(pose.closed) * lids_overlap(s)
    return _Lids(upper, opening, drop, rise, free, blink)


def _offset(eye: EyeTables, s: Map, t: Map, lids: _Lids, pose: FacePose) -> Map:
    """What gaze and lids add to a map, (h, w, 2) photo pixels."""
    edge, seam = lids.upper + lids.drop, lids.upper + lids.opening - lids.rise
    opening = np.maximum(lids.opening, LEAST_OPENING)
    # The eyeball: level lines run along the lids, so that lids and their shadow stay.
    inside = (t > edge) & (t <= seam)
    bared: NDArray[np.floating] = t
    if pose.widen > 0 or pose.gaze[1] < 0:
        bared = t + np.maximum(-lids.drop, 0) * smoothstep(1 - (t - edge) / (STRETCH * opening))
    level = np.minimum(np.maximum((bared - lids.upper) / opening, 0), 1)
    free = eye.strength * lids.free
    s_from = s - pose.gaze[0] * free
    upper_from = curve_at(eye.upper, s_from)
    t_from = upper_from + level * (curve_at(eye.lower, s_from) - upper_from - 4 * pose.gaze[1] * free * (1 - level))
    along, down = (s_from - s) * inside, t_from - t
    if _lids_stay(pose):
        down *= inside
    else:
        skin = np.where(t <= edge, -lids.drop, lids.rise)
        skin *= smoothstep(1 - np.maximum(edge - t, t - seam) / SKIN_REACH)
        if lids.blink is not None:
            folded = eye.fold_follows * lids.blink
            skin -= folded * smoothstep(1 - (lids.upper - eye.strip + folded - t) / FOLD_REACH) * (t <= edge)
        # Over a pixel from one to the other, else the edge of a lid is a stair.
        eyeball = np.minimum(np.maximum(np.minimum(t - edge, seam - t) * eye.width_px + 0.5, 0), 1)
        down = skin + eyeball * (down - skin)
    return np.asarray(cv2.transform(cv2.merge([along, down]), eye.to_photo[:, :2]), np.float32)


def _blink(
    eye: EyeTables, s: Map, t: Map, source: Map, lids: _Lids, closed: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The upper lid's pixels and how much they cover, (h, w, 3) and (h, w, 1)."""
    blink = lids.blink
    assert blink is not None
    folded = eye.fold_follows * blink
    drop = lids.drop + blink
    below = t - lids.upper - drop  # the edge
    down, corner = eye.to_photo[:, 1].astype(np.float32), np.array(eye.box[:2], np.float32)
    x, y = cv2.split(source)
    back = np.asarray(cv2.merge([x - (drop * down[0] + corner[0]), y - (drop * down[1] + corner[1])]), np.float32)
    # From half-way on the lashes point down: they leave the lid and cover, mirrored at its edge, what is below.
    how_far = lashes_turned(closed)
    turned = how_far * lids.free if how_far > 0 else None
    paint = remap(eye.plates.half_open, back, cv2.INTER_CUBIC).astype(np.float32)
    if turned is not None:
        bare = remap(eye.plates.shut, back, cv2.INTER_CUBIC).astype(np.float32)
        paint = np.asarray(cv2.blendLinear(bare, paint, turned, 1 - turned), np.float32)
    from_fold = t - (lids.upper - eye.strip) - folded
    way = np.minimum(np.maximum(from_fold / np.maximum(eye.strip + drop - folded, LEAST_OPENING), 0), 1)
    shade = 1 + closed * ((4 * BULGE) * (way * (1 - way)) * lids.free - EDGES_SHADE)
    softer = closed * eye.fold_follows
    fold = smoothstep(from_fold / (FOLD_SOFT + FOLD_SOFTER * softer) + SOFT_ABOVE * softer)
    over = np.clip(0.5 - below * eye.width_px, 0, 1) * fold
    if turned is not None:
        beyond = (1 + 1 / LASHES_SHARE) * np.maximum(below, 0)
        mirrored = back - cv2.merge([beyond * down[0], beyond * down[1]])
        lashes = (
            remap(eye.plates.lashes, np.asarray(mirrored, np.float32), cv2.INTER_LINEAR)
            * turned
            * (np.float32(1 / 255) * (below > 0))
        )
        # What they cover turns dark, the lid above stays what it is.
        shade *= over / np.maximum(over + lashes * (1 - over), LEAST_OPENING)
        over += lashes * (1 - over)
    over *= blink > 0
    paint *= cv2.merge([shade, shade, shade])  # faster than broadcasting over the last axis
    return np.asarray(paint, np.float32), np.asarray(over[..., None], np.float32)


def _lid_heights(eye: EyeTables) -> tuple[float, float]:
    """t of the highest point of the upper lid's edge and of the lowest one of the lower lid's."""
    s = np.linspace(0, 1, 65)
    return float(curve_at(eye.upper, s).min()), float(curve_at(eye.lower, s).max())


def _lids_reach(eye: EyeTables, highest: float, lowest: float, pose: FacePose) -> tuple[float, float]:
    """From which t to which the lids of an eye change anything. Args: highest, lowest: of `_lid_heights`."""
    raised = eye.strength * (UPPER_FOLLOWS * abs(pose.gaze[1]) + max(pose.widen, 0.0) * (lowest - highest))
    # Lashes of a shut eye end nearer to its lower lid than the skin that goes with that.
    lowered = eye.strength * LOWER_FOLLOWS * abs(pose.gaze[1])
    above = eye.strip + FOLD_REACH if pose.closed > 0 else SKIN_REACH
    return highest - max(SKIN_REACH, above) - raised, lowest + SKIN_REACH + lowered


def _where(source: Map, eye: EyeTables, rows: tuple[float, float]) -> Box | None:
    """The part of a map that looks between the corners of an eye, at t within `rows`: nothing else of it moves."""
    at = cv2.transform(np.ascontiguousarray(source[::_COARSE, ::_COARSE]), eye.to_eye)
    margin = 1.5 * _COARSE / eye.width_px  # from a pixel looked at to one that is not
    seen = np.asarray(cv2.inRange(at, (-margin, rows[0] - margin), (1 + margin, rows[1] + margin)))
    left, top, width, height = (_COARSE * n for n in cv2.boundingRect(seen))
    if not width:
        return None
    return left, top, min(left + width, source.shape[1]), min(top + height, source.shape[0])


def _split(at: Map) -> tuple[Map, Map]:
    """The two numbers of each pixel, (h, w, 2) -> (h, w) each: what follows is faster on them."""
    s, t = cv2.split(at)
    return np.asarray(s, np.float32), np.asarray(t, np.float32)
