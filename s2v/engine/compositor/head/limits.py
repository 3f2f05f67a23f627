"""How far a head may move on its photo without looking bent: the photo decides, and nothing is cut off hard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import tanh

import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.face.geometry import Pose
from s2v.engine.face.maps import smoothstep

# What looks right on a photo that looks at the camera and has room around the head.
YAW, PITCH, ROLL = (float(np.radians(degrees)) for degrees in (11.0, 7.0, 4.5))
SHIFT_X, SHIFT_Y = 0.09, 0.09  # face units
LEAN_BACK, LEAN_FORTH = 0.03, 0.06  # share of the head's size

_FAR_DEGREES = 25.0  # a photo turned that far bears less turning,
_LEFT_OF_YAW, _LEFT_OF_PITCH = 0.5, 0.7  # by so much
_GAP_UNITS = 0.12  # hair that is nearer to the photo's border bears less
# What comes into view there is mirrored hair, and more of it when a head is shifted and rolled than when it goes down.
_LEFT_BESIDE, _LEFT_BELOW_TOP = 0.6, 0.9


@dataclass(frozen=True)
class HeadLimits:
    """How far each motion goes at most, either way. Shares are of what a pose asks for."""

    turn_share: float  # of yaw
    nod_share: float  # of pitch
    x_share: float  # of the shift to a side
    y_share: float  # of the shift up and down, and of lean
    roll_share: float

    def limited(self, pose: FacePose) -> FacePose:
        """What there is room for of a pose: small motions nearly as asked, large ones less and less."""
        return replace(
            pose,
            shift=(self.x_share * _soft(pose.shift[0], SHIFT_X), self.y_share * _soft(pose.shift[1], SHIFT_Y)),
            yaw=self.turn_share * _soft(pose.yaw, YAW),
            pitch=self.nod_share * _soft(pose.pitch, PITCH),
            roll=self.roll_share * _soft(pose.roll, ROLL),
            lean=self.y_share * _soft(pose.lean, LEAN_FORTH if pose.lean > 0 else LEAN_BACK),
        )


def head_limits(pose: Pose, beside_units: float, above_units: float, room: float) -> HeadLimits:
    """Those of one photo.

    Args:
        pose: of the head on the photo.
        beside_units, above_units: between the head, its hair included, and the photo's border: on the narrower side;
            on top.
        room: 0 to 1, of `Extent`: a face whose features are near the border moves less.
    """
    turned, tipped = (smoothstep(abs(angle) / _FAR_DEGREES) for angle in (pose.yaw_degrees, pose.pitch_degrees))
    beside = float(np.clip(beside_units / _GAP_UNITS, _LEFT_BESIDE, 1.0))
    above = float(np.clip(above_units / _GAP_UNITS, _LEFT_BELOW_TOP, 1.0))
    return HeadLimits(
        turn_share=room * (1 - (1 - _LEFT_OF_YAW) * turned),
        nod_share=room * (1 - (1 - _LEFT_OF_PITCH) * tipped),
        x_share=room * beside,
        y_share=room * above,
        roll_share=room * beside,  # hair that touches the top slides along it
    )


def _soft(asked: float, limit: float) -> float:
    return limit * tanh(asked / limit)
