"""Which pixels of a photo belong to the person whose face was found: body, hair, hat, what hangs on them.

A small network says it (MediaPipe's selfie segmentation, 256 px); where it does not even see the face, as on some
drawings, GrabCut does (Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.bundled import PERSON_SEGMENTATION
from s2v.engine.face.geometry import FACE_OVAL, FacePlane, Points
from s2v.engine.face.maps import Box, smoothstep
from s2v.engine.face.photo import Image, shrunk

Matte = NDArray[np.float32]  # (h, w) in [0, 1]

WORK_PX = 512  # of the photo's longer side: no edge of the network's is finer

_NETWORK_PX = 256
_BORDER_SHARE = 0.25  # of the longer side
_NEAR = (2.6, 2.4, 3.2)  # face units from between the eyes to the sides, up, down: a second look at the head alone
_SECOND_LOOK_SHARE = 0.6  # of the photo; if the head takes more, a second look shows no more
_FADE_SHARE = 0.12  # of its width and height, until the second look counts alone
_SEEN_FACE = 0.75  # of the face that the network must take for a person, on the average
_GRABCUT_PX, _GRABCUT_ROUNDS = 320, 4
_APART_UNITS = 1.15  # further from the face, above the chin, is somebody else
_SOMEBODY_UNITS2 = 0.3  # if it is that large
_CHIN = 152
_GUIDE_UNITS, _GUIDE_EPS = 0.04, 1e-4  # radius and flatness of the filter that fits the edge to the photo's
_DOUBT_PX = 256  # of the longer side: doubts are settled on so small a picture
_SURE = 0.97  # from here on, and below the rest to 1, the network is sure
_DOUBT_UNITS, _BESIDE_DOUBT_UNITS = 0.03, 0.05  # half the width of what is more than a soft edge; settled with it
_THIN_UNITS = 0.04  # half the width of what is no sure person: bridges to a bystander
_COLOUR, _AROUND_UNITS = 9.0, 0.25  # standard deviations, of CIELAB and of place, within which colours are compared
_SAMPLES = 400  # of each side
_RARE, _MOST_TOLD = 0.01, 4.0  # a density that says nothing; the logarithm of odds that colours tell at most


def person_matte(photo: Image, landmarks: Points, plane: FacePlane) -> Matte:
    """How much of each pixel is this person: 1 inside, 0 on the background and on other people, soft along hair.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
    """
    height, width = photo.shape[:2]
    small, scale = shrunk(photo, WORK_PX)
    matte = _small_matte(small, landmarks[:, :2] * scale, FacePlane(plane.matrix * scale))
    return np.asarray(cv2.resize(matte, (width, height)), np.float32)


def _small_matte(photo: Image, points: Points, plane: FacePlane) -> Matte:
    unit_px = face_unit_px(plane)
    skull = sure_skull(points, plane, photo.shape[:2])
    network = cv2.dnn.readNetFromONNX(str(PERSON_SEGMENTATION))  # 10 ms; two threads cannot share one
    near = _around(plane, photo.shape[:2])
    if near is None:
        likely = _thrice(network, photo)
    else:
        likely = _answer(network, photo)
        _look_closer(network, photo, near, likely)
    if float(likely[skull > 0].mean()) < _SEEN_FACE:
        likely = _grabcut(photo, skull, unit_px)
    else:
        likely = settled_by_colour(photo, likely, unit_px)
    own = _of_this_person(likely, skull, float(points[_CHIN, 1]), unit_px)
    radius = max(1, round(_GUIDE_UNITS * unit_px))
    fitted = cv2.ximgproc.guidedFilter(photo.astype(np.float32) / 255, likely, radius, _GUIDE_EPS)
    soft = smoothstep((np.asarray(fitted, np.float32) - 0.1) / 0.8)
    return np.asarray(np.maximum(soft * own, skull), np.float32)


def face_unit_px(plane: FacePlane) -> float:
    """Pixels of a face unit, on the average of both directions."""
    return float(np.sqrt(abs(np.linalg.det(plane.matrix[:, :2]))))


def sure_skull(landmarks: Points, plane: FacePlane, size: tuple[int, ...]) -> Matte:
    """What is head for certain, 0 or 1: the face as far as the mesh goes, and the forehead above it."""
    oval = landmarks[list(FACE_OVAL), :2]
    at = plane.to_plane(oval)
    middle = at.mean(0)
    grown = np.where(at[:, 1:] < -0.35, [0.9, 1.12], 0.97)
    lifted = plane.to_photo(middle + (at - middle) * grown)
    skull = np.zeros(size, np.float32)
    cv2.fillConvexPoly(skull, cv2.convexHull(lifted.round().astype(np.int32)), 1.0)
    return skull


def _thrice(network: cv2.dnn.Net, picture: Image) -> Matte:
    """Person or not, for a picture of any shape, (h, w): the middle one of three answers.

    The network errs on grain and folds, and elsewhere for a picture that is mirrored, or has a wider border.
    """
    height, width = picture.shape[:2]
    wide = round(_BORDER_SHARE * max(height, width))
    bordered = cv2.copyMakeBorder(picture, wide, 0, wide, wide, cv2.BORDER_REFLECT)
    as_it_is, mirrored = _answer(network, picture), _answer(network, picture[:, ::-1])[:, ::-1]
    wider = _answer(network, np.asarray(bordered, np.uint8))[wide:, wide : wide + width]
    low, high = np.minimum(as_it_is, mirrored), np.maximum(as_it_is, mirrored)
    return np.asarray(np.clip(wider, low, high), np.float32)


def _answer(network: cv2.dnn.Net, picture: Image) -> Matte:
    height, width = picture.shape[:2]
    size = (_NETWORK_PX, _NETWORK_PX)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    network.setInput(cv2.dnn.blobFromImage(small, 1 / 255, size, swapRB=True))
    return np.asarray(cv2.resize(network.forward()[0, 0], (width, height)), np.float32)


def _around(plane: FacePlane, size: tuple[int, ...]) -> Box | None:
    """Left, top, right, bottom of the head and shoulders; None where the photo shows little more."""
    side, up, down = (n * face_unit_px(plane) for n in _NEAR)
    x, y = plane.to_photo(np.zeros(2))
    height, width = size
    left, right = (int(np.clip(n, 0, width)) for n in (x - side, x + side))
    top, bottom = (int(np.clip(n, 0, height)) for n in (y - up, y + down))
    share = (right - left) * (bottom - top) / (width * height)
    return (left, top, right, bottom) if share < _SECOND_LOOK_SHARE else None


def _look_closer(network: cv2.dnn.Net, photo: Image, box: Box, likely: Matte) -> None:
    """Put the network's word on a box into `likely`, fading towards those of its sides that are not the photo's."""
    left, top, right, bottom = box
    height, width = likely.shape
    weight = np.minimum(_fade(top, bottom, height)[:, None], _fade(left, right, width)[None])
    part = likely[top:bottom, left:right]
    part += weight * (_thrice(network, photo[top:bottom, left:right]) - part)


def _fade(first: int, end: int, size: int) -> NDArray[np.float32]:
    """0 at those ends of a part of `size` pixels that are not the whole's own, 1 further in: (end - first,)."""
    at = (np.arange(first, end) + 0.5 - first) / (end - first)
    from_ends = np.minimum(at if first > 0 else 1, 1 - at if end < size else 1)
    return np.asarray(np.minimum(from_ends / _FADE_SHARE, 1) + 0 * at, np.float32)


def settled_by_colour(photo: Image, likely: Matte, unit_px: float) -> Matte:
    """The network's word (h, w), where it is in doubt over more than a soft edge weighed with that of colours.

    A seat behind hair, leaves, somebody's arm look like the background near them, a lock and a turban like the person.
    """
    height, width = likely.shape
    small, scale = shrunk(photo, _DOUBT_PX)
    word = cv2.resize(likely, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    unit = unit_px * scale
    person = cv2.morphologyEx((word > _SURE).astype(np.uint8), cv2.MORPH_OPEN, _disc(_THIN_UNITS * unit)) > 0
    behind = cv2.erode((word < 1 - _SURE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    unsure = ~person & (word > 1 - _SURE)
    wide = cv2.distanceTransform(unsure.astype(np.uint8), cv2.DIST_L2, 5) > max(1.5, _DOUBT_UNITS * unit)
    asked = unsure & (cv2.dilate(wide.astype(np.uint8), _disc(_BESIDE_DOUBT_UNITS * unit)) > 0)
    near = cv2.distanceTransform((~asked).astype(np.uint8), cv2.DIST_L2, 5) < 2 * _AROUND_UNITS * unit
    if not (asked.any() and (person & near).any() and (behind & near).any()):
        return likely
    colour = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) / _COLOUR
    place = np.stack(np.meshgrid(np.arange(small.shape[1]), np.arange(small.shape[0])), -1) / (_AROUND_UNITS * unit)
    at = np.dstack([colour, place]).astype(np.float32)
    own, other = (_density(at[asked], at[side & near]) for side in (person, behind))
    told = np.clip(np.log((own + _RARE) / (other + _RARE)), -_MOST_TOLD, _MOST_TOLD)
    before = np.clip(word[asked], 1 - _SURE, _SURE)
    more = np.zeros_like(word)
    more[asked] = 1 / (1 + (1 - before) / before * np.exp(-told)) - word[asked]
    return np.asarray(np.clip(likely + cv2.resize(more, (width, height)), 0, 1), np.float32)


def _density(at: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """How dense samples' colours are where they are near: (n,) of (n, 5) and (m, 5), colour and place each.

    Source: Parzen, "On estimation of a probability density function and mode" (1962).
    """
    samples = samples[:: -(-len(samples) // _SAMPLES)]
    colour, place = (
        np.exp(
            -0.5
            * (
                (at[:, part] ** 2).sum(1)[:, None]
                + (samples[:, part] ** 2).sum(1)
                - 2 * at[:, part] @ samples[:, part].T
            )
        )
        for part in (np.s_[:3], np.s_[3:])
    )
    return np.asarray((colour * place).sum(1) / (place.sum(1) + 1e-3), np.float32)


def _disc(radius_px: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _grabcut(photo: Image, skull: Matte, unit_px: float) -> Matte:
    """Person or not by colour alone: a unit around the face and everything below it may be, the rest is not."""
    height, width = skull.shape
    scale = min(1.0, _GRABCUT_PX / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    sure = cv2.resize(skull, size) > 0.5
    away = cv2.distanceTransform((~sure).astype(np.uint8), cv2.DIST_L2, 5) / (unit_px * scale)
    y, x = np.mgrid[: size[1], : size[0]]
    chin_y = float(np.flatnonzero(sure.any(1))[-1])
    below = (y - chin_y) / (unit_px * scale)
    beside = np.abs(x - np.flatnonzero(sure.any(0)).mean()) / (unit_px * scale)
    mask = np.where((away < 1.0) | ((below > 0) & (away < 2.5)), cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    mask[(away < 0.35) | ((below > 0.2) & (beside < 0.6 + np.minimum(below, 1.2)))] = cv2.GC_PR_FGD
    mask[sure | ((below > 0) & (beside < 0.3 + 0.5 * np.minimum(below, 1.2)))] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # it draws its first guess at random
    cv2.grabCut(small, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return np.asarray(cv2.resize(cv2.GaussianBlur(person, (0, 0), 1.0), (width, height)), np.float32)


def _of_this_person(likely: Matte, skull: Matte, chin_y: float, unit_px: float) -> Matte:
    """1 on the piece that hangs together with the face, 0 on others; who touches it is cut off half-way."""
    person = (likely > 0.3) | (skull > 0)
    away_px = cv2.distanceTransform((skull == 0).astype(np.uint8), cv2.DIST_L2, 5)
    above = np.arange(len(likely))[:, None] < chin_y
    others = (person & above & (away_px > _APART_UNITS * unit_px)).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(others)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] > _SOMEBODY_UNITS2 * unit_px**2]
    if large:
        other_px = cv2.distanceTransform((~np.isin(pieces, large)).astype(np.uint8), cv2.DIST_L2, 5)
        person &= away_px <= np.maximum(other_px, 0.35 * unit_px)
    _, pieces = cv2.connectedComponents((person & ((likely > 0.5) | (skull > 0))).astype(np.uint8))
    at = np.flatnonzero(skull.ravel() > 0)
    own = pieces == np.bincount(pieces.ravel()[at]).argmax()
    grown = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(0.05 * unit_px)))
    return np.asarray(grown, np.float32)
