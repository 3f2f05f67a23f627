"""What lies between the lips of one picture: how dark, how red, how bright its teeth, how colourful.

Colours are CIE Lab: L from 0 to 100, a* towards red, b* towards yellow. What is dark or bright is told by the cheek, so
that neither exposure nor skin decides. The inside is what the inner lips enclose, as the detector sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, OUTER_EYES, OUTER_LIPS, UPPER_INNER_LIP
from s2v.engine.face.photo import Image

INNER_LIPS = (*UPPER_INNER_LIP, *LOWER_INNER_LIP[-2:0:-1])  # once around
OPEN_MOUTH = 0.06  # face units of opening: below it lips and their shade are most of what is seen
DARK = 0.35  # of the cheek's L: cavity, not teeth, tongue or lips
_CHEEKS, _CHEEK_RADIUS = (50, 280), 0.07  # mesh points, face units
_MIN_PIXELS, _MIN_ROWS = 20, 2.0  # fewer pixels, or rows of them over the whole width, are lips and their blur
_SUBPIXELS = 4  # binary digits of a polygon's corners

Mask = NDArray[np.bool_]
Lab = NDArray[np.float32]


@dataclass(frozen=True)
class MouthInterior:
    """The inside of one open mouth."""

    dark_share: float  # of its pixels, those darker than DARK of the cheek
    redness: float  # a* of its brightest quarter: tongue, gums, reflected red against bare teeth
    teeth_over_cheek: float  # L of its brightest quarter over the cheek's


def lab_of(picture: Image) -> Lab:
    """(h, w, 3) BGR -> L, a*, b*."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_BGR2LAB), np.float32)


def enclosed(size: tuple[int, int], points_px: NDArray[np.floating]) -> Mask:
    """The pixels of a picture (h, w) within a polygon (n, 2)."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(points_px * 2**_SUBPIXELS).astype(np.int32)], (1,), shift=_SUBPIXELS)
    return mask > 0


def look_inside(picture: Image, landmarks: NDArray[np.floating]) -> MouthInterior | None:
    """Of a picture (h, w, 3) BGR and its landmarks (478, 3) in pixels; None where the mouth is shut or too small."""
    box, points, unit_px = cut_around(picture, landmarks, (*INNER_LIPS, *_CHEEKS), 0.1)
    lab = lab_of(box)
    inside = lab[enclosed(box.shape[:2], points[list(INNER_LIPS)])]
    left, right = points[list(MOUTH_CORNERS), 0]
    if len(inside) < max(_MIN_PIXELS, _MIN_ROWS * (right - left)):
        return None
    cheek = _cheek_lightness(lab, points, unit_px)
    brightest = inside[inside[:, 0] >= np.quantile(inside[:, 0], 0.75)]
    return MouthInterior(
        dark_share=float((inside[:, 0] < DARK * cheek).mean()),
        redness=float(brightest[:, 1].mean()),
        teeth_over_cheek=float(np.median(brightest[:, 0])) / max(1e-6, cheek),
    )


def interior_figures(looks: Sequence[MouthInterior | None]) -> dict[str, float]:
    """Means over the pictures of open mouths; {} if there is none."""
    seen = [look for look in looks if look is not None]
    names = ("dark_share", "redness", "teeth_over_cheek")
    return {name: float(np.mean([getattr(look, name) for look in seen])) for name in names} if seen else {}


def mouth_chroma(picture: Image, landmarks: NDArray[np.floating]) -> tuple[float, float]:
    """How colourful the mouth within the outer lips is: 99th percentile of the chroma, largest |a*|.

    The lips are part of it: of a grey photo they must be as grey as what lies between them.
    """
    box, points, _ = cut_around(picture, landmarks, OUTER_LIPS, 0.02)
    mouth = lab_of(box)[enclosed(box.shape[:2], points[list(OUTER_LIPS)])]
    if not len(mouth):
        return float("nan"), float("nan")
    chroma = np.hypot(mouth[:, 1], mouth[:, 2])
    return float(np.quantile(chroma, 0.99)), float(np.abs(mouth[:, 1]).max())


def cut_around(
    picture: Image, landmarks: NDArray[np.floating], around: Sequence[int], margin: float
) -> tuple[Image, NDArray[np.float64], float]:
    """The part of a picture around some mesh points, all landmarks (478, 2) on it, and pixels in a face unit."""
    points = np.asarray(landmarks[:, :2], np.float64)
    unit_px = float(np.linalg.norm(points[OUTER_EYES[1]] - points[OUTER_EYES[0]]))
    height, width = picture.shape[:2]
    low = np.floor(points[list(around)].min(0) - margin * unit_px).clip(0, [width - 1, height - 1]).astype(int)
    high = np.ceil(points[list(around)].max(0) + margin * unit_px).clip(low + 1, [width, height]).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]], points - low, unit_px


def _cheek_lightness(lab: Lab, points: NDArray[np.float64], unit_px: float) -> float:
    """Median L of a disc on either cheek."""
    discs = np.zeros(lab.shape[:2], np.uint8)
    for point in _CHEEKS:
        x, y = (int(value) for value in np.round(points[point]))
        cv2.circle(discs, (x, y), max(1, round(_CHEEK_RADIUS * unit_px)), (1,), -1)
    seen = lab[discs > 0]
    return float(np.median(seen[:, 0])) if len(seen) else float("nan")
