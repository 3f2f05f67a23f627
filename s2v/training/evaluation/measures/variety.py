"""How different the mouths of different sounds are: a face that says everything through one shape has none.

Between two classes it is the distance of their means over the spread within them (Fisher's criterion): 0 is the same
mouth, 1 means that the classes lie as far apart as their own members scatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.photo import Image
from s2v.training.evaluation.measures.phone_classes import ClassTable

VARIED = ("UW", "SH", "EH")  # round and small, round and open, spread and open: hardest to keep apart, and often said
MIN_SPOKEN = 3  # of each: fewer have no spread of their own
_MOUTH_PX = (20, 14)  # width and height to which a mouth is shrunk: shape and colour, not the grain


def variety(classes: Mapping[str, NDArray[np.floating[Any]]]) -> float:
    """Mean over all pairs of classes, each (n_spoken, n_values); NaN with less than MIN_SPOKEN of one."""
    if len(classes) < 2 or min(len(members) for members in classes.values()) < MIN_SPOKEN:
        return float("nan")
    means = {name: members.mean(0) for name, members in classes.items()}
    scatter = {name: float(((members - means[name]) ** 2).sum(1).mean()) for name, members in classes.items()}
    apart = [
        float(np.linalg.norm(means[a] - means[b])) / max(1e-9, np.sqrt((scatter[a] + scatter[b]) / 2))
        for a, b in combinations(classes, 2)
    ]
    return float(np.mean(apart))


def mouth_vector(mouth: Image) -> NDArray[np.float64]:
    """A crop of a mouth (h, w, 3) as numbers that can be averaged, (n,)."""
    small = cv2.resize(mouth, _MOUTH_PX, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64).ravel()


def by_class(values: Sequence[tuple[str, NDArray[np.floating[Any]]]]) -> dict[str, NDArray[np.float64]]:
    """Name and vector of each time that a class is spoken -> class -> (n_spoken, n_values)."""
    found: dict[str, list[NDArray[np.floating[Any]]]] = {}
    for name, vector in values:
        found.setdefault(name, []).append(vector)
    return {name: np.array(vectors, np.float64) for name, vectors in found.items()}


def shape_variety(table: ClassTable) -> float:
    """Of the width and the opening of VARIED: what `class_table` found for these three."""
    if not set(VARIED) <= table.keys():
        return float("nan")
    return variety({name: np.stack([table[name].width, table[name].opening], axis=1) for name in VARIED})
