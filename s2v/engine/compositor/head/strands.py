"""What hangs on a head and the network does not see: flyaway hair, hoops in the ears."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.head.background import carried_on
from s2v.engine.compositor.head.person import WORK_PX, Matte
from s2v.engine.face.geometry import FacePlane
from s2v.engine.face.photo import Image, shrunk

_PERSON = 0.3
_REACH_UNITS = 0.4  # from the person: what goes on further is the background's
_AROUND_UNITS = 0.2  # standard deviation of the window in which the background's colour is measured
_DIFFERENT, _SPREADS = 14.0, 2.5  # grey levels, and standard deviations of the background there
_BUSY_UNITS, _BUSY = 0.35, 0.4  # where this share of a square of that side stands out, it is the background's pattern
_FAINT = 0.6  # of that, for the rest of a thing of which some stands out
_GAP_UNITS = 0.1  # from the person to a strand, or from one of its pieces to the next
_LEAST_UNITS2 = 0.002  # what is smaller is noise
_DEEP_UNITS = 0.08  # from the person's edge inwards: from there on hair has its own colour
_HAIRS = 0.5  # share of a thing's pixels that must look like hair
_ALONG = 0.85  # cosine of the angle between what hair and what the thing differs by from the background
_LEAST_HAIR, _MOST_HAIR = 0.5, 1.3  # how much it differs from the background, as a share of what hair does
_THICK_UNITS = 0.06  # half the width of the thickest lock
_JEWEL_UNITS2 = 0.08  # the largest thing of any colour
_PLAIN = 44.0  # grey levels that differ: only before such a background something of any colour is taken for an ear-ring
_SHOULDERS_V = 1.2  # face units from between the eyes, down
_LIKE_SKIN = 40.0  # BGR grey levels from the cheeks' colour: an ear and a neck are no hair
_EARS = (0.65, 1.45, 0.1, 0.8)  # face units from the middle, least and most, to a side and down: lobes and jewels


def strands(photo: Image, person: Matte, unit_px: float, plane: FacePlane) -> Matte:
    """Fine things beside the person that touch it and stand out from the background around them: (h, w) in [0, 1].

    Hair is known by its colour, which is not skin's, and by its place; what has another colour is an ear-ring if it is
    small, hangs where ears are and has a plain background, else it is the background's.

    Args:
        photo: (h, w, 3) BGR. person: (h, w) of `person_matte`. unit_px: pixels of a face unit. plane: of the face.
    """
    height, width = person.shape
    small, scale = shrunk(photo, WORK_PX)
    size = small.shape[:2]
    cover = np.asarray(cv2.resize(person, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    here = FacePlane(plane.matrix * scale)
    places = _Places(ears(here, size), above_shoulders(here, size), _skin(small, here))
    found = _small_strands(small, cover, places, unit_px * scale)
    return np.asarray(cv2.resize(found, (width, height)), np.float32)


class _Places(NamedTuple):
    ears: NDArray[np.bool_]  # (h, w)
    locks: NDArray[np.bool_]  # (h, w)
    skin: NDArray[np.float32]  # (3,) BGR


def ears(plane: FacePlane, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where on a photo (h, w) ear-rings hang."""
    near, far, high, low = _EARS
    found = np.zeros(size, np.uint8)
    for side in (-1, 1):
        corners = np.array([[side * near, high], [side * far, high], [side * far, low], [side * near, low]])
        cv2.fillConvexPoly(found, plane.to_photo(corners).round().astype(np.int32), 1)
    return np.asarray(found > 0)


def above_shoulders(plane: FacePlane, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where on a photo (h, w) what stands off a person may be hair, and is no fold or arm of a chair."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    (_, v_x), (_, v_y), (_, v) = plane.to_plane(np.array([[1.0, 0], [0, 1], [0, 0]]))
    return np.asarray((v_x - v) * x + (v_y - v) * y + v < _SHOULDERS_V, bool)


def _skin(photo: Image, plane: FacePlane) -> NDArray[np.float32]:
    """(3,) colour of the cheeks."""
    places = np.array([[side * u, v] for side in (-1, 1) for u in (0.3, 0.4, 0.5) for v in (0.35, 0.45, 0.55)])
    x, y = plane.to_photo(places).round().astype(int).T
    at = photo[y.clip(0, photo.shape[0] - 1), x.clip(0, photo.shape[1] - 1)]
    return np.asarray(np.median(at, axis=0), np.float32)


def _small_strands(photo: Image, person: Matte, places: _Places, unit_px: float) -> Matte:
    body = person > _PERSON
    outside_px = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 5)
    near = ~body & (outside_px < _REACH_UNITS * unit_px)
    beyond = outside_px > 0.1 * unit_px
    away, length, least = _off(photo, beyond, unit_px)
    # Once more, without what stands out: a long lock is no background of its own.
    away, length, least = _off(photo, beyond & (length < least), unit_px)
    off = length / least
    different = near & (off > 1)
    side = (max(3, round(_BUSY_UNITS * unit_px)),) * 2
    share = cv2.blur(different.astype(np.float32), side) / np.maximum(cv2.blur(near.astype(np.float32), side), 0.05)
    leaving = outside_px > (_REACH_UNITS - 0.03) * unit_px
    fine = _pieces(near & (off > _FAINT), different & (share < _BUSY), leaving) & (share < _BUSY)
    hair = carried_on(photo, cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, 5) > _DEEP_UNITS * unit_px)
    off_skin = hair - places.skin
    locks = places.locks & (np.einsum("hwc,hwc->hw", off_skin, off_skin) > _LIKE_SKIN**2)
    hair -= photo - away
    apart = np.sqrt(np.einsum("hwc,hwc->hw", hair, hair))
    like_hair = (np.einsum("hwc,hwc->hw", away, hair) > _ALONG * apart * length) & (apart > least)
    like_hair &= (length > _LEAST_HAIR * apart) & (length < _MOST_HAIR * apart) & locks
    fine &= _hangs(fine, like_hair, places.ears & (least < _PLAIN), unit_px)
    jewels = (fine & places.ears).astype(np.uint8)
    fine |= (cv2.morphologyEx(jewels, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0) & ~body  # filigree
    bridge = np.ones((2 * max(1, round(_GAP_UNITS * unit_px / 2)) + 1,) * 2, np.uint8)
    pieces = cv2.connectedComponents(cv2.dilate((body | fine).astype(np.uint8), bridge))[1]
    held = np.bincount(pieces[person > 0.9], minlength=pieces.max() + 1) > 0
    held[0] = False
    return np.asarray(fine & held[pieces], np.float32)


def _hangs(
    things: NDArray[np.bool_], like_hair: NDArray[np.bool_], jewels: NDArray[np.bool_], unit_px: float
) -> NDArray[np.bool_]:
    """Those of `things` that are locks of hair, or lie among `jewels`, and are no noise: (h, w)."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(things.astype(np.uint8))
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    depth_px = cv2.distanceTransform(things.astype(np.uint8), cv2.DIST_L2, 5)
    thick = np.bincount(pieces[depth_px > _THICK_UNITS * unit_px], minlength=count) > 0
    hairs = np.bincount(pieces[like_hair], minlength=count) > _HAIRS * area
    hung = np.bincount(pieces[jewels], minlength=count) > 0.5 * area
    kept = ((hairs & ~thick) | (hung & (area < _JEWEL_UNITS2 * unit_px**2))) & (area > _LEAST_UNITS2 * unit_px**2)
    kept[0] = False
    return np.asarray(kept[pieces])


def _pieces(into: NDArray[np.bool_], seeds: NDArray[np.bool_], never: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those pieces of `into` that hold a seed, and nothing of `never`: a pole or a leaf goes on, an ear-ring ends."""
    pieces = cv2.connectedComponents(into.astype(np.uint8))[1]
    kept = np.bincount(pieces[seeds], minlength=pieces.max() + 1) > 0
    kept[pieces[never]] = False
    kept[0] = False
    return np.asarray(kept[pieces])


def _off(photo: Image, where: NDArray[np.bool_], unit_px: float) -> tuple[NDArray[np.float32], ...]:
    """What differs from the background around it, (h, w, 3), by how much, and how much that must be: (h, w)."""
    mean, spread = _local_colour(photo, where, _AROUND_UNITS * unit_px)
    away = photo - mean
    return away, np.sqrt(np.einsum("hwc,hwc->hw", away, away)), np.asarray(_DIFFERENT + _SPREADS * spread, np.float32)


def _local_colour(
    photo: Image, where: NDArray[np.bool_], sigma_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colour (h, w, 3) of the pixels `where` that are near, and their standard deviation from it (h, w)."""
    height, width = where.shape
    scale = min(1.0, 4 / sigma_px)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    at = np.where(where[..., None], photo, np.float32(0))
    squares = np.einsum("hwc,hwc->hw", at, at)
    parts = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (at, squares, where.astype(np.float32))]
    sums = np.dstack([cv2.GaussianBlur(part, (0, 0), sigma_px * scale) for part in parts])
    means = sums[..., :4] / np.maximum(sums[..., 4:], 1e-3)
    spread = np.sqrt(np.maximum(means[..., 3] - (means[..., :3] ** 2).sum(-1), 0))
    mean, spread = (cv2.resize(part, (width, height)) for part in (means[..., :3], spread))
    return np.asarray(mean, np.float32), np.asarray(spread, np.float32)
