"""How strongly a face speaks: motion scaled about rest, where closed lips stay as closed as they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.motion_basis import MotionBasis, lip_gap
from s2v.errors import S2vError
from s2v.spec import LipSyncSpec

LEAST, USUAL, MOST = 0.5, 1.0, 1.5
CLOSED = 0.02  # face units: lips no further apart are closed to a viewer's eye


@dataclass(frozen=True)
class ArticulationTables:
    """What scaling needs to know of a motion basis."""

    gap: NDArray[np.float32]  # (n_motion,) opening of the lips, in face units, for each unit of motion
    closing: NDArray[np.float32]  # (n_motion,) the motion that opens them by one face unit and else moves least


def articulation_tables(spec: LipSyncSpec) -> ArticulationTables:
    """Those of a model's motion basis."""
    basis = MotionBasis.load(spec.motion_basis)
    gap = lip_gap(basis)[: spec.n_motion]
    least = gap / (basis.components[: spec.n_motion] ** 2).sum((1, 2))
    return ArticulationTables(gap.astype(np.float32), (least / (gap @ least)).astype(np.float32))


def articulated(motion: NDArray[np.float32], articulation: float, tables: ArticulationTables) -> NDArray[np.float32]:
    """Motion (..., n_motion) scaled about rest, which is 0.

    What opens the lips by less than CLOSED is not scaled, nor is the first bit of what opens them wider: neither a
    closure opens nor a pause.
    """
    if articulation == USUAL:
        return motion
    kept = np.minimum(motion @ tables.gap, CLOSED)[..., None]
    scaled: NDArray[np.float32] = motion + np.float32(articulation - 1) * (motion - kept * tables.closing)
    return scaled


def check_articulation(value: object) -> float:
    """The value as a float. Raises: S2vError, it is no number, or outside LEAST to MOST."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and LEAST <= value <= MOST:
        return float(value)
    raise S2vError(f"articulation is {value!r:.40}: give a number from {LEAST} to {MOST}, {USUAL} is as it is")
