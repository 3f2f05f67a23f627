"""Where a head is and what its upper face does, frame by frame, from landmarks: of film and of what we draw alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, RIGID, head_pose

Curve = NDArray[np.float64]

WINDOW = 7  # frames of the local parabola: 0.28 s, so that a nod of 0.15 s is dulled and the detector's trembling gone
_HALF = WINDOW // 2
_BROWS = (63, 105, 66, 107, 293, 334, 296, 336)
_EYE_CORNERS = (33, 133, 362, 263)
_UPPER_LIDS, _LOWER_LIDS = (160, 159, 158, 385, 386, 387), (144, 145, 153, 380, 374, 373)


class HeadQuantity(NamedTuple):
    """One thing that a head does."""

    key: str
    title: str
    unit: str
    decimals: int


QUANTITIES = (
    HeadQuantity("x", "head to the side", "eye distances", 3),
    HeadQuantity("y", "head up and down", "eye distances", 3),
    HeadQuantity("yaw", "turn", "degrees", 2),
    HeadQuantity("pitch", "nod", "degrees", 2),
    HeadQuantity("roll", "tilt", "degrees", 2),
    HeadQuantity("scale", "nearer and farther, share", "", 4),
    HeadQuantity("brow", "brows over the eyes", "eye distances", 4),
    HeadQuantity("lid", "opening of the lids", "eye distances", 4),
)
KEYS = tuple(quantity.key for quantity in QUANTITIES)


@dataclass(frozen=True)
class HeadCurves:
    """All QUANTITIES and the rigid points of a head, a value a frame at a steady rate."""

    # (n, 8) in the order of QUANTITIES; right, down, nose to the right, nose down, clockwise, nearer, up, wide > 0
    values: Curve
    rigid: Curve  # (n, 16, 2) points of the skull on the picture, over the head's median unit: face units

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: str) -> Curve:
        """(n,) one quantity by its key."""
        curve: Curve = self.values[:, KEYS.index(key)]
        return curve


class Smoothed(NamedTuple):
    """A curve (n, ...) less the detector's trembling, its speed a second and its acceleration a second squared."""

    place: Curve
    speed: Curve
    acceleration: Curve


def head_curves(landmarks: NDArray[np.floating[Any]]) -> HeadCurves:
    """Of landmarks (n, 478, 3) in pixels of one picture's frame, every frame for itself.

    Lengths are in face units of the head's median distance, so that a head that comes nearer only scales.
    """
    points = landmarks.astype(np.float64)
    poses = [head_pose(frame) for frame in points]
    unit_px = float(np.median([pose.unit_px for pose in poses]))
    rows = []
    for pose, frame in zip(poses, points, strict=True):
        eyes, right = pose.to_photo(np.zeros(3))[:2] / unit_px, pose.turn(np.array([1.0, 0.0, 0.0]))
        canonical = pose.to_canonical(frame[:N_MESH])
        brow = canonical[list(_EYE_CORNERS), 1].mean() - canonical[list(_BROWS), 1].mean()
        lid = np.linalg.norm(canonical[list(_UPPER_LIDS), :2] - canonical[list(_LOWER_LIDS), :2], axis=1).mean()
        roll = float(np.degrees(np.arctan2(right[1], right[0])))
        rows.append([*eyes, pose.yaw_degrees, pose.pitch_degrees, roll, pose.unit_px / unit_px, brow, lid])
    return HeadCurves(np.array(rows), points[:, list(RIGID), :2] / unit_px)


def moves(curve: Curve, fps: int) -> Smoothed:
    """A parabola through each WINDOW frames; ends have fewer.

    Args: curve: (n, ...), n >= 4. Returns: arrays of the same shape.
    Source: Savitzky and Golay, "Smoothing and differentiation of data", Analytical Chemistry 36 (1964).
    """
    n = len(curve)
    flat = curve.reshape(n, -1)
    found = np.zeros((3, *flat.shape))
    for index in range(n):
        low, high = max(0, index - _HALF), min(n, index + _HALF + 1)
        found[:, index] = _parabola(low - index, high - index) @ flat[low:high]
    place, speed, acceleration = found.reshape(3, *curve.shape)
    return Smoothed(place, speed * fps, 2 * acceleration * fps**2)


def tremble(curve: Curve) -> Curve:
    """Standard deviation of the detector's own noise in a curve (n, ...), from what a parabola leaves over: (...).

    The median of it, so that a blink or a jump counts for nothing. What the head itself does in under 0.1 s is counted
    as noise too, in film and in drawing alike.
    """
    left_over = np.abs(curve - moves(curve, 1).place)[_HALF : len(curve) - _HALF]
    kept = _parabola(-_HALF, _HALF + 1)[0]
    seen: Curve = 1.4826 * np.median(left_over, axis=0) / np.sqrt(1 - kept[_HALF])
    return seen


def noise_gains(fps: int) -> tuple[float, float, float]:
    """What noise of deviation 1 leaves in the place, the speed and the acceleration of `moves`."""
    place, speed, acceleration = np.sqrt((_parabola(-_HALF, _HALF + 1) ** 2).sum(1))
    return float(place), float(speed) * fps, float(acceleration) * 2 * fps**2


def _parabola(low: int, high: int) -> Curve:
    """(3, high - low) weights of the frames low..high-1 that give value, slope and half the curvature at frame 0."""
    at = np.arange(low, high)
    weights: Curve = np.linalg.pinv(np.stack([np.ones(len(at)), at, at**2], axis=1))
    return weights
