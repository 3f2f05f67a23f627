"""How much of a head's pose is left in a face that was taken out of it.

The detector's mesh bends as a head tips and turns: a mouth that does nothing seems to move, by three standard
deviations of the fourth component in ten degrees of pitch. What leaks is nearly the same for everybody, and more
exactly known where a talker moved his head much: a ridge regression of his own motion on his pose, around everybody's.
Opening and width of the mouth are regressed on, too, so that a talker who nods with his vowels loses none of them.
Figures are in docs/LOG.md, "Labels of many talkers".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import MOUTH_CORNERS, N_MESH, Points
from s2v.engine.face.motion_basis import MotionBasis, aperture
from s2v.spec import LipSyncSpec
from s2v.training.prepare.canonical import CanonicalClip

_PITCH_DEGREES, _YAW_DEGREES = 10.0, 20.0  # units of what is regressed on: pitch, and the square of yaw
_RIDGE = 100.0  # frames of a talker with so much pose that count as much as everybody's slopes
_N_MOVES = 10  # components of the basis that leaks are told in
# Of three talkers of free speech, in standard deviations of those components; others differ from talker to talker.
EVERYBODYS = np.zeros((2, _N_MOVES))
EVERYBODYS[0, 3] = -3.2
EVERYBODYS[1, :3] = (-0.7, -0.9, 1.6)


@dataclass(frozen=True)
class PoseMoments:
    """What the regression needs of clips; those of several add up."""

    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 4)))
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, _N_MOVES)))

    def __add__(self, other: PoseMoments) -> PoseMoments:
        return PoseMoments(self.squares + other.squares, self.products + other.products)

    def slopes(self) -> NDArray[np.float64]:
        """(2, 10) what leaks of a talker's pose, as `leaked` takes it; `EVERYBODYS` where his head never moved."""
        ridge = np.diag([_RIDGE, _RIDGE, 1e-6, 1e-6])
        prior = np.concatenate([EVERYBODYS, np.zeros_like(EVERYBODYS)])
        found: NDArray[np.float64] = np.linalg.solve(self.squares + ridge, self.products + ridge @ prior)[:2]
        return found


def pose_of(clip: CanonicalClip) -> NDArray[np.float64]:
    """(n, 2) what leaks are proportional to: pitch, and the square of yaw."""
    return np.stack([clip.pitch_degrees / _PITCH_DEGREES, (clip.yaw_degrees / _YAW_DEGREES) ** 2], 1).astype(np.float64)


def pose_moments(clip: CanonicalClip, usable: NDArray[np.bool_]) -> PoseMoments:
    """Those of a clip's usable frames (n,), about their own means, so that clips may be of any distance and lens."""
    points = clip.points[usable].astype(np.float64)
    left, right = MOUTH_CORNERS
    mouth = np.stack([aperture(points), points[:, right, 0] - points[:, left, 0]], axis=1)
    known = np.concatenate([pose_of(clip)[usable], mouth], axis=1)
    known -= known.mean(0)
    motion = _basis().coefficients(points, points.mean(0))[:, :_N_MOVES]
    return PoseMoments(known.T @ known, known.T @ motion)


def leaked(pose: NDArray[np.float64], slopes: NDArray[np.float64]) -> Points:
    """(n, 468, 3) face units, how far a mesh seems to have moved from where it is on a head held straight.

    Args: pose: (n, 2) of `pose_of`. slopes: (2, 10) of `PoseMoments.slopes`.
    """
    moves: Points = np.tensordot(pose @ slopes, _basis().displacement(np.arange(N_MESH))[:_N_MOVES], axes=1)
    return moves


def _basis() -> MotionBasis:
    return MotionBasis.load(LipSyncSpec.motion_basis)
