"""Batches in which several targets of a clip share a face: the paper's network encodes it once for all of them.

The upper half that the network is shown is then one target's, as in use, where it is the photo's for every frame; the
others' heads may be turned a little differently. What that saves and costs: docs/LOG.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.training.train.picture_batches import Pictures, face_input, picture_batch


class SharedFaces(NamedTuple):
    """Pictures of a batch, as `Speech2Vid` takes them."""

    face: Tensor  # (n, 6, h, w) in [0, 1]: the upper half of the face's first target, then the reference
    target: Tensor  # (n * k, 3, h, w): the k of the first face, then those of the second, and so on


def choose_shared(
    where: Sequence[tuple[str, int]], usable: Sequence[int], n_faces: int, per_face: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which pictures: (n_faces, per_face), each row of one clip, and none twice in a row unless the clip has too few.

    Args: where: clip and frame of each picture. usable: the pictures to choose among; each is as likely to begin a row.
    """
    of_clip: dict[str, list[int]] = {}
    for index in usable:
        of_clip.setdefault(where[index][0], []).append(index)
    rows = []
    for first in rng.choice(np.asarray(usable), n_faces):
        others = [index for index in of_clip[where[first][0]] if index != first] or [first]
        rows.append([first, *rng.choice(others, per_face - 1, replace=len(others) < per_face - 1)])
    return np.array(rows, np.int64).reshape(n_faces, per_face)


def shared_faces(pictures: Pictures, chosen: NDArray[np.int64], rng: np.random.Generator | None) -> SharedFaces:
    """The pictures that `choose_shared` chose; with `rng`, those of a row mirrored and recoloured alike at random."""
    targets, first = pictures.arrays["target"], chosen[:, 0]
    parts = {f"target_{column}": targets[row] for column, row in enumerate(chosen.T)}
    parts["reference"] = pictures.arrays["reference"][first]
    lit = picture_batch(Pictures(parts, [pictures.where[i] for i in first]), np.arange(len(chosen)), rng)
    target = torch.stack([lit[f"target_{column}"] for column in range(chosen.shape[1])], 1).flatten(0, 1)
    return SharedFaces(face_input(lit["target_0"], lit["reference"]), target)
