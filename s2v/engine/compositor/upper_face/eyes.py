"""Moves the lids of a photo's eyes and turns its irises a little.

Three layers with hard seams, as in a real eye: the eyeball lies still behind the lids, the upper lid slides down
over it from behind the fold of skin above, the lower lid rises a little. All of it is laid out along
the line between the corners of an eye: (s, t) in eye widths, s from corner to corner, t towards the mouth.

A blink is painted: it brings out skin that the photo does not show. What lids do besides, following the gaze, opening
wider, rising with a cheek, is small and bends the map: skin stretches, and under a lid that stands higher the eyeball.
A device needs nothing but the tables: all amounts enter linearly, in `LidPlaces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.eye_curves import LEAST_OPENING, EyeCurves, entries
from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.lid_paint import LidPlaces, painted_lid, painted_rows
from s2v.engine.face.maps import Box, Map, smoothstep
from s2v.engine.face.photo import Image

LOWER_LID_SHARE = 0.12  # of the opening is closed from below
SKIN_REACH = 0.25  # eye widths beyond the lids' edges that go with them
CHEEK_LID_SHARE = 0.22  # of the opening by which a raised cheek lifts the lower lid
UPPER_FOLLOWS, LOWER_FOLLOWS = 0.7, 0.3  # of the iris's way up or down is the lids'
STRETCH = 0.8  # of the opening, from the upper lid down: so much of the eyeball stretches under a lid that rises
FOLD_REACH = 0.22  # eye widths above the fold that go with it
_OVERLAP_FROM = 0.75  # of a blink: until then both eyes close by the same share of their openings
_COARSE = 3  # pixels from one to the next that is asked where the eye is


class Lid(NamedTuple):
    """A piece of upper lid, to be laid over a frame."""

    box: Box
    paint: NDArray[np.float32]  # (h, w, 3)
    alpha: NDArray[np.float32]  # (h, w, 1) in [0, 1]


class MovingEyes:
    """The eyes of a photo."""

    def __init__(self, eyes: Sequence[EyeTables]) -> None:
        self._eyes = [(eye, EyeCurves(eye)) for eye in eyes]

    def move(self, source: Map, origin: tuple[int, int], pose: FacePose) -> list[Lid]:
        """Turn the irises and raise the lower lids in a map, in place; returns the upper lids to be laid over.

        Args:
            source: (h, w, 2) photo pixel of each pixel of a part of the frame; origin: where that part begins.
        """
        lids: list[Lid] = []
        stay = _lids_stay(pose)
        if stay and pose.gaze[0] == 0:
            return lids
        for eye, curves in self._eyes:
            box = eye.opening_box if stay else eye.box
            ends = np.array([source.shape[1], source.shape[0]] * 2)
            left, top, right, bottom = (int(n) for n in np.clip(np.array(box) - [*origin, *origin], 0, ends))
            if right <= left or bottom <= top:
                continue
            rows = (curves.highest, curves.lowest) if stay else _lids_reach(eye, curves, pose)
            within = _where(source[top:bottom, left:right], eye, rows)
            if within is None:
                continue
            left, top, right, bottom = (n + start for n, start in zip(within, (left, top) * 2, strict=True))
            part = source[top:bottom, left:right]
            s, t = _split(np.asarray(cv2.transform(part, eye.to_eye), np.float32))
            moved = _places(eye, curves, s, pose)
            rows = painted_rows(eye, curves)
            if pose.closed > 0 and (there := _where(part, eye, rows)):
                x, y, x_end, y_end = there
                here = np.s_[y:y_end, x:x_end]
                painted = painted_lid(eye, t[here], part[here], moved.part(here), float(pose.closed))
                lids.append(Lid((left + x, top + y, left + x_end, top + y_end), *painted))
            cv2.add(part, _offset(eye, curves, s, t, moved, pose), dst=part)
        return lids


def lay_over(picture: Image, lids: list[Lid]) -> None:
    """Draw lids on the part of the frame whose map they were made with, in place."""
    for (left, top, right, bottom), paint, alpha in lids:
        part = picture[top:bottom, left:right]
        share = alpha[..., 0]
        part[:] = cv2.convertScaleAbs(cv2.blendLinear(paint, part.astype(np.float32), share, 1 - share))


def overlap_share(closed: float) -> float:
    """How much of `lids_overlap` a blink has reached. Args: closed: 0 to 1."""
    return float(smoothstep((closed - _OVERLAP_FROM) / (1 - _OVERLAP_FROM)))


def _lids_stay(pose: FacePose) -> bool:
    return pose.closed <= 0 and pose.gaze[1] == 0 and pose.widen == 0 and pose.cheeks == 0


def _places(eye: EyeTables, curves: EyeCurves, s: Map, pose: FacePose) -> LidPlaces:
    at = entries(s)
    upper, opening, free = curves.upper[at], curves.opening[at], curves.free[at]
    awake = eye.strength * (1 - pose.closed)
    drop = np.float32(-awake * pose.widen) * opening
    rise = np.float32(LOWER_LID_SHARE * pose.closed + CHEEK_LID_SHARE * awake * pose.cheeks) * opening
    if pose.gaze[1] != 0:
        drop += np.float32(UPPER_FOLLOWS * awake * pose.gaze[1]) * free
        rise -= np.float32(LOWER_FOLLOWS * awake * pose.gaze[1]) * free
    blink = None
    if pose.closed > 0:
        blink = np.float32((1 - LOWER_LID_SHARE) * pose.closed) * opening
        beyond = overlap_share(pose.closed)
        if beyond > 0:
            blink += np.float32(beyond) * curves.overlap[at]
    return LidPlaces(upper, opening, drop, rise, free, blink)


def _offset(eye: EyeTables, curves: EyeCurves, s: Map, t: Map, lids: LidPlaces, pose: FacePose) -> Map:
    """What gaze and lids add to a map, (h, w, 2) photo pixels."""
    from_photo = t - lids.upper
    below_edge = from_photo - lids.drop
    above_seam = lids.opening - lids.rise
    above_seam -= from_photo
    within = np.minimum(below_edge, above_seam)  # eye widths inside the opening
    opening = np.maximum(lids.opening, LEAST_OPENING)
    # The eyeball: level lines run along the lids, so that lids and their shadow stay.
    bared = from_photo
    if pose.widen > 0 or pose.gaze[1] < 0:
        bared = from_photo + np.maximum(-lids.drop, 0) * smoothstep(1 - below_edge / (STRETCH * opening))
    level = np.minimum(np.maximum(bared / opening, 0), 1)
    along = np.float32(-pose.gaze[0] * eye.strength) * lids.free
    at = entries(s + along)
    down = curves.upper[at] - t
    bowed = curves.opening[at]
    if pose.gaze[1] != 0:
        bowed -= np.float32(4 * pose.gaze[1] * eye.strength) * lids.free * (1 - level)
    bowed *= level
    down += bowed
    inside = within >= 0
    along *= inside
    if _lids_stay(pose):
        down *= inside
    else:
        skin = np.where(below_edge <= 0, -lids.drop, lids.rise)
        skin *= smoothstep(within * np.float32(1 / SKIN_REACH) + 1)
        if lids.blink is not None:
            folded = eye.fold_follows * lids.blink
            from_fold = from_photo - folded
            from_fold += eye.strip
            skin -= folded * smoothstep(from_fold * np.float32(1 / FOLD_REACH) + 1) * (below_edge <= 0)
        # Over a pixel from one to the other, else the edge of a lid is a stair.
        within *= eye.width_px
        within += 0.5
        down -= skin
        down *= np.minimum(np.maximum(within, 0), 1)
        down += skin
    return np.asarray(cv2.transform(cv2.merge([along, down]), eye.to_photo[:, :2]), np.float32)


def _lids_reach(eye: EyeTables, curves: EyeCurves, pose: FacePose) -> tuple[float, float]:
    """From which t to which the lids of an eye change anything."""
    highest, lowest = curves.highest, curves.lowest
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
