"""What a photo leaves to an expression: a face that smiles already, or that wears glasses, gets less of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP, Points

BROWS_FACE_UNITS = (-0.03, 0.06)
WIDEN = (-0.3, 0.2)  # of the opening: what was looked at; irises stretch as lids stand higher
CORNERS_FACE_UNITS = (-0.02, 0.04)
# A smile's share by the width of the mouth, the height of its corners over its middle and how far down the cheeks are,
# face units. Least squares for 0 and 1 on 90 people photographed with both faces (London Set): 19 of 20 neutral ones
# are below 0.46, half of the smiling ones above 0.76.
_SMILE_WIDTH, _SMILE_CORNERS, _SMILE_CHEEKS, _SMILE_AT_0 = 1.18, 6.21, -7.49, 2.38
_CHEEKS = (50, 280)
_NO_SMILE, _WHOLE_SMILE = 0.4, 1.2
_SMILE_TAKES = 0.8  # of what corners and cheeks may rise
_SMILE_GIVES = 1.2  # of what corners go down more: a smile becomes serious from further away


@dataclass(frozen=True)
class ExpressionRoom:
    """Shares by which a face's amounts are multiplied, after they are limited."""

    brows: float
    cheeks: float
    raised: float  # of corners that go up
    lowered: float  # of corners that go down

    def fitted(self, pose: FacePose) -> FacePose:
        """The pose as this face shows it."""
        if pose.brows == 0 and pose.widen == 0 and pose.cheeks == 0 and pose.corners == 0:
            return pose
        low, high = CORNERS_FACE_UNITS
        return replace(
            pose,
            brows=self.brows * min(max(pose.brows, BROWS_FACE_UNITS[0]), BROWS_FACE_UNITS[1]),
            widen=min(max(pose.widen, WIDEN[0]), WIDEN[1]),
            cheeks=self.cheeks * min(max(pose.cheeks, 0.0), 1.0),
            corners=(self.raised if pose.corners > 0 else self.lowered) * min(max(pose.corners, low), high),
        )


def expression_room(canonical: Points, glasses: float) -> ExpressionRoom:
    """That of one face. Args: canonical: (468, 3) landmarks in face units. glasses: of `glasses_share`."""
    smile = smile_share(canonical)
    # A frame that bends is seen at once: behind one, brows and cheeks stay.
    brows, raised = 1 - glasses, 1 - _SMILE_TAKES * smile
    return ExpressionRoom(
        brows=brows,
        cheeks=brows * raised,
        raised=raised,
        lowered=1 + _SMILE_GIVES * smile,
    )


def smile_share(canonical: Points) -> float:
    """How much a photo smiles, 0 to 1. Args: canonical: (468, 3) landmarks in face units."""
    left, right = canonical[list(MOUTH_CORNERS)]
    middle = canonical[[UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]], 1].mean()
    corners = float(middle - (left[1] + right[1]) / 2)
    cheeks = float(canonical[list(_CHEEKS), 1].mean())
    share = _SMILE_WIDTH * float(right[0] - left[0]) + _SMILE_CORNERS * corners + _SMILE_CHEEKS * cheeks + _SMILE_AT_0
    return float(np.clip((share - _NO_SMILE) / (_WHOLE_SMILE - _NO_SMILE), 0, 1))
