"""Moves a photo's head a little, and its shoulders with the breath, without moving the background's edge.

The maps go from a pixel of the frame to the photo, so that a mouth or an eye can be looked up through them.
"""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head_tables import FINE, PIVOT_V, HeadTables
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import Box, Map, remap
from s2v.engine.face.photo import Image


class MovingHead:
    """The head of one face."""

    def __init__(self, tables: HeadTables) -> None:
        self.box: Box = tables.box
        self.reach_px = tables.reach_px
        self._tables = tables
        self._fields = tables.fields.reshape(len(tables.fields), -1)
        left, top = self.box[:2]
        self._to_fine = np.array([[FINE, 0, -FINE * left], [0, FINE, -FINE * top]], np.float64)

    def source_map(self, pose: FacePose) -> Map:
        """For each pixel of `box` in the frame, the photo pixel it shows: (height, width, 2) float32 x, y."""
        weights = np.array([*pose.shift, pose.roll, pose.breath], np.float32)
        at_rest, cell_px = self._tables.at_rest, self._tables.cell_px
        coarse = (weights @ self._fields).reshape(at_rest.shape) + at_rest
        rows, columns = coarse.shape[:2]
        dense = cv2.resize(coarse, (columns * cell_px, rows * cell_px))
        left, top, right, bottom = (n + cell_px for n in self.box)
        return np.asarray(dense[top:bottom, left:right], np.float32)

    def look_up(self, source: Map, frame: Image) -> None:
        """Draw the photo's pixels at `source`, a map of `box`, into a copy of the photo, wherever anything moves."""
        for left, top, right, bottom in self._tables.bands:
            part = source[top - self.box[1] : bottom - self.box[1], left - self.box[0] : right - self.box[0]]
            at = np.asarray(cv2.transform(part, self._to_fine), np.float32)
            seen = remap(self._tables.fine, at, cv2.INTER_LINEAR)
            cv2.cvtColor(seen, cv2.COLOR_BGRA2BGR, dst=frame[top:bottom, left:right])

    def forward(self, pose: FacePose) -> Points:
        """(2, 3) where the rigid face goes: from a pixel of the photo at rest to a pixel of the frame."""
        tables = self._tables
        x, y = (tables.scale * d for d in pose.shift)
        turn = tables.scale * pose.roll
        # Backward, in the plane: u -> u - shift - turn * J (u - pivot). Inverted here.
        backward = np.array([[1, turn, -x - turn * PIVOT_V], [-turn, 1, -y], [0, 0, 1]])
        whole: Points = tables.plane_to_photo @ np.linalg.inv(backward) @ tables.photo_to_plane
        return whole[:2]
