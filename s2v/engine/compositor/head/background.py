"""What lies behind the head: the photo's background, carried on from its edge."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.head.person import Matte
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image, shrunk

_PERSON = 0.15  # a matte from here on has hair in it that would be seen twice
_CLEAR_UNITS = 0.05  # from the person: so far its edge and its light reach
_WHOLE_UNITS = 0.08  # from the person: from here on the photo is kept as it is
_WORK_PX = 384  # of the longer side: what is made up is blurred anyway
_SPOT_PX, _MOST_TEXTURE = 19, 16  # what is smaller is mirrored with so many grey levels at most: a lamp stays single
_TEXTURE_PX, _MORE_THAN_USUAL = 61, 2.0
# Standard deviation of the blur for each pixel of depth behind the edge, and down to which depth there is less of it:
# grain and leaves go on where a head uncovers them, and where both sides of a mirror meet no seam shows.
_BLUR_PER_PX, _LESS_BLUR_PX = 0.10, 12.0
_SMOOTH_PX = 3.0
_LEVELS = 7  # of the pyramid: what is deeper than its coarsest blur looks like that


def filled_background(photo: Image, person: Matte, unit_px: float) -> Image:
    """The photo without the person, (h, w, 3) BGR: the photo itself from 0.08 face units around the person on.

    Behind the person the background is mirrored across the edge, and blurred the more the deeper it lies.

    Args:
        photo: (h, w, 3) BGR. person: (h, w) of `person_matte`. unit_px: pixels of a face unit.
    """
    outside_px = cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    away = np.asarray(outside_px / unit_px, np.float32)
    known = away > _CLEAR_UNITS
    if not known.any():  # nothing to go by, and nothing that would be uncovered
        return np.asarray(cv2.blur(photo, (max(1, photo.shape[1] // 8),) * 2), np.uint8)
    share = 1 - smoothstep((away - _CLEAR_UNITS) / (_WHOLE_UNITS - _CLEAR_UNITS))
    made, filled = photo.copy(), share > 0
    seen = photo[filled].astype(np.float32)
    mixed = seen + share[filled][:, None] * (carried_on(photo, known, without_spots=True)[filled] - seen)
    made[filled] = np.clip(mixed + 0.5, 0, 255)
    return made


def carried_on(photo: Image, known: NDArray[np.bool_], without_spots: bool = False) -> NDArray[np.float32]:
    """The photo where it is `known`, mirrored across the edge elsewhere and blurred by depth: (h, w, 3) grey levels.

    Coarser than the photo: it is to be mixed with it near the edge.

    Args:
        without_spots: a small bright or dark thing beside the edge is not seen again behind it.
    """
    height, width = known.shape
    small, _ = shrunk(photo, _WORK_PX)
    surely = cv2.resize(known.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.999
    if not surely.any():
        surely[:] = True  # nothing to go by: what is there, blurred by nothing
    mirrored, weight, depth_px = _mirrored(small, surely)
    picture = mirrored.astype(np.float32)
    if without_spots:
        around = cv2.medianBlur(mirrored, _SPOT_PX).astype(np.float32)
        off = picture - around
        usual = cv2.blur(np.abs(off), (_TEXTURE_PX, _TEXTURE_PX))  # leaves and bricks go on behind the head
        most = np.maximum(_MOST_TEXTURE, _MORE_THAN_USUAL * usual)
        picture = around + np.clip(off, -most, most)
    filled = _blurred_by_depth(picture, weight, depth_px)
    return np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _mirrored(photo: Image, known: NDArray[np.bool_]) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
    """The photo mirrored across the edge of `known`: (h, w, 3), where that is known (h, w), depth in pixels."""
    height, width = known.shape
    depth_px, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known)
    nearest = np.zeros((labels.max() + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], -1)
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    # The nearest pixels jump from one to the next: smoothed, else what is mirrored gets teeth.
    there = here + cv2.GaussianBlur(2 * (nearest[labels] - here), (0, 0), _SMOOTH_PX)
    there = np.abs(there)  # the photo's border mirrors too
    there = np.minimum(there, 2 * np.array([width - 1, height - 1], np.float32) - there)
    mirrored = cv2.remap(photo, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.remap(known.astype(np.float32), there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(mirrored, np.uint8), np.asarray(weight, np.float32), np.asarray(depth_px, np.float32)


def _blurred_by_depth(
    picture: NDArray[np.float32], weight: NDArray[np.float32], depth_px: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(h, w, 3): each pixel blurred by its depth, by a pyramid; pixels without weight take no part."""
    both = np.dstack([picture * weight[..., None], weight])
    blur_px = _BLUR_PER_PX * depth_px * np.minimum(depth_px / _LESS_BLUR_PX, 1)
    level = np.log2(np.maximum(blur_px, 1e-6) / 0.5)  # level n blurs by about 2 ** n / 2 pixels
    levels = [both]
    while len(levels) < _LEVELS and min(levels[-1].shape[:2]) > 3:
        levels.append(cv2.pyrDown(levels[-1]))
    result = levels[-1]
    for n in range(len(levels) - 2, -1, -1):
        finer = levels[n]
        size = (finer.shape[1], finer.shape[0])
        coarse = cv2.pyrUp(result, dstsize=size)
        at = level if n == 0 else cv2.resize(level, size, interpolation=cv2.INTER_AREA)
        share = np.clip(n + 1 - at, 0, 1)[..., None].astype(np.float32)
        share = share * np.minimum(finer[..., 3:] * 2, 1)
        coarse = coarse / np.maximum(coarse[..., 3:], 1e-4)
        fine = finer / np.maximum(finer[..., 3:], 1e-4)
        result = coarse + share * (fine - coarse)
    return np.asarray(result[..., :3] / np.maximum(result[..., 3:], 1e-4), np.float32)
