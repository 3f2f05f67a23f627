"""A clip's faces out of their heads' poses: what motion is read from, on frames at a steady rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, RIGID, head_pose
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures
from s2v.training.extract.time_axis import distinct_pictures, frame_middles_s

FACE_SPAN_PX, FACE_UNIT_PX = (4.0, 20_000.0), (2.0, 5000.0)  # of a face that can be used; others are damage
_GAP_S = 0.125  # between two faces that were found, three frames, through which a straight line is good enough
_STRAIGHT_PX = 0.005  # no detector's points lie on a line so well


@dataclass(frozen=True)
class CanonicalClip:
    """One clip's faces in face units and how the head was held, in the middle of each of n frames."""

    points: NDArray[np.float32]  # (n, 468, 3)
    yaw_degrees: NDArray[np.float32]  # (n,) as `Pose.yaw_degrees`
    pitch_degrees: NDArray[np.float32]  # (n,)
    seen: NDArray[np.bool_]  # (n,) whether the face was found about then; elsewhere points are drawn through a gap

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
    return CanonicalClip(clip.on_frames(moved).astype(np.float32), yaw, pitch, _seen(clip))


def _seen(clip: ClipFeatures) -> NDArray[np.bool_]:
    """(n,) frames with a face of their own near their middle, or between two that are no more than _GAP_S apart.

    Extraction draws straight lines where it finds no face, as in a fade from black, and holds the first and the last.
    """
    pictures = distinct_pictures(clip.landmarks, clip.times_s)
    shown = clip.landmarks[pictures]
    straight = np.zeros(len(pictures), bool)
    straight[1:-1] = (np.abs(np.diff(shown, 2, axis=0)) < _STRAIGHT_PX).all((1, 2))
    found_s = np.concatenate([[-np.inf], _taken_s(clip, pictures)[~straight], [np.inf]])
    middles_s = frame_middles_s(len(clip.landmarks), LipSyncSpec.fps)
    after = np.searchsorted(found_s, middles_s)
    before_s, after_s = middles_s - found_s[after - 1], found_s[after] - middles_s
    seen: NDArray[np.bool_] = np.minimum(before_s, after_s) <= 0.75 / LipSyncSpec.fps
    seen |= before_s + after_s <= _GAP_S
    return seen


def _taken_s(clip: ClipFeatures, pictures: NDArray[np.intp]) -> NDArray[np.float64]:
    """The moments of these pictures; a first one that is held is where it ends, which is where it was found."""
    times_s = clip.times_s[pictures].astype(np.float64)
    held = pictures[1] if len(pictures) > 1 else len(clip.times_s)
    times_s[0] = clip.times_s[held - 1] if held > 1 else times_s[0]
    return times_s


def _check_range(what: str, found: NDArray[np.float64], unit: str, limits: tuple[float, float]) -> None:
    if not ((found >= limits[0]) & (found <= limits[1])).all():  # NaN neither
        raise DataError(f"its {what} are {found.min():.3g} to {found.max():.3g} {unit}, which no face's are")
