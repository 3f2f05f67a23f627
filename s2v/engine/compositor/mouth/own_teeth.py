"""A photo's own teeth: where an open mouth shows them, they are better than any paint.

They are on the skull: what hides them is the lip.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.opening import Plane, light_between
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP
from s2v.engine.face.motion_basis import aperture

MIN_APERTURE = 0.05  # face units; a narrower gap shows a line of something, no teeth to speak of
_UNDER_THE_LIPS = 0.018  # face units: that close to a lip its shadow and edge begin
_SOFT = 0.008
_LONGEST = 0.12  # face units: an upper tooth is hardly longer; below is tongue, or what moves with the jaw
_MIN_LUMA = 0.33  # of full white: a mouth that shows no bright pixels shows no teeth
_MIN_SHARE = 0.35  # of the opening that must be bright
_DARKEST = 0.4  # of full light; what lies darker on the photo is not brightened further


def own_teeth(face: EnrolledFace, left: int, top: int, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """A window of the photo where it shows teeth: (h, w, 4) BGR in [0, 255] and cover in [0, 1]; None if it shows none.

    The teeth are as they would be in full light, for all that lies between the lips is shaded when it is drawn.

    Args:
        face: enrolled. left, top, size: the window in pixels of the photo, size is (width, height).
    """
    corner = np.array([left, top])
    cover = _found(face, corner, size)
    if cover is None:
        return None
    pixels = face.photo[top : top + size[1], left : left + size[0]].astype(np.float32)
    pixels /= np.maximum(_light(face, corner, size), _DARKEST)[..., None]
    return np.ascontiguousarray(np.concatenate([pixels, cover[..., None]], axis=2))


def _light(face: EnrolledFace, corner: NDArray[np.int_], size: tuple[int, int]) -> Plane:
    """How much light falls between the photo's lips, (h, w), a share of what falls on teeth in a wide mouth."""
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP[-2:0:-1]]
    return light_between(face.landmarks[lips, :2] - corner, size, face.pose.unit_px)


def _found(face: EnrolledFace, corner: NDArray[np.int_], size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Where a window of the photo shows teeth, (h, w) in [0, 1], or None."""
    if aperture(face.canonical) < MIN_APERTURE or not all(size):
        return None
    unit = face.pose.unit_px
    upper = face.landmarks[list(UPPER_INNER_LIP), :2] - corner
    lower = face.landmarks[list(LOWER_INNER_LIP), :2] - corner
    down = face.plane.matrix[:, 1] / np.linalg.norm(face.plane.matrix[:, 1])
    reach = np.minimum((lower - upper) @ down, _LONGEST * unit)[:, None]
    outline = np.round(np.concatenate([upper, (upper + down * reach)[-2:0:-1]]) * 16).astype(np.int32)
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, 4)
    window = face.photo[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
    luma = cv2.cvtColor(np.ascontiguousarray(window), cv2.COLOR_BGR2GRAY)[mask > 200] / 255
    if not len(luma) or (luma > _MIN_LUMA).mean() < _MIN_SHARE:
        return None
    cv2.polylines(mask, [outline], True, 0, max(1, round(2 * _UNDER_THE_LIPS * unit)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, _SOFT * unit))
    return np.asarray(soft, np.float32) / np.float32(255)
