"""The handful of numbers that a frame needs on the device besides the network's outputs, computed on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.compositor.face_tables import FaceTables
from s2v.engine.compositor.head import MovingHead
from s2v.engine.compositor.idle_motion import IdlePose
from s2v.engine.compositor.torch.layout import Layout
from s2v.engine.face.articulation import USUAL
from s2v.engine.face.geometry import Points

_SIZES = (4, 3, 1, 6, 1)
N_NUMBERS = sum(_SIZES)  # of a frame


class FrameInputs(NamedTuple):
    """Those of n frames, on the device."""

    head: Tensor  # (n, 4) shift x, shift y, roll, breath
    gaze: Tensor  # (n, 3) how far irises turn along in half eye widths, backwards; 0; how far they bow down, backwards
    closed: Tensor  # (n, 1)
    to_window: Tensor  # (n, 2, 3) face plane -> pixels of the mouth's window, where the head has carried them
    articulation: Tensor  # (n, 1)

    @classmethod
    def of(cls, numbers: Tensor) -> FrameInputs:
        """Read (n, N_NUMBERS)."""
        head, gaze, closed, to_window, articulation = torch.split(numbers, list(_SIZES), 1)
        return cls(head, gaze, closed, to_window.view(-1, 2, 3), articulation)


class PoseInputs:
    """Makes a row of N_NUMBERS for each pose of one face. Maps are multiplied in float64.

    Args:
        layout: that the face is drawn in.
    """

    def __init__(self, tables: FaceTables, layout: Layout) -> None:
        left, top, *_ = layout.mouth
        self._forward = None if tables.idle is None else MovingHead(tables.idle.head).forward
        self._to_window = _shift(-left, -top)
        self._plane_to_photo = _shift(*tables.box[:2]) @ tables.warp.plane_to_output
        self._at_rest = self._row(np.eye(3))

    def __call__(self, pose: IdlePose, articulation: float = USUAL) -> NDArray[np.float32]:
        """(N_NUMBERS,), a new array."""
        row = self._at_rest.copy()
        if self._forward is not None:
            forward = np.eye(3)
            forward[:2] = self._forward(pose)
            row = self._row(forward)
        row[:8] = *pose.shift, pose.roll_radians, pose.breath, -2 * pose.gaze[0], 0, -4 * pose.gaze[1], pose.closed
        row[14] = articulation
        return row

    def _row(self, forward: Points) -> NDArray[np.float32]:
        row = np.zeros(N_NUMBERS, np.float32)
        row[8:14] = (self._to_window @ forward @ self._plane_to_photo)[:2].ravel()
        return row


def _shift(x: float, y: float) -> Points:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1]])
