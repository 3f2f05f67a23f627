"""The handful of numbers that a frame needs on the device besides the network's outputs, computed on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.compositor.head.drawing import MovingHead
from s2v.engine.compositor.mouth.interior import FACING
from s2v.engine.compositor.mouth.tongue import GRID_SIZE
from s2v.engine.compositor.torch.layout import Layout
from s2v.engine.compositor.torch.mouth_tensors import row_scale
from s2v.engine.face.articulation import USUAL
from s2v.engine.face.geometry import Points

_SIZES = (4, 3, 1, 6, 12, 1, 2)
N_NUMBERS = sum(_SIZES)  # of a frame


class FrameInputs(NamedTuple):
    """Those of n frames, on the device."""

    head: Tensor  # (n, 4) shift x, shift y, roll, breath
    gaze: Tensor  # (n, 3) how far irises turn along in half eye widths, backwards; 0; how far they bow down, backwards
    closed: Tensor  # (n, 1)
    to_window: Tensor  # (n, 2, 3) face plane -> pixels of the mouth's window, where the head has carried them
    places: Tensor  # (n, 4, 3) those pixels -> a row of teeth, the grid of soft shapes, where the head had them from
    articulation: Tensor  # (n, 1)
    depth_shift: Tensor  # (n, 2) pixels of the mouth's window for each face unit behind the lips

    @classmethod
    def of(cls, numbers: Tensor) -> FrameInputs:
        """Read (n, N_NUMBERS)."""
        head, gaze, closed, to_window, places, articulation, depth_shift = torch.split(numbers, list(_SIZES), 1)
        to_window, places = to_window.reshape(-1, 2, 3), places.reshape(-1, 4, 3)
        return cls(head, gaze, closed, to_window, places, articulation, depth_shift)


class PoseInputs:
    """Makes a row of N_NUMBERS for each pose of one face. Maps are multiplied in float64.

    Args:
        layout: that the face is drawn in.
    """

    def __init__(self, tables: FaceTables, layout: Layout) -> None:
        left, top, *_ = layout.mouth
        own_left, own_top, *_ = tables.interior.window
        self._forward = None if tables.idle is None else MovingHead(tables.idle.head).forward
        self._to_window = _shift(-left, -top)
        self._plane_to_photo = _shift(*tables.box[:2]) @ tables.warp.plane_to_output
        photo_to_own = _shift(-own_left, -own_top)
        grid_scale = 2 / np.subtract(GRID_SIZE, 1)
        self._to_places = np.concatenate(
            [
                _to_unit(row_scale(layout)) @ np.linalg.inv(_whole(tables.interior.row_to_window)) @ photo_to_own,
                _to_unit(grid_scale) @ np.linalg.inv(_whole(tables.interior.grid_to_window)) @ photo_to_own,
            ]
        )
        self._at_rest = self._row(np.eye(3))

    def __call__(
        self, pose: FacePose, articulation: float = USUAL, depth_shift: Points = FACING
    ) -> NDArray[np.float32]:
        """(N_NUMBERS,), a new array. Args: depth_shift: (2,) of `MouthInterior.draw`."""
        row = self._at_rest.copy()
        if self._forward is not None:
            forward = np.eye(3)
            forward[:2] = self._forward(pose)
            row = self._row(forward)
        row[:8] = *pose.shift, pose.roll, pose.breath, -2 * pose.gaze[0], 0, -4 * pose.gaze[1], pose.closed
        row[26] = articulation
        row[27:29] = depth_shift
        return row

    def _row(self, forward: Points) -> NDArray[np.float32]:
        row = np.zeros(N_NUMBERS, np.float32)
        row[8:14] = (self._to_window @ forward @ self._plane_to_photo)[:2].ravel()
        row[14:26] = (self._to_places @ np.linalg.inv(self._to_window @ forward)).ravel()
        return row


def _shift(x: float, y: float) -> Points:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1]])


def _whole(affine: Points) -> Points:
    """(2, 3) as (3, 3)."""
    return np.vstack([affine, [0, 0, 1]])


def _to_unit(scale: NDArray[np.float64]) -> Points:
    """(2, 3) from pixels to [-1, 1]."""
    to_unit: Points = np.c_[np.diag(scale), [-1, -1]]
    return to_unit
