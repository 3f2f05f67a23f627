"""What travels with the head: the person with a rim of background, so that frizz and earrings are not left behind."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.compositor.head.person import Matte, face_unit_px, person_matte
from s2v.engine.face.geometry import FacePlane, Points
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image

_PERSON = 0.3  # from here on a pixel counts as the person: a little generous, for hair is thin
_HALO_UNITS = 0.05  # so far around it everything travels along
_RAMP_UNITS = 0.10  # and so far beyond, until nothing does


def head_matte(photo: Image, landmarks: Points, plane: FacePlane) -> Matte:
    """(h, w): 1 on head and body, widened by 0.05 face units, then a ramp of 0.10 to 0 on the background.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
    """
    return widened(person_matte(photo, landmarks, plane), face_unit_px(plane))


def widened(person: Matte, unit_px: float) -> Matte:
    """A person's matte with the rim around it."""
    outside_px = cv2.distanceTransform((person < _PERSON).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(1 - smoothstep((outside_px / unit_px - _HALO_UNITS) / _RAMP_UNITS), np.float32)
