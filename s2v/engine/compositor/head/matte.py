"""What travels with the head: the person with a rim of background, so that frizz and earrings are not left behind."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.person import Matte, face_unit_px, person_matte
from s2v.engine.compositor.head.strands import strands
from s2v.engine.face.geometry import FacePlane, Points
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image

_PERSON = 0.3  # from here on a pixel counts as the person: a little generous, for hair is thin
_ISLAND_UNITS2 = 0.12  # smaller gaps are closed, also if a channel leads to them
_CHANNEL_UNITS = 0.03  # of not more than twice that width
_HALO_UNITS = 0.05  # so far around it everything travels along
_RAMP_UNITS = 0.10  # and so far beyond, until nothing does


def head_matte(photo: Image, landmarks: Points, plane: FacePlane) -> Matte:
    """(h, w): 1 on head and body, widened by 0.05 face units, then a ramp of 0.10 to 0 on the background.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
    """
    unit_px = face_unit_px(plane)
    return widened(with_all_that_hangs_on(photo, person_matte(photo, landmarks, plane), unit_px), unit_px)


def with_all_that_hangs_on(photo: Image, person: Matte, unit_px: float) -> Matte:
    """A person's matte with `strands`, and without small gaps: background between a lock and the neck travels too."""
    return without_islands(np.maximum(person, strands(photo, person, unit_px)), unit_px)


def without_islands(person: Matte, unit_px: float) -> Matte:
    """A person's matte whose small gaps are closed."""
    outside_px = cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    apart_px = _CHANNEL_UNITS * unit_px
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((outside_px > apart_px).astype(np.uint8))
    small = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] < _ISLAND_UNITS2 * unit_px**2]
    islands = np.isin(pieces, small)
    if not islands.any():
        return person
    from_island_px = cv2.distanceTransform((~islands).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.where(from_island_px <= 1.5 * apart_px + 1, np.float32(1), person), np.float32)


def widened(person: Matte, unit_px: float) -> Matte:
    """A person's matte with the rim around it."""
    outside_px = cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    beyond = np.asarray((outside_px / unit_px - _HALO_UNITS) / _RAMP_UNITS, np.float32)
    return 1 - smoothstep(beyond)
