"""Cuts: where from one frame to the next the face is elsewhere or looks otherwise, and whether it is another person."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH

LOOK_PX = 16  # a face, made so small that only a cut changes it at once
_UNIT_JUMP = 0.35  # face units that a head may move between two frames
_LOOK_JUMP = 22.0  # of 255: mean change of the look
_OVER_USUAL = 5.0  # times what it changes by otherwise around


def face_look(frame: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The face on a frame (h, w, 3) BGR, (LOOK_PX, LOOK_PX, 3); black where its landmarks (478, 3) lie outside."""
    low = np.floor(landmarks[:N_MESH, :2].min(0)).clip(0).astype(int)
    high = np.ceil(landmarks[:N_MESH, :2].max(0)).clip(0).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return np.zeros((LOOK_PX, LOOK_PX, 3), np.uint8)
    return np.asarray(cv2.resize(part, (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA), np.uint8)


def jumps(landmarks: NDArray[np.floating], eye_distances_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n - 1,) how far the face moved from each frame to the next, in face units of the smaller of the two."""
    moved = np.linalg.norm(np.diff(landmarks[:, :N_MESH, :2], axis=0), axis=-1).mean(1)
    return np.asarray(moved / np.minimum(eye_distances_px[1:], eye_distances_px[:-1]), np.float64)


def look_changes(looks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n - 1,) mean change of the look (n, size, size, 3) from each frame to the next, of 255."""
    return np.abs(np.diff(looks.astype(np.float64), axis=0)).mean((1, 2, 3))
