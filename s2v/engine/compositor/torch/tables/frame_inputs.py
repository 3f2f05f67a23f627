"""The handful of numbers that a frame needs on the device besides the network's outputs, computed on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.head.motion import N_TERMS
from s2v.engine.compositor.mouth.tongue import GRID_SIZE
from s2v.engine.compositor.torch.tables.arrays import unit_step
from s2v.engine.compositor.torch.tables.eye_tensors import AMOUNTS, N_EYES, eye_amounts
from s2v.engine.compositor.torch.tables.layout import Layout
from s2v.engine.face.articulation import USUAL
from s2v.engine.face.geometry import Points

_SIZES = (2 * N_TERMS, N_EYES * len(AMOUNTS), 2, 1, 12, 1, 2)
N_NUMBERS = sum(_SIZES)  # of a frame


class Inputs(NamedTuple):
    """What n frames are drawn from: views of one block, so that what comes from the host is one copy."""

    numbers: Tensor  # (n, N_NUMBERS), first, for they always come from the host
    weights: Tensor  # (n, n_motion + 1): motion, and a one that the photo's own rest is weighed by
    tract: Tensor  # (n, 5) of `TRACT_VARIABLES`

    @property
    def motion(self) -> Tensor:
        """(n, n_motion)."""
        return self.weights[:, :-1]


class FrameInputs(NamedTuple):
    """The numbers of n frames, on the device."""

    head: Tensor  # (n, 2, 11) x, y: of `HeadMotion.coefficients`, in [-1, 1] of the layout's cells
    eyes: Tensor  # (n, 2, 8) `AMOUNTS` of each eye
    skin: Tensor  # (n, 2) how far brows and cheeks are raised, of `FacePose`
    corners: Tensor  # (n, 1) of the mouth, of `FacePose`
    places: Tensor  # (n, 4, 3) pixels of the mouth's window -> where the head had them from: in a row of teeth, in the
    # grid of soft shapes, [-1, 1] each
    articulation: Tensor  # (n, 1)
    depth_shift: Tensor  # (n, 2) pixels of the mouth's window for each face unit behind the lips

    @classmethod
    def of(cls, numbers: Tensor) -> FrameInputs:
        """Read (n, N_NUMBERS)."""
        head, eyes, skin, corners, places, articulation, depth_shift = torch.split(numbers, list(_SIZES), 1)
        head, eyes = head.reshape(-1, 2, N_TERMS), eyes.reshape(-1, N_EYES, len(AMOUNTS))
        return cls(head, eyes, skin, corners, places.reshape(-1, 4, 3), articulation, depth_shift)


class PoseInputs:
    """Makes a row of N_NUMBERS for each pose of one face. Maps are multiplied in float64.

    Args:
        on_cpu: of the face: it knows how its head moves. layout: that the face is drawn in.
    """

    def __init__(self, on_cpu: MotionCompositor, layout: Layout) -> None:
        tables = on_cpu.tables
        left, top, *_ = layout.mouth
        own_left, own_top, *_ = tables.interior.window
        self._on_cpu = on_cpu
        self._to_window = _shift(-left, -top)
        photo_to_own = _shift(-own_left, -own_top)
        steps = (unit_step(layout.row), unit_step(GRID_SIZE))
        whole = (tables.interior.row_to_window, tables.interior.grid_to_window)
        self._to_places = np.concatenate(
            [
                np.c_[np.diag(step), [-1, -1]] @ np.linalg.inv(_whole(affine)) @ photo_to_own
                for step, affine in zip(steps, whole, strict=True)
            ]
        )
        self._at_rest = np.zeros(N_NUMBERS, np.float32)
        self._at_rest[_PLACES] = self._places(np.eye(2, 3))
        self._per_px = unit_step(layout.cells) / tables.moving.head.cell_px if tables.moving else np.zeros(2)

    def __call__(self, pose: FacePose, articulation: float = USUAL) -> NDArray[np.float32]:
        """(N_NUMBERS,), a new array."""
        row = self._at_rest.copy()
        row[_ARTICULATION] = articulation
        moving, animated = self._on_cpu.tables.moving, self._on_cpu.animated
        if moving is not None and animated is not None:
            pose = self._on_cpu.fitted(pose)
            row[_HEAD] = (self._per_px * animated.head.coefficients(pose)).T.ravel()
            row[_EYES] = eye_amounts(moving.eyes, pose)
            row[_SKIN] = pose.brows, pose.cheeks
            row[_CORNERS] = pose.corners
            row[_PLACES] = self._places(animated.forward(pose))
            row[_DEPTH_SHIFT] = animated.head.depth_shift(pose)
        return row

    def _places(self, forward: Points) -> Points:
        """Args: forward: (2, 3) of `AnimatedPhoto.forward`."""
        places: Points = self._to_places @ np.linalg.inv(self._to_window @ _whole(forward))
        return places.ravel()


def _parts() -> list[slice]:
    ends = np.cumsum(_SIZES).tolist()
    return [slice(end - size, end) for end, size in zip(ends, _SIZES, strict=True)]


_HEAD, _EYES, _SKIN, _CORNERS, _PLACES, _ARTICULATION, _DEPTH_SHIFT = _parts()


def _shift(x: float, y: float) -> Points:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1]])


def _whole(affine: Points) -> Points:
    """(2, 3) as (3, 3)."""
    return np.vstack([affine, [0, 0, 1]])
