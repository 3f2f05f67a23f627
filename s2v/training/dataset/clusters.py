"""Talkers found by the shape of their faces, across folders: recordings in which one talker comes again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import numpy as np
from numpy.typing import NDArray


def clustered_talkers(
    faces: Mapping[str, NDArray[np.float32]], by_folder: Mapping[str, str], farthest: float
) -> dict[str, str]:
    """{clip id: talker}, named after the folder of the talker's first clip, "A", "A.2" for the second one there.

    Clips join the nearest talker so far, if that is near enough, in the order of their ids. Then small talkers join
    larger ones that are near enough: the middle of many clips is known better than one clip. At last, with all talkers
    known, each clip goes to the nearest. The same clips give the same talkers.
    Args: faces: (k,) of each clip, see `face_embedding`. farthest: distance from the middle of a talker's clips.
    """
    ids = sorted(faces)
    if not ids:
        return {}
    points = np.stack([faces[clip_id] for clip_id in ids]).astype(np.float64)
    sums, counts = np.zeros_like(points), np.zeros(len(points))  # of talkers; no more of them than clips
    n_talkers = 0
    for point in points:
        nearest, distance = _nearest(point, sums[:n_talkers], counts[:n_talkers])
        if distance > farthest:
            nearest, n_talkers = n_talkers, n_talkers + 1
        sums[nearest] += point
        counts[nearest] += 1
    sums, counts = _joined(sums[:n_talkers], counts[:n_talkers], farthest)
    member = np.array([_nearest(point, sums, counts)[0] for point in points])
    return dict(zip(ids, _names([by_folder[clip_id] for clip_id in ids], member), strict=True))


def _joined(
    sums: NDArray[np.float64], counts: NDArray[np.float64], farthest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Talkers, the smallest first, put to the nearest other one."""
    for small in np.argsort(counts, kind="stable"):
        others = (counts > 0) & (np.arange(len(counts)) != small)
        at = np.flatnonzero(others)
        nearest, distance = _nearest(sums[small] / counts[small], sums[at], counts[at])
        if distance <= farthest:
            sums[at[nearest]] += sums[small]
            counts[at[nearest]] += counts[small]
            counts[small] = 0
    return sums[counts > 0], counts[counts > 0]


def _nearest(point: NDArray[np.float64], sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[int, float]:
    if not len(sums):
        return 0, np.inf
    distances = np.linalg.norm(sums / counts[:, None] - point, axis=1)
    return int(distances.argmin()), float(distances.min())


def _names(folders: list[str], member: NDArray[np.intp]) -> list[str]:
    names: dict[int, str] = {}
    for folder, talker in zip(folders, member, strict=True):
        if int(talker) not in names:
            used = set(names.values())
            numbered = (one for n in count(2) if (one := f"{folder}.{n}") not in {*folders, *used})
            names[int(talker)] = folder if folder not in used else next(numbered)
    return [names[int(talker)] for talker in member]
