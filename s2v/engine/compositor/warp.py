"""Moves the lower face of a photo: motion coefficients -> a smooth backward map.

The upper lip with what is above it and the lower lip with what is below it are two layers, each
with a smooth flow that runs on across the mouth; they are cut along the middle of the opening. So
lips open without stretching skin across the gap, and an open mouth on a photo can close.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.warp_tables import WarpTables
from s2v.engine.face.geometry import UPPER_INNER_LIP, Points
from s2v.engine.face.maps import Map, backward, remap

SEAM_SOFTNESS = 0.012  # face units over which the layers mix between the lips: over a pixel, else the line is a stair
SEAM_SPREAD = 0.8  # how fast the seam widens beyond the corners of the mouth
# How far each step of the inversion goes: whole ones alone swing without end where the lower lip is stretched at the
# corners of a wide open mouth, half ones alone are slow where skin is pushed together.
INVERSION_STEPS = (1.0, 0.5) * 3


class LayeredWarp:
    """Backward maps for one face on one regular grid of output pixels."""

    def __init__(self, tables: WarpTables) -> None:
        self.size = tables.size
        self._tables = tables
        m, _, rows, columns, _ = tables.flows.shape
        # Flattened, so that a frame is one product, and both lips are one.
        self._flows, self._lip_moves = tables.flows.reshape(m, -1), tables.lip_moves.reshape(m, -1)
        self._cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)

    def lips(self, weights: NDArray[np.float32], corners: float = 0.0) -> tuple[Points, Points]:
        """Where the inner lips go: upper and lower, each (11, 2) in the face plane, left to right.

        Args:
            weights: (m,) how far to go along each displacement. corners: of the mouth, as `FacePose` has them.
        """
        both = self._tables.lips + (weights @ self._lip_moves).reshape(self._tables.lips.shape)
        if corners != 0:
            both += corners * self._tables.lip_corners
        return both[: len(UPPER_INNER_LIP)], both[len(UPPER_INNER_LIP) :]

    def mouth_outline(self, weights: NDArray[np.float32], corners: float = 0.0) -> Points:
        """The opening between the lips as a polygon in output pixels, (20, 2). Args: of `lips`."""
        upper, lower = self.lips(weights, corners)
        uv = np.concatenate([upper, lower[-2:0:-1]])
        outline: Points = uv @ self._tables.plane_to_output[:2, :2].T + self._tables.plane_to_output[:2, 2]
        return outline

    def source_map(self, weights: NDArray[np.float32], moved: Map | None = None, corners: float = 0.0) -> Map:
        """For each output pixel, the photo pixel it shows: (height, width, 2) float32 x, y.

        Args:
            weights, corners: of `lips`.
            moved: (h, w, 2) photo pixels: where each pixel of a part of a frame looks, of any size near the output's
                own, a smooth map. The result is this map looked up there, of that size.
        """
        flows = (weights.astype(np.float32) @ self._flows).reshape(self._tables.flows.shape[1:])
        if corners != 0:
            flows += np.float32(corners) * self._tables.corner_flows
        layers = [-backward(flow, self._cells, INVERSION_STEPS) for flow in flows]
        if moved is not None:
            coarse = cv2.resize(moved, self._cells.shape[1::-1])
            at = np.asarray(cv2.transform(coarse, self._tables.photo_to_cells), np.float32)
            layers = [remap(layer, at, cv2.INTER_LINEAR) for layer in layers]
        size = self.size if moved is None else moved.shape[1::-1]
        dense = (cv2.resize(layer @ self._tables.cell_to_photo.T, size) for layer in layers)
        upper, lower = (np.asarray(layer, np.float32) for layer in dense)
        lower -= upper
        lowerness = self._lowerness(self.lips(weights, corners), moved)
        lower *= cv2.merge([lowerness, lowerness])  # five times as fast as broadcasting over the last axis
        upper += lower
        upper += self._tables.output_to_photo if moved is None else moved
        return np.asarray(upper, np.float32)

    def _lowerness(self, lips: tuple[Points, Points], moved: Map | None) -> Map:
        """0 above the seam between the lips, 1 below it, (height, width)."""
        upper, lower = lips
        u = self._tables.seam_u
        seam = (np.interp(u, upper[:, 0], upper[:, 1]) + np.interp(u, lower[:, 0], lower[:, 1])) / 2
        beyond = np.maximum(np.maximum(upper[0, 0] - u, u - upper[-1, 0]), 0.0)
        steepness = 1.0 / (SEAM_SOFTNESS + SEAM_SPREAD * beyond)
        entry, v = self._tables.seam_entry, self._tables.v
        if moved is not None:
            place = np.asarray(cv2.transform(moved, self._tables.photo_to_seam), np.float32)
            entry, v = place[..., 0].astype(np.intp), place[..., 1]
        lowerness = v * np.take(steepness.astype(np.float32), entry, mode="clip")
        lowerness += np.take((0.5 - seam * steepness).astype(np.float32), entry, mode="clip")
        return np.asarray(np.clip(lowerness, 0.0, 1.0, out=lowerness), np.float32)
