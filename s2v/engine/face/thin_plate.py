"""Thin plates through scattered points: smooth surfaces over a plane.

Source: Wahba, "Spline Models for Observational Data" (1990), section 2.4.
"""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import Points


def bent_plate(places: Points, points: Points) -> Points:
    """What a plate that is held at n points does at places: (len(places), n + 3), the last three its tilt."""
    bent = np.empty((len(places), len(points) + 3))
    bent[:, -3], bent[:, -2:] = 1, places
    r2 = (places[:, :1] - points[:, 0]) ** 2 + (places[:, 1:] - points[:, 1]) ** 2
    bent[:, :-3] = r2 * np.log(r2 + 1e-12)
    return bent


def smoothing_plate(points: Points, stiffness: float) -> Points:
    """(n + 3, n) from values at n points to the weights of the smoothing plate through them, for `bent_plate`."""
    return np.asarray(np.linalg.inv(_system(points, stiffness))[:, : len(points)], np.float64)


def smoothing_weights(points: Points, values: Points, stiffness: float) -> Points:
    """(n + 3,) `smoothing_plate` times values (n,), in a third of the time."""
    return np.asarray(np.linalg.solve(_system(points, stiffness), np.append(values, np.zeros(3))), np.float64)


def _system(points: Points, stiffness: float) -> Points:
    n = len(points)
    system = np.zeros((n + 3, n + 3))
    system[:n] = bent_plate(points, points)
    system[n:, :n] = system[:n, n:].T
    system[np.arange(n), np.arange(n)] += stiffness
    return system
