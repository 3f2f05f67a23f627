"""Where a film cuts from one shot to the next."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, Points, head_pose
from s2v.engine.face.photo import Image

_THUMBNAIL_PX = (48, 27)
_ENOUGH_PX = 135  # of the shorter side: rows and columns between are left out
_LEAST_CHANGE = 12.0  # mean over pixels and channels of CIE Lab in 8 bits: less is motion or light
_TIMES_USUAL = 3.5  # the change between two pictures of one shot
_REMEMBERED = 8  # changes
_JUMP_UNITS = 0.30  # eye distances that no head moves between two pictures
_JUMP_SIZE = 1.25  # and how many times larger it does not become


class CutDetector:
    """One pass over a film's pictures, in order."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_REMEMBERED)

    def is_cut(self, picture: Image) -> bool:
        """Whether a picture (h, w, 3) BGR begins another shot than the one before it; not so the first."""
        step = max(1, min(picture.shape[:2]) // _ENOUGH_PX)
        small = cv2.resize(picture[::step, ::step], _THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
        thumbnail = cv2.cvtColor(np.asarray(small, np.uint8), cv2.COLOR_BGR2LAB).astype(np.float32)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail - last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        cut = change > max(_LEAST_CHANGE, _TIMES_USUAL * usual)
        if cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return cut


def jumps(before: Points, after: Points) -> bool:
    """Whether a face (478, 3) is where no head gets from one picture to the next: a cut within a scene."""
    one, other = head_pose(before), head_pose(after)
    unit_px = max(one.unit_px, other.unit_px)
    far = np.linalg.norm((after - before)[:N_MESH, :2].mean(0)) / unit_px
    return bool(far > _JUMP_UNITS or unit_px / min(one.unit_px, other.unit_px) > _JUMP_SIZE)
