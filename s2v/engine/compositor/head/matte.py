"""What travels with the head: the person with a rim of background, so that frizz and earrings are not left behind."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.person import Matte
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image, shrunk

_PERSON = 0.3  # from here on a pixel counts as the person: a little generous, for hair is thin
_ISLAND_UNITS2 = 0.12  # smaller gaps are closed, also if a channel leads to them
_CHANNEL_UNITS = 0.03  # of not more than twice that width
_HALO_UNITS = 0.05  # so far around it everything travels along
_RAMP_UNITS = 0.10  # and so far beyond, until nothing does
_NARROW = 0.5  # of that, where the background is anything but plain
_CONTRAST_PX = 256  # of the longer side: contrast is measured on so small a picture
_CONTRAST_UNITS = 0.12  # standard deviation of the window that it is measured in: about as far as a head goes
_FRIZZ_UNITS = 0.05  # half of what is thinner is no contrast: it may be hair
_PLAIN, _STRUCTURED = 10.0, 30.0  # grey levels: no more, and no less, than that


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


def widened(person: Matte, unit_px: float, plain: Matte | None = None) -> Matte:
    """A person's matte with the rim around it: 0.05 face units, then a ramp of 0.10 to 0 on the background.

    Args:
        plain: (h, w) of `plainness`: where it is less than 1 the rim is narrower by that.
    """
    share = np.float32(1) if plain is None else np.maximum(plain, np.float32(_NARROW))
    outside_px = cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    beyond = np.asarray((outside_px / unit_px - _HALO_UNITS * share) / (_RAMP_UNITS * share), np.float32)
    return np.asarray(1 - smoothstep(beyond), np.float32)


def plainness(background: Image, unit_px: float) -> Matte:
    """Where a rim of it cannot be seen to move: (h, w), 1 before a plain wall, 0 where things stand or end.

    Args:
        background: (h, w, 3) BGR of `filled_background`.
    """
    height, width = background.shape[:2]
    small, scale = shrunk(background, _CONTRAST_PX)
    thin_px = 2 * max(1, round(_FRIZZ_UNITS * unit_px * scale)) + 1
    broad = cv2.medianBlur(small, thin_px).astype(np.float32)
    sigma_px = max(1.0, _CONTRAST_UNITS * unit_px * scale)
    mean = cv2.GaussianBlur(broad, (0, 0), sigma_px)
    spread2 = (cv2.GaussianBlur(broad**2, (0, 0), sigma_px) - mean**2).sum(-1)
    spread = cv2.resize(np.sqrt(np.maximum(spread2, 0)), (width, height))
    return np.asarray(1 - smoothstep((spread - _PLAIN) / (_STRUCTURED - _PLAIN)), np.float32)
