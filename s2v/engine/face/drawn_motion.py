"""How far the pixels of a face go for what a motion asks.

The motion basis is in the landmark detector's measure, and the detector draws mouths towards its average: of a mouth
that is moved by exactly what was asked, it reads 0.76 of the change in width, and 0.13 of the opening as width. It does
so on film too: the area that has the colour of the lips changes its width there about 1.3 times as much as on a photo
that is moved by what the detector read. So pixels go further than the reading, by one linear correction for everybody.
"""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    MOUTH_CORNERS,
    N_MESH,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.engine.face.motion_basis import MotionBasis

# (width, opening) as drawn, for (width, opening) as they are to be read; fitted on twelve photos moved as talkers in
# film move, and held to twelve others (docs/LOG.md).
_DRAWN = np.array([[1.20, -0.13], [0.0, 0.95]])
_CARRIED = 0.14  # face units beyond a corner of the mouth: so far does it carry the skin along
_INNER = 0.03  # face units from a corner towards the middle: there the lips are on their own


def drawn_moves(basis: MotionBasis, n_motion: int) -> Points:
    """(n_motion, 468, 3) displacement of the mesh in face units for one of each coefficient."""
    moves = basis.displacement(np.arange(N_MESH))[:n_motion]
    left, right = MOUTH_CORNERS
    upper, lower = UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]
    shape = np.stack([moves[:, right, 0] - moves[:, left, 0], moves[:, lower, 1] - moves[:, upper, 1]])
    # The least change of coefficients, which are in standard deviations, that adds what is missing.
    more = np.linalg.pinv(shape) @ (_DRAWN - np.eye(2)) @ shape
    return _carried(moves + np.tensordot(more.T, moves, 1))


def _carried(moves: Points) -> Points:
    """The skin beside the mouth goes sideways with its corners, as the muscles there do, and not as the mesh has it.

    The mesh's next points follow by half: the crease beyond a corner would stay behind and be seen as mouth.
    """
    face = canonical_face()
    carried = moves.copy()
    for corner in MOUTH_CORNERS:
        side = np.sign(face[corner, 0])
        far = np.linalg.norm((face - face[corner])[:, :2], axis=1)
        share = np.clip(1 - far / _CARRIED, 0, 1)
        share = share**2 * (3 - 2 * share) * (side * face[:, 0] > side * face[corner, 0] - _INNER)
        carried[..., 0] += share * (moves[:, [corner], 0] - moves[..., 0])
    return carried
