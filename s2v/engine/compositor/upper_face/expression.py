"""Brows and cheeks in a frame's map."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.expression_tables import UNSEEN_PX, ExpressionTables, SkinField
from s2v.engine.face.maps import Map, backward, remap

INVERSION_STEPS = 3  # whole ones: the fields are gentle
_STILL_PX = 1e-3  # a cell that moves less is left out where it saves work


class MovingExpression:
    """Brows and cheeks of a photo.

    What a device needs of a frame is each field times its amount, inverted on its own grid by fixed-point steps, looked
    up at the middle of every `cell_px` pixels of the map, enlarged and added.
    """

    def __init__(self, tables: ExpressionTables) -> None:
        self._brows = None if tables.brows is None else _MovingSkin(tables.brows)
        self._cheeks = None if tables.cheeks is None else _MovingSkin(tables.cheeks)

    def move(self, source: Map, origin: tuple[int, int], pose: FacePose) -> None:
        """Raise brows and cheeks in a map, in place. To be done before the eyes': lids lie on the skin.

        Args:
            source: (h, w, 2) photo pixel of each pixel of a part of the frame; origin: where that part begins.
        """
        for skin, amount in ((self._brows, pose.brows), (self._cheeks, pose.cheeks)):
            if skin is not None and abs(amount) > skin.least:
                skin.move(source, origin, amount)


class _MovingSkin:
    """One field."""

    def __init__(self, field: SkinField) -> None:
        rows, columns = field.forward.shape[:2]
        self._field = field
        self.least = UNSEEN_PX / float(np.abs(field.forward).max())  # an amount that moves something visibly
        self._cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
        step, (left, top) = field.cell_px, field.box[:2]
        self._to_cells = np.array([[1 / step, 0, -left / step - 0.5], [0, 1 / step, -top / step - 0.5]])
        self._to_cells[:, 2] += 0.5 / step  # the middle of a cell of n pixels is its pixel (n - 1) / 2

    def move(self, source: Map, origin: tuple[int, int], amount: float) -> None:
        """Of `MovingExpression.move`."""
        step, pad = self._field.cell_px, self._field.pad_px
        left, top, right, bottom = (
            min(max(edge + more - start, 0), end)
            for edge, more, start, end in zip(
                self._field.box,
                (-pad, -pad, pad, pad),
                (*origin, *origin),
                (source.shape[1], source.shape[0]) * 2,
                strict=True,
            )
        )
        columns, rows = (right - left) // step, (bottom - top) // step
        if columns < 1 or rows < 1:
            return
        part = source[top : top + rows * step, left : left + columns * step]
        middle = np.ascontiguousarray(part[step // 2 :: step, step // 2 :: step])
        at = np.asarray(cv2.transform(middle, self._to_cells), np.float32)
        there = remap(self._backward(amount), at, cv2.INTER_LINEAR)
        # Most of what is near enough to be moved looks beside the field. A cell more: enlarging mixes two.
        seen = cv2.inRange(there, (-_STILL_PX,) * 2, (_STILL_PX,) * 2)
        x, y, width, height = cv2.boundingRect(255 - seen)
        end_x, end_y = min(x + width + 1, columns), min(y + height + 1, rows)
        x, y = max(x - 1, 0), max(y - 1, 0)
        dense = cv2.resize(there[y:end_y, x:end_x], ((end_x - x) * step, (end_y - y) * step))
        moved = part[y * step : end_y * step, x * step : end_x * step]
        cv2.add(moved, dense, dst=moved)

    def _backward(self, amount: float) -> Map:
        """Where the frame's coarse cells look, (rows, columns, 2) photo pixels from their own place."""
        forward = self._field.forward * np.float32(amount / self._field.cell_px)
        back = backward(forward, self._cells, (1.0,) * INVERSION_STEPS)
        return back * np.float32(-self._field.cell_px)
