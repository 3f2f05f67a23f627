"""What the gates look at, and what they say: a reason not to learn from a clip, with the figure and its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import Points, Pose, head_pose

Gate = Literal[
    "unreadable",
    "duplicate",
    "too-short",
    "no-face",
    "small-face",
    "turned-away",
    "several-faces",
    "frozen",
    "cut",
    "no-speech",
    "out-of-step",
    "voice-over",
]
GATES: tuple[Gate, ...] = Gate.__args__  # type: ignore[attr-defined]  # typing's own word for it


class Refusal(NamedTuple):
    """Why a clip is not learned from."""

    gate: Gate
    reason: str  # one line, for people
    figure: float | None = None  # what was measured
    threshold: float | None = None  # and what it should have been


@dataclass(frozen=True)
class SeenPictures:
    """What was seen of a clip's n frames."""

    size_px: tuple[int, int]  # width, height
    landmarks: NDArray[np.float32]  # (n, 478, 3) in pixels, NaN where no face was found
    times_s: NDArray[np.float64]  # (n,) the moment that each frame's picture shows
    looks: NDArray[np.uint8]  # (n, size, size, 3) the face of each frame, tiny: see `face_look`
    other_faces: NDArray[np.float64]  # (any,) size of the second largest face over the largest, 0: there is none


class Head(NamedTuple):
    """Where the head is on each of n frames with a face."""

    eye_distances_px: NDArray[np.float64]  # (n,) between the outer corners
    turns_degrees: NDArray[np.float64]  # (n,) away from the camera, whichever way
    yaws_degrees: NDArray[np.float64]
    pitches_degrees: NDArray[np.float64]
    canonical: Points  # (n, 468, 3) landmarks in face units


def head_of(landmarks: NDArray[np.floating]) -> Head:
    """Args: landmarks: (n, 478, 3) in pixels, all found, n at least 1."""
    points = np.asarray(landmarks, np.float64)
    poses = [head_pose(one) for one in points]
    yaws, pitches = (np.array([getattr(pose, name) for pose in poses]) for name in ("yaw_degrees", "pitch_degrees"))
    return Head(
        eye_distances_px=np.array([pose.unit_px for pose in poses]),
        turns_degrees=np.array([_turn_degrees(pose) for pose in poses]),
        yaws_degrees=yaws,
        pitches_degrees=pitches,
        canonical=np.stack([pose.to_canonical(one)[:468] for pose, one in zip(poses, points, strict=True)]),
    )


def _turn_degrees(pose: Pose) -> float:
    """Between where the face looks and the camera; how it lies over on the picture does not count."""
    forward = pose.rotation.T @ np.array([0.0, 0.0, -1.0])
    return float(np.degrees(np.arccos(np.clip(-forward[2], -1, 1))))
