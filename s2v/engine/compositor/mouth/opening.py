"""The opening between the lips, and the light that falls through it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import Points

Plane = NDArray[np.float32]  # (h, w)

MARGIN = 0.009  # face units that the opening reaches under the edges of the lips
FADE_IN = 2.0  # margins: what is inside is fully there when the lips are that far apart
EDGE_BLUR = 0.006  # face units: standard deviation of the soft edge of the lips
LEAST_BLUR_PX = 0.5
REACH = 0.022  # face units from which light comes: what is further from the open is dark
FULLY_LIT = 0.9  # share of the surroundings open from which on light is full
FADED = 0.53  # that share in the middle of a gap of 0.032 face units: narrower ones show the photo's own dark line
BRIGHTEST = 0.92  # light in the middle of a wide opening: lips and nose keep off some
DARKEST, DARKEST_IN_SLIT = 0.58, 0.16  # share of it where nothing around is open
WIDE = 0.06  # face units: lips that far apart are no slit
SHADOW, SHADOW_LENGTH = 0.22, 0.024  # of the upper lip on what is below it: share of the light; face units
FROM_ABOVE = 0.55  # how far the light is what is open above, not around: it reaches what is near the lower lip
# Beside the lower lip more is open above than around; by that much the lip's wet inner side begins to show, and how
# fast it comes.
INNER_FROM, INNER_OVER, INNER_MOST = 0.10, 0.30, 0.65
_COARSE_SIGMA_PX = 4  # a blur of twice that is made on half the pixels, and so on
_MOST_FINE = 4  # how many times as fine as the picture the outline is drawn


class Opening(NamedTuple):
    """Of a part of a picture, (h, w) each in [0, 1]."""

    cover: Plane  # how far what is inside covers the photo
    light: Plane  # what falls on it
    lower_lip: Plane  # how far the wet inner side of the lower lip hides what is inside


def lip_gap(outline: Points) -> tuple[float, Points]:
    """How far lips are apart where they are furthest, negative where they overlap, and which way down is, (2,).

    Args:
        outline: (2k, 2), the upper lip from corner to corner, then the lower lip back; the head may be rolled.
    """
    half = len(outline) // 2
    across = outline[half] - outline[0]
    down = np.array([-across[1], across[0]]) / (np.hypot(*across) + 1e-9)
    return float(((outline[half + 1 :][::-1] - outline[1:half]) @ down).max()), down


def edge_blur_px(unit_px: float, photo_blur_px: float = 0.0) -> float:
    """Standard deviation of the soft edge of the lips on a photo that is blurred by so much."""
    return float(np.hypot(max(LEAST_BLUR_PX, EDGE_BLUR * unit_px), photo_blur_px))


def apart(gap_px: float, unit_px: float) -> float:
    """0 for closed lips, 1 for open ones."""
    return min(max(gap_px / (FADE_IN * MARGIN * unit_px), 0.0), 1.0)


def widened(outline: Points, down: Points, margin_px: float) -> Points:
    """The outline with both lips moved apart, and its corners too."""
    half = len(outline) // 2
    grown = outline.copy()
    grown[1:half] -= margin_px * down
    grown[half + 1 :] += margin_px * down
    aside = margin_px * np.array([down[1], -down[0]])
    grown[0] -= aside
    grown[half] += aside
    return grown


def open_share(outline: Points, size: tuple[int, int], blur_px: float) -> Plane:
    """Share of each pixel inside a polygon (n, 2), softened; (height, width) in [0, 1]."""
    fine = _MOST_FINE if max(size) < 200 else 2
    mask = np.zeros((size[1] * fine, size[0] * fine), np.uint8)
    fixed = np.round(((outline + 0.5) * fine - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_8, 4)
    cv2.polylines(mask, [fixed], True, 128, 1, cv2.LINE_8, 4)  # pixels that the edge crosses were filled too
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.GaussianBlur(share, (0, 0), blur_px, borderType=cv2.BORDER_CONSTANT), np.float32)


def light_through(gate: Plane, gap_px: float, down: Points, unit_px: float) -> Opening:
    """Cover and light of an opening.

    Things inside are lit through the opening, so their light is the open share of what surrounds them (ambient
    occlusion: Zhukov, Iones, Kronin, "An ambient light illumination model", 1998), and the upper lip shades what is
    below it.

    Args:
        gate: of `open_share`, with room for a shadow around it. down: (2,) of the face on the picture, length 1.
    """
    surroundings = _far_blurred(gate, REACH * unit_px)
    darkest = DARKEST_IN_SLIT + (DARKEST - DARKEST_IN_SLIT) * min(max(gap_px / (WIDE * unit_px), 0.0), 1.0)
    shift = np.c_[np.eye(2), SHADOW_LENGTH * unit_px * down]
    above = cv2.warpAffine(surroundings, shift, gate.shape[::-1], flags=cv2.INTER_LINEAR)
    more_above = above - surroundings
    around = surroundings + np.float32(FROM_ABOVE) * more_above
    light = darkest + (1 - darkest) * np.minimum(around * np.float32(1 / FULLY_LIT), 1)
    light *= BRIGHTEST * (1 - SHADOW) + BRIGHTEST * SHADOW * np.minimum(above * np.float32(1 / FULLY_LIT), 1)
    cover = gate * np.minimum(surroundings * np.float32(1 / FADED), 1)
    lower_lip = np.clip((more_above - np.float32(INNER_FROM)) * np.float32(1 / INNER_OVER), 0, INNER_MOST)
    return Opening(*(np.asarray(plane, np.float32) for plane in (cover, light, lower_lip)))


def light_between(outline: Points, size: tuple[int, int], unit_px: float) -> Plane:
    """The light between the lips of a photo, (height, width), as a share of what falls into a wide mouth.

    Args:
        outline: as of `lip_gap`, in pixels of a window of that (width, height).
    """
    gap_px, down = lip_gap(outline)
    gate = open_share(widened(outline, down, MARGIN * unit_px), size, edge_blur_px(unit_px))
    return np.asarray(light_through(gate, gap_px, down, unit_px).light / np.float32(BRIGHTEST), np.float32)


def _far_blurred(plane: Plane, sigma_px: float) -> Plane:
    """A Gaussian blur, on fewer pixels where it is wide; black lies around."""
    coarse = int(max(1, sigma_px // _COARSE_SIGMA_PX))
    if coarse == 1:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT), np.float32)
    height, width = plane.shape
    whole = cv2.copyMakeBorder(plane, 0, -height % coarse, 0, -width % coarse, cv2.BORDER_CONSTANT)
    size = (whole.shape[1] // coarse, whole.shape[0] // coarse)
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma_px / coarse, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(blurred, whole.shape[::-1])[:height, :width], np.float32)
