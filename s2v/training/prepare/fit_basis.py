"""The motion basis: the lower faces of one talker or several, taken apart into the ways they move.

How the shipped asset is made again, from the features of GRID talker s1 below `features/grid_s1`:

    save_basis(learn_basis(features, ["grid_s1"], "grid-s1"), Path("motion_grid-s1.npz"))

It was made when a neutral was the median of a tenth of all frames, so its components differ a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    MOUTH_CORNERS,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.engine.face.motion_basis import MotionBasis, symmetric
from s2v.errors import DataError
from s2v.files import written_whole
from s2v.training.extract.feature_file import load_features
from s2v.training.prepare.canonical import CanonicalClip, canonical_clip
from s2v.training.prepare.labels import facing
from s2v.training.prepare.neutral import clip_rest, talker_neutral

LOWER_FACE_Y = 0.48  # face units: points of the canonical face below this height take part


def learn_basis(features: Path, talkers: Sequence[str], name: str, n_components: int = 10) -> MotionBasis:
    """Principal components of the motion of these talkers' clips, see `basis_of`.

    Args:
        features: folder of `extract_features`; talkers: folders below it, one person's clips in each.
    Raises: DataError, no talking clips of one of them, or as `basis_of`.
    """
    return basis_of((list(_canonical_clips(features, talker)) for talker in talkers), name, n_components)


def basis_of(talkers: Iterable[Sequence[CanonicalClip]], name: str, n_components: int = 10) -> MotionBasis:
    """Principal components of how talkers move away from their own closed mouths at rest; all count the same.

    Args: talkers: the clips of each, one talker at a time in memory.
    Returns: a component is one standard deviation of its coefficient, over all talkers.
    Raises: DataError, nobody, or too few frames for so many components.
    """
    points = np.flatnonzero(canonical_face()[:, 1] > LOWER_FACE_Y).astype(np.int64)
    moments = [_moments(clips, points) for clips in talkers]
    n_frames = sum(n for n, _, _ in moments)
    if n_frames <= n_components:
        raise DataError(f"{n_frames} frames of {name}; {n_components} components need more: add clips")
    mean, moment = np.mean([m for _, m, _ in moments], axis=0), np.mean([m for _, _, m in moments], axis=0)
    # About the neutral face, not about the mean: all zeros must be the mouth at rest.
    squares, vectors = np.linalg.eigh(moment)
    squares, directions = squares[::-1][:n_components], vectors.T[::-1][:n_components]
    deviations = np.sqrt(np.maximum(squares - (directions @ mean) ** 2, 0.0))
    components = (directions * deviations[:, None]).reshape(n_components, len(points), 3)
    return MotionBasis(name, points, components * _signs(points, components)[:, None, None])


def _moments(
    clips: Sequence[CanonicalClip], points: NDArray[np.int64]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """One talker's frames, and the mean (3P,) and second moment (3P, 3P) of their displacement from his neutral."""
    neutral = talker_neutral([clip_rest(clip, facing(clip)) for clip in clips if facing(clip).any()]).face
    n_frames, mean, moment = 0, np.zeros(3 * len(points)), np.zeros((3 * len(points), 3 * len(points)))
    for clip in clips:
        moved = symmetric(clip.points[facing(clip)] - neutral)[:, points].reshape(-1, 3 * len(points))
        n_frames += len(moved)
        mean += moved.sum(0)
        moment += moved.T @ moved
    return n_frames, mean / n_frames, moment / n_frames


def save_basis(basis: MotionBasis, path: Path) -> None:
    """Write the file that `MotionBasis.load` reads, whole or not at all."""
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, points=basis.points.astype(np.int16), components=basis.components.astype(np.float32))


def _canonical_clips(features: Path, talker: str) -> Iterator[CanonicalClip]:
    """A talker's talking clips."""
    talking = 0
    for path in sorted((features / talker).rglob("*.npz")):
        clip = load_features(path, features)
        if len(clip.pcm):
            talking += 1
            yield canonical_clip(clip)
    if not talking:
        raise DataError(f"no talking clips in {features / talker}: run s2v extract-features on that talker first")


def _signs(points: NDArray[np.int64], components: Points) -> NDArray[np.float64]:
    """The first component opens the mouth, the others widen it: not the reverse."""
    at = {int(point): i for i, point in enumerate(points)}
    upper, lower = at[UPPER_INNER_LIP[5]], at[LOWER_INNER_LIP[5]]
    left, right = (at[corner] for corner in MOUTH_CORNERS)
    effect = components[:, right, 0] - components[:, left, 0]
    effect[0] = components[0, lower, 1] - components[0, upper, 1]
    return np.where(effect < 0, -1.0, 1.0)
