"""What an opening mouth does to a detector's idea of the head: held still, it seems to nod and lift its brows.

On a face that was drawn talking with its head held still, all motion of the head is the detector's own. As much of it
as goes with the mouth is taken out of the same face's moving head. Of film there is no still head: it stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.motion_basis import aperture
from s2v.training.evaluation.measures.head.curves import Curve, HeadCurves, head_curves
from s2v.training.evaluation.measures.shapes import canonical_of


@dataclass(frozen=True)
class StillHead:
    """A face that talked without moving its head."""

    curves: HeadCurves
    opening: Curve  # (n,) of the lips, face units


def still_head(landmarks: NDArray[np.floating[Any]]) -> StillHead:
    """Of landmarks (n, 478, 3) in pixels, detected in each frame by itself."""
    return StillHead(head_curves(landmarks), lip_opening(landmarks))


def lip_opening(landmarks: NDArray[np.floating[Any]]) -> Curve:
    """(n,) face units, of landmarks (n, 478, 3) in pixels, each in its own head's pose."""
    return aperture(canonical_of(landmarks))


def without_drag(head: HeadCurves, opening: NDArray[np.floating[Any]], still: StillHead) -> HeadCurves:
    """A head (n) less what goes with its mouth's opening (n,) as it does on the still one.

    Nothing is taken out where the still one's mouth does not move.
    """
    steady = still.opening - still.opening.mean()
    power = float(steady @ steady)
    moved = np.asarray(opening, np.float64) - float(np.mean(opening))

    def less(curve: Curve, seen: Curve) -> Curve:
        slope = np.tensordot(steady, seen - seen.mean(0), axes=1) / power if power > 1e-9 else np.zeros(seen.shape[1:])
        return curve - np.multiply.outer(moved, slope)

    return HeadCurves(less(head.values, still.curves.values), less(head.rigid, still.curves.rigid))
