"""Cuts: where from one frame to the next the face is elsewhere or looks otherwise, and whether it is another person.

A cut within one person's recording does no harm. After a cut to somebody else the talker is another one, with another
face at rest: of such a clip one person's longest stretch is kept.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, Points
from s2v.training.quality.thresholds import Thresholds

LOOK_PX = 16  # a face, made so small that only a cut changes it at once
# Mesh points that speech leaves where they are: eyes' corners, bridge and wings of the nose, temples, cheekbones, brow.
# fmt: off
_STEADY = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 48, 278, 98, 327, 127, 356, 234, 454, 116, 345, 10, 151, 9,
           54, 284, 103, 332)
# fmt: on


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
    return np.asarray(np.abs(np.diff(looks.astype(np.float64), axis=0)).mean((1, 2, 3)), np.float64)


def shape_distance(one: Points, other: Points) -> float:
    """How far two faces (468, 3) in face units lie apart where speech does not move them, in face units."""
    return float(np.linalg.norm((one - other)[list(_STEADY)], axis=-1).mean())


def look_distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Mean difference of two looks, of 255."""
    return float(np.abs(one - other).mean())


def shots(
    landmarks: NDArray[np.floating],
    eye_distances_px: NDArray[np.float64],
    looks: NDArray[np.uint8],
    limits: Thresholds,
) -> list[slice]:
    """The frames between cuts, in order; one slice of all where there is no cut.

    Args: landmarks: (n, 478, 3) in pixels, all found. looks: (n, LOOK_PX, LOOK_PX, 3).
    """
    moved, changed = jumps(landmarks, eye_distances_px), look_changes(looks)
    usual = limits.cut_over_usual * (np.median(changed) if len(changed) else 0.0)
    cut = (moved > limits.cut_jump_units) | ((changed > limits.cut_look_change) & (changed > usual))
    edges = [0, *(np.flatnonzero(cut) + 1).tolist(), len(landmarks)]
    return [slice(first, end) for first, end in itertools.pairwise(edges)]


def longest_of_one_person(
    some: list[slice], canonical: Points, looks: NDArray[np.uint8], limits: Thresholds
) -> tuple[slice, int]:
    """The longest stretch of shots that show one person, and how many people there are.

    Args: some: what `shots` found. canonical: (n, 468, 3) in face units.
    """
    people: list[tuple[Points, NDArray[np.floating]]] = []
    whose = []
    for shot in some:
        shape, look = np.median(canonical[shot], axis=0), looks[shot].astype(np.float64).mean(0)
        known = (i for i, one in enumerate(people) if _is_one_person(one, (shape, look), limits))
        person = next(known, len(people))
        if person == len(people):
            people.append((shape, look))
        whose.append(person)
    runs: list[slice] = []
    for _, group in itertools.groupby(zip(whose, some, strict=True), key=lambda pair: pair[0]):
        stretch = [shot for _, shot in group]
        runs.append(slice(stretch[0].start, stretch[-1].stop))
    return max(runs, key=lambda run: run.stop - run.start), len(people)


def _is_one_person(
    one: tuple[Points, NDArray[np.floating]], other: tuple[Points, NDArray[np.floating]], limits: Thresholds
) -> bool:
    shape, look = shape_distance(one[0], other[0]), look_distance(one[1], other[1])
    return shape < limits.same_face_units and look < limits.same_face_look
