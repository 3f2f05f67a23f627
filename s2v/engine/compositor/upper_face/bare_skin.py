"""How much bare skin a photo shows above the brows: hair and hats do not move with them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import remap

_SKIN_POINTS = (9, 151, 6, 197, 50, 280, 205, 425, 117, 346)  # of the mesh: forehead, nose, cheeks
_STEP = 0.01  # face units
_FURTHEST = 0.5  # face units above the brows
_OFF = 0.03  # face units of something else end the skin: a wrinkle is thinner
_DARKEST, _LIGHTEST = 0.58, 1.9  # of the skin's light
_OTHER_HUE = 14.0  # levels of a and b of the Lab colour space
_SMOOTH = 0.07  # of the places, standard deviation


def bare_skin(face: EnrolledFace, above: Points) -> Points:
    """Face units of skin above each of n places, smooth along them, (n,).

    Args:
        above: (n, 2) the brows' upper edge in the face plane, evenly spaced.
    """
    up = np.arange(0, _FURTHEST, _STEP)
    at = face.plane.to_photo(above[:, None] - np.stack([np.zeros_like(up), up], -1)).astype(np.float32)
    height, width = face.photo.shape[:2]
    soft = cv2.GaussianBlur(face.photo, (0, 0), max(0.01 * face.pose.unit_px, 0.5))
    lab = np.asarray(cv2.cvtColor(soft.astype(np.float32) / 255, cv2.COLOR_BGR2Lab), np.float32)
    seen = remap(lab, at, cv2.INTER_LINEAR)
    pixels = np.clip(np.round(face.landmarks[list(_SKIN_POINTS), :2]).astype(int), 0, [width - 1, height - 1])
    skin = np.median(lab[pixels[:, 1], pixels[:, 0]], axis=0)
    light = seen[..., 0] / max(float(skin[0]), 1.0)
    hue = np.linalg.norm((seen - skin)[..., 1:], axis=-1)
    beyond = ((at < 0) | (at > [width - 1, height - 1])).any(-1)
    other = (light < _DARKEST) | (light > _LIGHTEST) | (hue > _OTHER_HUE) | beyond
    reach = np.array([_free(row, round(_OFF / _STEP)) for row in other], np.float64) * _STEP
    smooth = cv2.GaussianBlur(
        reach[:, None], (1, 0), sigmaX=1, sigmaY=max(_SMOOTH * len(reach), 1), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smooth, np.float64).ravel()


def _free(other: NDArray[np.bool_], run: int) -> int:
    """Steps until `run` in a row are no skin. The brow is none itself: counted from the first skin, if that is near."""
    first = int(np.argmin(other))
    if other.all() or first > 2 * run:
        return 0
    gone = np.convolve(other[first:], np.ones(run), "valid") >= run
    return first + int(gone.argmax() if gone.any() else len(other) - first)
