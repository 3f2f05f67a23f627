"""How much of a smile's teeth is still to be seen when the lips are closed, as at rest and at M.

A photo tells itself what its teeth and its lips look like: the axis from the colour of the lips to that of the teeth.
Whatever lies on the far side of its middle, where the closed lips meet, is a tooth that should be gone. Lips shine, and
their highlights are as light as teeth, but keep their hue: where lips are coloured, a tooth must have the hue of teeth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from s2v.engine.face.photo import Image
from s2v.training.evaluation.measures.interior import INNER_LIPS, Lab, Mask, cut_around, enclosed, lab_of

OPEN_PHOTO = 0.03  # face units of opening on the photo itself, from which on teeth are seen
_MIN_PIXELS = 20  # of teeth and of lips
_BRIGHTEST = 0.6  # quantile of the inside's L: above it are teeth, below tongue, gums and cavity
_MIN_CONTRAST = 8.0  # Lab distance of teeth and lips: with less they cannot be told apart
_MAX_SHINE = 0.1  # of the photo's own lips taken for teeth: with more they cannot be told apart either
_INSET = 0.12  # of the way to the middle of the mouth: the skin around the lips is as light as teeth
_SEAM = 0.045  # face units to either side of where the lips meet
_TOOTH = 0.5  # of the way from lips to teeth
_COLOURED = 8.0  # distance of teeth and lips in a* and b*: with less, as on a grey photo, the hue says nothing


@dataclass(frozen=True)
class ToothColour:
    """The axis of one photo."""

    lips: NDArray[np.float32]  # (3,) Lab
    teeth: NDArray[np.float32]  # (3,) Lab

    def is_tooth(self, lab: Lab) -> Mask:
        """(..., 3) -> (...): nearer to the teeth than to the lips."""
        axis = self.teeth - self.lips
        found = (lab - self.lips) @ axis > _TOOTH * (axis @ axis)
        hue = axis[1:]
        if np.linalg.norm(hue) >= _COLOURED:
            found &= (lab[..., 1:] - self.lips[1:]) @ hue > _TOOTH * (hue @ hue)
        return np.asarray(found)


def tooth_colour(photo: Image, landmarks: NDArray[np.floating]) -> ToothColour | None:
    """Of a photo (h, w, 3) BGR and its landmarks (478, 3) in pixels.

    None where no teeth are seen, or none that can be told from the lips by their colour.
    """
    box, points, _ = cut_around(photo, landmarks, OUTER_LIPS, 0.02)
    lab = lab_of(box)
    inside = enclosed(box.shape[:2], points[list(INNER_LIPS)])
    lips = enclosed(box.shape[:2], _inset(points)) & ~inside
    if inside.sum() < _MIN_PIXELS or lips.sum() < _MIN_PIXELS:
        return None
    bright = lab[inside]
    bright = bright[bright[:, 0] >= np.quantile(bright[:, 0], _BRIGHTEST)]
    found = ToothColour(np.median(lab[lips], axis=0), np.median(bright, axis=0))
    if float(np.linalg.norm(found.teeth - found.lips)) < _MIN_CONTRAST or found.teeth[0] <= found.lips[0]:
        return None
    return found if found.is_tooth(lab[lips]).mean() <= _MAX_SHINE else None


def teeth_left(frame: Image, landmarks: NDArray[np.floating], colour: ToothColour) -> float:
    """Share of a closed mouth, within its outer lips, that has the colour of teeth.

    Args: landmarks: (478, 3) pixels, of this frame. Returns: 0 to 1.
    """
    box, points, unit_px = cut_around(frame, landmarks, OUTER_LIPS, 0.02)
    within = enclosed(box.shape[:2], _inset(points))
    if not within.any():
        return float("nan")
    line = (points[list(UPPER_INNER_LIP)] + points[list(LOWER_INNER_LIP)]) / 2
    seam = np.zeros(box.shape[:2], np.uint8)
    cv2.polylines(seam, [np.round(line).astype(np.int32)], False, (1,), max(1, round(2 * _SEAM * unit_px)))
    return float((colour.is_tooth(lab_of(box)) & within & (seam > 0)).sum() / within.sum())


def _inset(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The outline of the outer lips (20, 2), drawn in a little."""
    outline = points[list(OUTER_LIPS)]
    middle = points[[*UPPER_INNER_LIP, *LOWER_INNER_LIP]].mean(0)
    return np.asarray(outline + _INSET * (middle - outline), np.float64)
