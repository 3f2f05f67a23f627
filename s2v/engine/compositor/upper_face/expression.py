"""Brows and cheeks in a frame's map."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.expression_tables import ExpressionTables
from s2v.engine.face.maps import Map, remap

_INVERSION_STEPS = 3  # b(x) = -f(x + b(x)): the fields are gentle


class MovingFace:
    """Brows and cheeks of a photo.

    A device needs of a frame: the sum of the fields, each weighed by its amount; that sum inverted by fixed-point
    steps on its own grid; what it says at the map's every `cell_px`-th pixel; those enlarged and added.
    """

    def __init__(self, tables: ExpressionTables | None) -> None:
        self._tables = tables
        if tables is not None:
            rows, columns = tables.fields.shape[1:3]
            self._cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
            self._fields = tables.fields.reshape(len(tables.fields), -1)

    def move(self, source: Map, origin: tuple[int, int], pose: FacePose) -> None:
        """Raise brows and cheeks in a map, in place.

        Args:
            source: (h, w, 2) photo pixel of each pixel of a part of the frame; origin: where that part begins.
        """
        tables = self._tables
        if tables is None or (pose.brows == 0 and pose.cheeks == 0):
            return
        step, pad = tables.cell_px, tables.pad_px
        low = np.clip(np.array(tables.box[:2]) - pad - origin, 0, None)
        high = np.clip(np.array(tables.box[2:]) + pad - origin, low, [source.shape[1], source.shape[0]])
        columns, rows = (high - low) // step
        if columns < 1 or rows < 1:
            return
        left, top = (int(n) for n in low)
        size = int(columns * step), int(rows * step)
        part = source[top : top + size[1], left : left + size[0]]
        half = step // 2
        at = (part[half::step, half::step] - np.array(tables.box[:2], np.float32) - half) / np.float32(step)
        back = self._backward(np.array([pose.brows, pose.cheeks], np.float32))
        part += cv2.resize(remap(back, np.asarray(at, np.float32), cv2.INTER_LINEAR), size)

    def _backward(self, amounts: np.ndarray) -> Map:
        """What the frame's coarse cells look further, (rows, columns, 2) photo pixels."""
        tables = self._tables
        assert tables is not None
        forward = (amounts @ self._fields).reshape(tables.fields.shape[1:])
        back = forward
        for _ in range(_INVERSION_STEPS):
            back = remap(forward, np.asarray(self._cells - back / tables.cell_px, np.float32), cv2.INTER_LINEAR)
        return -back
