"""A clip's faces out of their heads' poses: what motion is read from, on frames at a steady rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, RIGID, head_pose
from s2v.errors import DataError
from s2v.training.extract.feature_file import ClipFeatures

FACE_SPAN_PX, FACE_UNIT_PX = (4.0, 20_000.0), (2.0, 5000.0)  # of a face that can be used; others are damage


@dataclass(frozen=True)
class CanonicalClip:
    """One clip's faces in face units and how the head was held, in the middle of each of n frames."""

    points: NDArray[np.float32]  # (n, 468, 3)
    yaw_degrees: NDArray[np.float32]  # (n,) as `Pose.yaw_degrees`
    pitch_degrees: NDArray[np.float32]  # (n,)

    def __len__(self) -> int:
        return len(self.points)


def canonical_clip(clip: ClipFeatures) -> CanonicalClip:
    """The faces of a feature file, each out of its own pose, brought from its picture's moment to the frames' middles.

    Raises: DataError, no frame, or a face of a size that none has: damaged landmarks.
    """
    landmarks = clip.landmarks.astype(np.float64)
    if not len(landmarks):
        raise DataError("holds no frame")
    _check_range("faces", np.ptp(landmarks[:, list(RIGID), :2], axis=1).max(axis=1), "px wide", FACE_SPAN_PX)
    try:
        poses = [head_pose(points) for points in landmarks]
    except np.linalg.LinAlgError:
        raise DataError("its landmarks are of no face: extract its features again") from None
    _check_range("eyes", np.array([pose.unit_px for pose in poses]), "px apart", FACE_UNIT_PX)
    moved = np.stack([pose.to_canonical(points)[:N_MESH] for pose, points in zip(poses, landmarks, strict=True)])
    angles = np.array([(pose.yaw_degrees, pose.pitch_degrees) for pose in poses])
    yaw, pitch = clip.on_frames(angles).astype(np.float32).T
    return CanonicalClip(clip.on_frames(moved).astype(np.float32), yaw, pitch)


def _check_range(what: str, found: NDArray[np.float64], unit: str, limits: tuple[float, float]) -> None:
    if not ((found >= limits[0]) & (found <= limits[1])).all():  # NaN neither
        raise DataError(f"its {what} are {found.min():.3g} to {found.max():.3g} {unit}, which no face's are")
