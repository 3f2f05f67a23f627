"""What hangs on a head and the network does not see: flyaway hair, hoops in the ears."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.head.person import WORK_PX, Matte
from s2v.engine.face.photo import Image

_PERSON = 0.3
REACH_UNITS = 0.4
_AROUND_UNITS = 0.2  # standard deviation of the window in which the background is told
_DIFFERENT, _SPREADS = 14.0, 2.5  # grey levels, and standard deviations of the background there
_BUSY_UNITS, _BUSY = 0.35, 0.4  # where this share of a square of that side stands out, it is the background's pattern
_FAINT = 0.6  # of that, for the rest of a thing of which some stands out
_GAP_UNITS = 0.1  # from the person to a strand, or from one of its pieces to the next
_LEAST_UNITS2 = 0.002  # what is smaller is noise


def strands(photo: Image, person: Matte, unit_px: float, reach_units: float = REACH_UNITS) -> Matte:
    """Fine things beside the person that touch it and stand out from the background around them: (h, w) in [0, 1].

    Args:
        photo: (h, w, 3) BGR. person: (h, w) of `person_matte`. unit_px: pixels of a face unit.
        reach_units: how far from the person they may end; what goes on is the background's.
    """
    height, width = person.shape
    scale = min(1.0, WORK_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    cover = np.asarray(cv2.resize(person, size, interpolation=cv2.INTER_AREA), np.float32)
    found = _small_strands(small, cover, unit_px * scale, reach_units)
    return np.asarray(cv2.resize(found, (width, height)), np.float32)


def _small_strands(photo: Image, person: Matte, unit_px: float, reach_units: float) -> Matte:
    body = person > _PERSON
    outside_px = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 5)
    near = ~body & (outside_px < reach_units * unit_px)
    beyond = outside_px > 0.1 * unit_px
    mean, spread = _told(photo, beyond, _AROUND_UNITS * unit_px)
    off = np.sqrt(((photo - mean) ** 2).sum(-1))
    off /= _DIFFERENT + _SPREADS * spread
    different = near & (off > 1)
    side = (max(3, round(_BUSY_UNITS * unit_px)),) * 2
    share = cv2.blur(different.astype(np.float32), side) / np.maximum(cv2.blur(near.astype(np.float32), side), 0.05)
    leaving = outside_px > (reach_units - 0.03) * unit_px
    fine = _pieces(near & (off > _FAINT), different & (share < _BUSY), leaving) & (share < _BUSY)
    bridge = np.ones((2 * max(1, round(_GAP_UNITS * unit_px / 2)) + 1,) * 2, np.uint8)
    pieces = cv2.connectedComponents(cv2.dilate((body | fine).astype(np.uint8), bridge))[1]
    held = np.bincount(pieces[person > 0.9], minlength=pieces.max() + 1) > 0
    held[0] = False
    specks, alone, stats, _ = cv2.connectedComponentsWithStats(fine.astype(np.uint8))
    large = np.array([stats[n, cv2.CC_STAT_AREA] > _LEAST_UNITS2 * unit_px**2 for n in range(specks)])
    return np.asarray(fine & held[pieces] & large[alone], np.float32)


def _pieces(into: NDArray[np.bool_], seeds: NDArray[np.bool_], never: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those pieces of `into` that hold a seed, and nothing of `never`: a pole or a leaf goes on, an ear-ring ends."""
    pieces = cv2.connectedComponents(into.astype(np.uint8))[1]
    kept = np.bincount(pieces[seeds], minlength=pieces.max() + 1) > 0
    kept[pieces[never]] = False
    kept[0] = False
    return np.asarray(kept[pieces])


def _told(photo: Image, where: NDArray[np.bool_], sigma_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colour (h, w, 3) of the pixels `where` that are near, and their standard deviation from it (h, w)."""
    height, width = where.shape
    scale = min(1.0, 4 / sigma_px)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    at = photo.astype(np.float32) * where[..., None]
    sums = np.dstack([at, (at**2).sum(-1), where])
    sums = np.dstack([cv2.resize(sums[..., n], size, interpolation=cv2.INTER_AREA) for n in range(5)])
    sums = np.dstack([cv2.GaussianBlur(sums[..., n], (0, 0), sigma_px * scale) for n in range(5)])
    means = sums[..., :4] / np.maximum(sums[..., 4:], 1e-3)
    spread = np.sqrt(np.maximum(means[..., 3] - (means[..., :3] ** 2).sum(-1), 0))
    return cv2.resize(means[..., :3], (width, height)), cv2.resize(spread, (width, height))
