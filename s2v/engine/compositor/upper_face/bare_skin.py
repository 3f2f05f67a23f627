"""How much bare skin a photo shows above the brows: hair and hats do not move with them."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import remap

_SKIN_POINTS = (9, 151, 6, 197, 50, 280, 205, 425, 117, 346)  # of the mesh: forehead, nose, cheeks
_STEP = 0.01  # face units
_FURTHEST = 0.5  # face units above the brows
_OFF = 0.03  # face units of something else end the skin: a wrinkle is thinner
_DARKEST, _LIGHTEST = 0.58, 1.9  # of the skin's light
_OTHER_HUE = 14.0  # levels of a and b of the Lab colour space
_SMOOTH_KNOTS = 3.0


def bare_skin(face: EnrolledFace, above: Points) -> Points:
    """Face units of skin above each of n places, smooth along them, (n,).

    Args:
        above: (n, 2) the brows' upper edge in the face plane, evenly spaced.
    """
    up = np.arange(0, _FURTHEST, _STEP)
    uv = above[:, None] - np.stack([np.zeros_like(up), up], -1)
    at = face.plane.to_photo(uv).astype(np.float32)
    height, width = face.photo.shape[:2]
    blurred = cv2.GaussianBlur(face.photo, (0, 0), max(0.01 * face.pose.unit_px, 0.5))
    lab = cv2.cvtColor(blurred.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    seen = remap(lab, at, cv2.INTER_LINEAR)
    pixels = np.clip(np.round(face.landmarks[list(_SKIN_POINTS), :2]).astype(int), 0, [width - 1, height - 1])
    skin = np.median(lab[pixels[:, 1], pixels[:, 0]], axis=0)
    light = seen[..., 0] / max(float(skin[0]), 1.0)
    other = (light < _DARKEST) | (light > _LIGHTEST) | (np.hypot(*(seen - skin)[..., 1:].T).T > _OTHER_HUE)
    other |= ((at < 0) | (at > [width - 1, height - 1])).any(-1)
    # The brow itself is no skin: what counts begins where the first skin is, if that is near.
    run = round(_OFF / _STEP)
    reach = np.array([_free(row, run) for row in other]) * _STEP
    smooth = cv2.GaussianBlur(reach.reshape(-1, 1), (1, 0), sigmaX=0.1, sigmaY=_SMOOTH_KNOTS, borderType=cv2.BORDER_REPLICATE) if False else _blur(reach)
    return np.asarray(smooth, np.float64)


def _free(other: np.ndarray, run: int) -> int:
    """Steps until `run` steps in a row are no skin, counted from the first skin within the first ones."""
    first = int(np.argmin(other))
    if first > 2 * run or other.all():
        return 0
    gone = np.convolve(other[first:], np.ones(run), "valid") >= run
    return first + int(gone.argmax() if gone.any() else len(other) - first)


def _blur(reach: Points) -> Points:
    return np.asarray(cv2.GaussianBlur(reach.reshape(-1, 1), (1, 13), _SMOOTH_KNOTS, borderType=cv2.BORDER_REPLICATE)).ravel()
