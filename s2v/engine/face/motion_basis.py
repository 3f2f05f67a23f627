"""How a lower face moves: a few components of landmark displacement, the same for everybody.

The basis was learned from one talker (GRID s1, made symmetric) and is a coordinate system, not a
model: coefficient 0 is jaw opening, the next ones are width, rounding and lip shape. One unit is
one standard deviation in that talker's speech; all zeros is the mouth closed and at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from s2v.bundled import motion_basis_file
from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    N_MESH,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.errors import ModelError


@dataclass(frozen=True)
class MotionBasis:
    """K components of displacement of the lower face, in face units."""

    name: str
    points: NDArray[np.int64]  # (P,) mesh indices that move
    components: Points  # (K, P, 3), orthogonal

    @classmethod
    def load(cls, name: str) -> MotionBasis:
        """The basis that a model's spec names.

        Raises: ModelError, this version does not ship it.
        """
        return _load(name)

    def coefficients(self, canonical: Points, neutral: Points) -> Points:
        """Project landmarks onto the basis.

        Args:
            canonical: (n, 468, 3) in face units.
            neutral: (468, 3), the same person with the mouth closed and at rest.
        Returns: (n, K), in standard deviations of the basis talker.
        """
        moved = symmetric(canonical - neutral)[:, self.points].reshape(len(canonical), -1)
        flat = self.components.reshape(len(self.components), -1)
        coefficients: Points = moved @ flat.T / (flat**2).sum(1)
        return coefficients

    def displacement(self, mesh_indices: NDArray[np.int64]) -> Points:
        """(K, n, 3) displacement of any mesh points; those outside the lower face do not move."""
        whole = np.zeros((len(self.components), N_MESH, 3))
        whole[:, self.points] = self.components
        return whole[:, mesh_indices]


@cache
def _load(name: str) -> MotionBasis:
    try:
        with np.load(motion_basis_file(name), allow_pickle=False) as stored:
            points, components = stored["points"].astype(np.int64), stored["components"].astype(np.float64)
    except FileNotFoundError:
        raise ModelError(f"the model moves in basis '{name}', which this version does not ship: update s2v") from None
    return MotionBasis(name, points, components)


@cache
def mirror_index() -> NDArray[np.int64]:
    """For each mesh point its partner on the other side of the face, shape (468,)."""
    face = canonical_face()
    distance = ((face[:, None] * [-1.0, 1.0, 1.0] - face[None]) ** 2).sum(-1)
    partner: NDArray[np.int64] = distance.argmin(1)
    return partner


def symmetric(displacement: Points) -> Points:
    """Average displacements (..., 468, 3) with their mirror image."""
    mirrored = displacement[..., mirror_index(), :] * [-1.0, 1.0, 1.0]
    return (displacement + mirrored) / 2


def lip_gap(basis: MotionBasis) -> NDArray[np.float64]:
    """(K,) opening at the middle of the lips, in face units, for each unit of a component."""
    moves = basis.displacement(np.array([UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]]))
    opening: NDArray[np.float64] = moves[:, 1, 1] - moves[:, 0, 1]
    return opening


def lip_gaps(canonical: Points) -> Points:
    """Opening between the inner lips, (..., 468, 3) -> (..., 9): left to right, corners left out.

    Negative where the detector lets closed lips overlap.
    """
    upper, lower = list(UPPER_INNER_LIP[1:-1]), list(LOWER_INNER_LIP[1:-1])
    return canonical[..., lower, 1] - canonical[..., upper, 1]


def aperture(canonical: Points) -> Points:
    """Opening at the middle of the lips in face units, (..., 468, 3) -> (...)."""
    return lip_gaps(canonical)[..., 4]


def neutral_face(canonical: Points, closed_share: float = 0.1) -> Points:
    """A talker's own face at rest: the median of the frames whose lips are most closed.

    Args:
        canonical: (n, 468, 3) in face units, a clip or several of one person.
        closed_share: part of the frames that counts as closed.
    """
    gap = aperture(canonical)
    rest: Points = np.median(canonical[gap <= np.quantile(gap, closed_share)], axis=0)
    return rest
