"""Poses to draw faces in: all that a pose can hold, within its usual range, and some lids half or wholly shut."""

from __future__ import annotations

import numpy as np

from s2v.engine.behaviour.pose import AT_REST, FacePose

_LIDS = {41: 0.3, 77: 0.6, 102: 1.0, 140: 0.5, 160: 1.0, 180: 0.4}


def pose_at(index: int, seed: int = 7) -> FacePose:
    """One for each index and seed; index 0 is at rest."""
    if index == 0:
        return AT_REST
    random = np.random.default_rng([seed, index])

    def some(limit: float) -> float:
        return float(limit * random.uniform(0.5, 1.0) * random.choice([-1, 1]))

    return FacePose(
        shift=(some(0.07), some(0.08)),
        yaw=some(0.14),
        pitch=some(0.105),
        roll=some(0.061),
        lean=some(0.06),
        breath=float(random.uniform(0, 1)),
        gaze=(some(0.045), some(0.018)),
        closed=_LIDS.get(index, 0.0),
        widen=some(0.15),
        brows=some(0.03),
        cheeks=float(random.uniform(0, 1)),
        corners=some(0.015),
    )
