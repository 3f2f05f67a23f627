"""The edge of a person before another background: which strands of hair cover it, and their own colours."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.background import carried_on
from s2v.engine.compositor.head.person import Matte
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image

_BAND_UNITS = 0.05  # so far to both sides of the edge a pixel's colour tells how much of it is the person
_INSIDE, _OUTSIDE = 0.9, 0.1  # a matte beyond these is on the safe side of the band
_UNSURE_UNITS = 0.04  # half the width of the softest edge: hair shows by its colour, the rest is cloud
_NOISE = 22.0  # grey levels: person and background must differ by more for their colours to tell
_LEAST_SHARE = 0.1  # what holds less of one side is the other side alone
_SOFT_PX = 0.7
_SPECK = 0.2  # a cover from here on is seen
_SPECK_UNITS2 = 0.1  # a piece of the person that is smaller is debris
_BESIDE = 4.0  # how much more a colour off the line between both takes away


def cut_out(photo: Image, person: Matte, fine: Matte, unit_px: float) -> tuple[Image, Matte]:
    """The person without the background's colours, (h, w, 3) BGR, and how much of each pixel is covered, (h, w).

    Inside and outside colours are carried on over the edge from both sides; a pixel between is the mixture of both that
    comes nearest to it, pulled towards `person` where both look alike.

    Args:
        photo: (h, w, 3) BGR. person: (h, w) of `person_matte`. fine: (h, w) of `strands`.
        unit_px: pixels of a face unit.
    Source of the colours' formula: Forte, "Approximate fast foreground colour estimation", ICIP 2021.
    """
    person = _decided(person, unit_px)
    inside_px = cv2.distanceTransform((person > _INSIDE).astype(np.uint8), cv2.DIST_L2, 5)
    outside_px = cv2.distanceTransform((person < _OUTSIDE).astype(np.uint8), cv2.DIST_L2, 5)
    loose = cv2.dilate(fine, np.ones((3, 3), np.uint8)) > 0
    band_px = max(1.0, _BAND_UNITS * unit_px)
    own = carried_on(photo, inside_px > band_px)
    behind = carried_on(photo, (outside_px > band_px) & ~loose)
    near = (inside_px <= band_px) & ((outside_px <= band_px) | loose)
    at, own, behind = photo[near].astype(np.float32), own[near], behind[near]
    there = np.maximum(person, fine)[near]  # an ear-ring has neither side's colour
    apart = own - behind
    length2 = (apart**2).sum(-1)
    own_share = ((at - behind) * apart).sum(-1) / np.maximum(length2, 1.0)
    beside = at - behind - own_share[:, None] * apart  # what is no mixture of both says nothing
    trust = length2 / (length2 + _NOISE**2 + _BESIDE * (beside**2).sum(-1))
    mixed = there + trust * (np.clip((own_share - _LEAST_SHARE) / (1 - 2 * _LEAST_SHARE), 0, 1) - there)
    # Colour alone would see holes deep inside and specks far outside: there the person's matte decides.
    depth = smoothstep(0.5 + 0.5 * (inside_px - outside_px)[near] / band_px)
    most = np.where(loose[near], 1, smoothstep(2 * depth))
    cover, head = person.copy(), photo.copy()
    cover[near] = np.clip(mixed, smoothstep(2 * depth - 1), most)
    cover[near] = cv2.GaussianBlur(cover, (0, 0), _SOFT_PX)[near]  # the photo's noise is no fringe
    cover *= _held(cover, person, unit_px)
    share = cover[near][:, None]
    head[near] = np.clip(own + share * (at - share * own - (1 - share) * behind) + 0.5, 0, 255)
    return head, cover


def _decided(person: Matte, unit_px: float) -> Matte:
    """A matte that is unsure nowhere but along its middle."""
    out_px, in_px = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (person < 0.5, person >= 0.5)
    )
    hard = np.asarray((in_px - out_px) / (_UNSURE_UNITS * unit_px), np.float32)
    low, high = smoothstep(hard), smoothstep(hard + 1)
    return np.asarray(np.clip(person, low, high), np.float32)


def _held(cover: Matte, person: Matte, unit_px: float) -> Matte:
    """1 on what hangs together with much of the person's inside, and on its faint surroundings, 0 on specks."""
    seen = (cover > _SPECK).astype(np.uint8)
    pieces = cv2.connectedComponents(seen)[1]
    held = np.bincount(pieces[person > _INSIDE], minlength=pieces.max() + 1) > _SPECK_UNITS2 * unit_px**2
    lost = cv2.dilate((~held[pieces] & (seen > 0)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.asarray(~(lost & ~(held[pieces] & (seen > 0))), np.float32)
