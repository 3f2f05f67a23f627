"""Paints the upper lid of a blinking eye: the strip with its lashes comes down, behind it skin from under the fold."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.upper_face.eye_curves import LEAST_OPENING, EyeCurves
from s2v.engine.compositor.upper_face.eye_tables import EyeTables
from s2v.engine.compositor.upper_face.lids import FOLD_SOFT
from s2v.engine.face.maps import Map, remap, smoothstep

# By how much more softly a shut lid comes out from behind a fold that goes all the way with it, eye widths, and which
# share of all the softness is above the fold: times `EyeTables.fold_follows`.
FOLD_SOFTER, SOFT_ABOVE = 0.30, 1.7
EDGES_SHADE, BULGE = 0.12, 0.18  # a shut lid is darker along fold and lashes, lighter over the ball of the eye
LASHES_TURN = (0.5, 0.9)  # of the way down: they begin and end to point down
LASHES_TURNED = 0.6  # of their darkness, and of the skin that they covered
_LASHES_BELOW = 0.20  # eye widths under the lower lid where those of a shut one may end
LASHES_SHARE = 0.8  # of their length above the open eye: so long are they below the shut one


class LidPlaces(NamedTuple):
    """Where the lids of an eye are, (h, w) eye widths each, and how far they are from where the photo has them."""

    upper: Map  # edges on the photo
    opening: Map
    drop: Map  # of the upper lid, but for the blink
    rise: Map  # of the lower lid, with the blink
    free: Map  # of `gaze_freedom`
    blink: Map | None  # how far a blink brings the upper lid down besides; None without one

    def part(self, where: tuple[slice, slice]) -> LidPlaces:
        """Those of some of the rows and columns."""
        upper, opening, drop, rise, free = (places[where] for places in self[:5])
        return LidPlaces(upper, opening, drop, rise, free, None if self.blink is None else self.blink[where])


def lashes_turned(closed: float) -> float:
    """How far the lashes of a blink point down, 0 to `LASHES_TURNED`. Args: closed: 0 to 1."""
    return LASHES_TURNED * float(smoothstep((closed - LASHES_TURN[0]) / (LASHES_TURN[1] - LASHES_TURN[0])))


def painted_rows(eye: EyeTables, curves: EyeCurves) -> tuple[float, float]:
    """From which t to which a lid may be painted."""
    softer = eye.fold_follows
    above = eye.strip + SOFT_ABOVE * softer * (FOLD_SOFT + FOLD_SOFTER * softer)
    return curves.highest - above, curves.lowest + _LASHES_BELOW


def painted_lid(
    eye: EyeTables, t: Map, source: Map, lids: LidPlaces, closed: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The upper lid's pixels and how much they cover, (h, w, 3) and (h, w, 1).

    Args:
        t: (h, w) of each pixel. source: (h, w, 2) photo pixels that the head alone shows there.
        lids: with a blink. closed: how far it is, over 0 to 1.
    """
    blink = lids.blink
    assert blink is not None
    folded = eye.fold_follows * blink
    drop = lids.drop + blink
    from_photo = t - lids.upper
    below = from_photo - drop  # the edge
    down, corner = eye.to_photo[:, 1].astype(np.float32), np.array(eye.box[:2], np.float32)
    back = source - cv2.merge([drop * down[0] + corner[0], drop * down[1] + corner[1]])
    # From half-way on the lashes point down: they leave the lid and cover, mirrored at its edge, what is below.
    how_far = lashes_turned(closed)
    turned = how_far * lids.free if how_far > 0 else None
    paint = remap(eye.plates.half_open, back, cv2.INTER_CUBIC).astype(np.float32)
    if turned is not None:
        bare = remap(eye.plates.shut, back, cv2.INTER_CUBIC).astype(np.float32)
        paint = np.asarray(cv2.blendLinear(bare, paint, turned, 1 - turned), np.float32)
    from_fold = from_photo - folded
    from_fold += eye.strip
    way = drop - folded
    way += eye.strip
    way = np.minimum(np.maximum(from_fold / np.maximum(way, LEAST_OPENING), 0), 1)
    shade = way * (1 - way)
    shade *= lids.free
    shade *= 4 * BULGE * closed
    shade += 1 - EDGES_SHADE * closed
    softer = closed * eye.fold_follows
    from_fold *= 1 / (FOLD_SOFT + FOLD_SOFTER * softer)
    from_fold += SOFT_ABOVE * softer
    over = np.minimum(np.maximum(0.5 - eye.width_px * below, 0), 1)
    over *= smoothstep(from_fold)
    if turned is not None:
        beyond = (1 + 1 / LASHES_SHARE) * np.maximum(below, 0)
        mirrored = back - cv2.merge([beyond * down[0], beyond * down[1]])
        lashes = remap(eye.plates.lashes, mirrored, cv2.INTER_LINEAR) * turned
        lashes *= np.float32(1 / 255) * (below > 0)
        lashes *= 1 - over
        # What they cover turns dark, the lid above stays what it is.
        shade *= over
        over += lashes
        shade /= np.maximum(over, LEAST_OPENING)
    over *= blink > 0
    paint *= cv2.merge([shade, shade, shade])  # faster than broadcasting over the last axis
    return np.asarray(paint, np.float32), np.asarray(over[..., None], np.float32)
