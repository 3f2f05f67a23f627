"""How a face is shaped, as a few numbers that stay the same whatever it says and whichever way it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, head_pose


def face_embedding(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1404,) the median face of a clip in face units, set upright. Args: landmarks: (n, 478, 3) px."""
    some = landmarks[:: max(1, len(landmarks) // 50)].astype(np.float64)
    canonical = np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in some])
    return np.asarray(np.median(canonical, axis=0).reshape(-1), np.float32)
