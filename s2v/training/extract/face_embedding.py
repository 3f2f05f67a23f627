"""How a face is shaped, as a few numbers that tell people apart whatever they say: for who is who in a set of clips.

The shape of the upper face, upright and of one size, is projected on the directions in which people differ more than
one person does with a smile and without (Fisher's linear discriminant). Made of landmarks alone it is no face
recognition: of strangers one in some hundreds is taken for the other (docs/LOG.md has the figures).

How the shipped file is made again, from (n, 478, 3) px of each photo of the London set and the names of their people:

    fit_embedding(landmarks, people).save(FACE_SHAPE)

Source: Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.bundled import FACE_SHAPE
from s2v.engine.face.geometry import N_MESH, canonical_face, head_pose
from s2v.files import written_whole

SAME_TALKER = 1.7  # distance: below it, of people not fitted on, 90 % of pairs of one and 0.15 % of pairs of two
_UPPER_FACE_Y = 0.45  # face units: lips and jaw, which move, lie below
_N_FRAMES = 50  # of a clip, spread evenly
_N_DIRECTIONS, _RIDGE = 30, 0.05


@dataclass(frozen=True)
class FaceEmbedding:
    """A projection of face shapes; distances within a person are about 1."""

    mean: NDArray[np.float64]  # (d,) shape of the upper face, flat, face units
    directions: NDArray[np.float64]  # (d, k)

    @classmethod
    @lru_cache(maxsize=1)
    def load(cls) -> FaceEmbedding:
        """The shipped one."""
        with np.load(FACE_SHAPE, allow_pickle=False) as stored:
            return cls(stored["mean"].astype(np.float64), stored["directions"].astype(np.float64))

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        with written_whole(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, mean=self.mean.astype(np.float32), directions=self.directions.astype(np.float16))

    def of(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k,) of a person's landmarks (n, 478, 3) px."""
        return np.asarray((face_shape(landmarks) - self.mean) @ self.directions, np.float32)


def face_shape(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(d,) the median upper face of a clip, flat, in face units. Args: landmarks: (n, 478, 3) px."""
    some = landmarks[:: max(1, len(landmarks) // _N_FRAMES)].astype(np.float64)
    canonical = np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in some])
    return np.asarray(np.median(canonical[:, canonical_face()[:, 1] < _UPPER_FACE_Y], axis=0).reshape(-1))


def fit_embedding(landmarks: Sequence[NDArray[np.float32]], people: Sequence[str]) -> FaceEmbedding:
    """The projection that tells these people apart. Args: landmarks: (n, 478, 3) px of each picture or clip; whose."""
    shapes = np.stack([face_shape(points) for points in landmarks])
    mean = shapes.mean(0)
    # Within as many directions as some ninety people bear: more are noise.
    principal = np.linalg.svd(shapes - mean, full_matrices=False)[2][:_N_DIRECTIONS].T
    reduced, names = (shapes - mean) @ principal, np.array(people)
    within = np.concatenate([reduced[names == name] - reduced[names == name].mean(0) for name in set(people)])
    n_free = len(within) - len(set(people))
    scatter = within.T @ within / n_free
    scatter += _RIDGE * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    whitened = np.linalg.cholesky(np.linalg.inv(scatter)) / np.sqrt(len(scatter))
    return FaceEmbedding(mean, principal @ whitened)
