"""How much of what a talker's lower face does a motion basis can say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import Points
from s2v.engine.face.motion_basis import MotionBasis, symmetric
from s2v.errors import DataError

EXPLAINED_WARNED, EXPLAINED_LEAST = 0.7, 0.4  # of a talker's motion; docs/LOG.md, "Labels of many talkers"


@dataclass(frozen=True)
class BasisFit:
    """Sums over frames, so that those of clips add up."""

    moved: float = 0.0  # squares of displacement about each clip's mean
    left: float = 0.0  # those that the basis does not hold

    def __add__(self, other: BasisFit) -> BasisFit:
        return BasisFit(self.moved + other.moved, self.left + other.left)

    @property
    def explained(self) -> float:
        """Share of the variance of the lower face's symmetric motion, in [0, 1]; NaN where nothing moved."""
        return 1 - self.left / self.moved if self.moved > 0 else float("nan")


def residual(canonical: Points, neutral: Points, basis: MotionBasis) -> NDArray[np.float64]:
    """(n,) RMS over the basis' points of what it leaves of each frame's displacement, face units.

    Args: canonical: (n, 468, 3). neutral: (468, 3).
    """
    _, left = _split(symmetric(canonical - neutral)[:, basis.points], basis)
    rms: NDArray[np.float64] = np.sqrt(left / len(basis.points))
    return rms


def basis_fit(canonical: Points, basis: MotionBasis) -> BasisFit:
    """Of one clip, (n, 468, 3) in face units, n at least 1."""
    moved, left = _split(symmetric(canonical - canonical.mean(0))[:, basis.points], basis)
    return BasisFit(float(moved.sum()), float(left.sum()))


def basis_warning(fit: BasisFit) -> str | None:
    """What to tell of a basis that holds too little of a talker's motion; None if it holds enough.

    Raises: DataError, it holds so little that the labels would be of another mouth.
    """
    if fit.explained < EXPLAINED_LEAST:  # NaN, nothing moves, is not for the basis to judge
        raise DataError(
            f"the motion basis explains {fit.explained:.0%} of how this mouth moves, wanted {EXPLAINED_LEAST:.0%}: "
            "look at the film's landmarks, or fit a basis on these talkers"
        )
    if fit.explained < EXPLAINED_WARNED:
        found, usual = f"{fit.explained:.0%}", f"{EXPLAINED_WARNED:.0%}"
        return f"the motion basis explains only {found} of how this mouth moves; {usual} and more is usual"
    return None


def _split(displacement: Points, basis: MotionBasis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squares of (n, P, 3), and of what the basis does not hold, each summed to (n,)."""
    moved = displacement.reshape(len(displacement), -1)
    flat = basis.components.reshape(len(basis.components), -1)
    held = (moved @ flat.T / (flat**2).sum(1)) @ flat
    return (moved**2).sum(1), ((moved - held) ** 2).sum(1)
