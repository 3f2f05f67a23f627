"""The motion basis: one talker's lower face, taken apart into the ways it moves.

How the shipped asset is made again, from the features of GRID talker s1 below `features/grid_s1`:

    save_basis(learn_basis(features, "grid_s1"), Path("motion_grid-s1.npz"))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    MOUTH_CORNERS,
    N_MESH,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
    head_pose,
)
from s2v.engine.face.motion_basis import MotionBasis, neutral_face, symmetric
from s2v.errors import DataError
from s2v.files import written_whole
from s2v.training.extract.feature_file import load_features

LOWER_FACE_Y = 0.48  # face units: points of the canonical face below this height take part


def learn_basis(features: Path, speaker: str, n_components: int = 10) -> MotionBasis:
    """Principal components of a talker's motion away from the closed mouth at rest.

    Args:
        features: folder of `extract_features`; speaker: its first-level folder, one person's clips.
    Returns: a basis named after the speaker; a component is one standard deviation of its coefficient.
    Raises: DataError, no talking clips of that speaker, or too few frames for so many components.
    """
    clips = list(_canonical_clips(features, speaker))
    n_frames = sum(map(len, clips))
    if n_frames <= n_components:
        raise DataError(f"{n_frames} frames of {speaker}; {n_components} components need more: add clips")
    neutral = neutral_face(np.concatenate(clips)).astype(np.float64)
    points = np.flatnonzero(canonical_face()[:, 1] > LOWER_FACE_Y).astype(np.int64)
    mean, moment = np.zeros(3 * len(points)), np.zeros((3 * len(points), 3 * len(points)))
    for clip in clips:
        moved = symmetric(clip - neutral)[:, points].reshape(len(clip), -1)
        mean += moved.sum(0) / n_frames
        moment += moved.T @ moved / n_frames
    # About the neutral face, not about the mean: all zeros must be the mouth at rest.
    squares, vectors = np.linalg.eigh(moment)
    squares, directions = squares[::-1][:n_components], vectors.T[::-1][:n_components]
    deviations = np.sqrt(np.maximum(squares - (directions @ mean) ** 2, 0.0))
    components = (directions * deviations[:, None]).reshape(n_components, len(points), 3)
    return MotionBasis(speaker.replace("_", "-"), points, components * _signs(points, components)[:, None, None])


def save_basis(basis: MotionBasis, path: Path) -> None:
    """Write the file that `MotionBasis.load` reads, whole or not at all."""
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, points=basis.points.astype(np.int16), components=basis.components.astype(np.float32))


def _canonical_clips(features: Path, speaker: str) -> Iterator[NDArray[np.float32]]:
    """A speaker's talking clips in face units, each (n, 468, 3)."""
    paths = sorted((features / speaker).rglob("*.npz"))
    talking = 0
    for path in paths:
        clip = load_features(path, features)
        if len(clip.pcm):
            talking += 1
            yield np.stack([head_pose(p).to_canonical(p)[:N_MESH] for p in clip.landmarks]).astype(np.float32)
    if not talking:
        raise DataError(f"no talking clips in {features / speaker}: run s2v extract-features on that speaker first")


def _signs(points: NDArray[np.int64], components: Points) -> NDArray[np.float64]:
    """The first component opens the mouth, the others widen it: not the reverse."""
    at = {int(point): i for i, point in enumerate(points)}
    upper, lower = at[UPPER_INNER_LIP[5]], at[LOWER_INNER_LIP[5]]
    left, right = (at[corner] for corner in MOUTH_CORNERS)
    effect = components[:, right, 0] - components[:, left, 0]
    effect[0] = components[0, lower, 1] - components[0, upper, 1]
    return np.where(effect < 0, -1.0, 1.0)
