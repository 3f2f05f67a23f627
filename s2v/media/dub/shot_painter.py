"""Draws a new mouth into the pictures of one shot.

Two layers show the same lower face in the same shape. Skin, chin and cheeks are the picture's own pixels, moved from
what its mouth does to what the new one does. The lips and what is between them come from the shot's reference picture,
drawn by the engine, carried to where the head is, and lit as the skin around them is lit in this very picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Outputs
from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.face.articulation import articulated
from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import OUTER_LIPS, Points
from s2v.engine.face.maps import Box, Map, remap, smoothstep
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image
from s2v.media.dub.light import Light
from s2v.media.dub.placement import CHIN, DepthMap, FaceModel, Placement, to_film, to_reference
from s2v.spec import LipSyncSpec

_COARSE = 0.035  # face units from one cell of the picture's own map to the next
_NECK, _NECK_FADE = 0.04, 0.22  # face units below the chin over which the neck stays behind
_JAW_WIDE = 0.5  # face units to each side of the chin
_LIP_LINE = 0.04  # face units about the line of the lips over which the two layers of the warp mix


@dataclass(frozen=True)
class MouthState:
    """Where the face is on one of the film's pictures, and what its mouth does there."""

    held: Points  # (4, 2) film pixels, of `FaceModel.fit`
    coefficients: Points  # (n_motion,) of the motion basis, 0 as on the reference
    chin: Points  # (2,) how far the chin has moved, in reference pixels; jaws differ more than a basis for all knows


class ShotPainter:
    """One face in one shot. `draw` may be called by several threads."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec) -> None:
        """Args: face: of `reference_face`. spec: of a model with network "s2v"."""
        self.face = face
        self.model = FaceModel(face, spec)
        self._compositor = MotionCompositor(face, spec)
        self._depth = DepthMap(self.model.mesh, face.photo.shape[1::-1])
        moves = np.concatenate([drawn_moves(MotionBasis.load(spec.motion_basis), spec.n_motion), face.rest[None]])
        self._lip_moves = face.pose.turn(moves[:, list(OUTER_LIPS)])
        tables = self._compositor.tables.warp
        self._flows = tables.flows[:-1].reshape(spec.n_motion, -1)
        self._flow_shape = tables.flows.shape[1:]
        self._tables = tables
        lips = self._compositor.warp.lips(np.zeros(spec.n_motion + 1, np.float32))
        # How far each coefficient takes the chin, (n_motion, 2) reference pixels.
        self.chin_moves, self._chin = self._jaw()
        outer = face.plane.to_plane(self.model.mesh[list(OUTER_LIPS), :2])
        self._lips_end = float(outer[:, 1].max()) + _LIP_LINE
        self._lip_line = np.stack([lips[0][:, 0], (lips[0][:, 1] + lips[1][:, 1]) / 2], 1)

    def _jaw(self) -> tuple[Points, Points]:
        """`chin_moves`, and the points of the chin in the face plane."""
        chin = self.model.mesh[list(CHIN), :2]
        cells = np.asarray(cv2.transform(chin[None].astype(np.float32), self._tables.photo_to_cells), np.float32)
        flows = self._flows.reshape(-1, *self._flow_shape)[:, 1]
        moves = np.stack([remap(flow, cells, cv2.INTER_LINEAR)[0].mean(0) for flow in np.ascontiguousarray(flows)])
        return moves @ self._tables.cell_to_photo.T, self.face.plane.to_plane(chin)

    def _jaw_share(self, place: Map) -> NDArray[np.float32]:
        """How far each place of the face plane goes with the chin, (h, w): from below the lips on, and not the neck."""
        u, v = place[..., 0] - np.float32(self._chin[:, 0].mean()), place[..., 1]
        from_v, to_v, end_v = self._lips_end, float(self._chin[:, 1].min()), float(self._chin[:, 1].max())
        share = smoothstep((v - from_v) / max(to_v - from_v, 0.05)) * (1 - smoothstep((v - end_v - _NECK) / _NECK_FADE))
        return np.asarray(share * np.exp(-((u / _JAW_WIDE) ** 2)), np.float32)

    def fit(self, landmarks: Points) -> MouthState:
        """The state of a picture from its landmarks, (>=468, >=2)."""
        return MouthState(*self.model.fit(landmarks))

    def outline(self, state: MouthState, outputs: Outputs, articulation: float) -> Points:
        """The outer edge of the new lips in film pixels, (20, 2)."""
        weights = self._weights(outputs, articulation)
        return self._outer_lips(self.model.placement(state.held), weights)

    def draw(
        self, picture: Image, state: MouthState, outputs: Outputs, articulation: float, share: float = 1.0
    ) -> Image:
        """A picture of the film with the new mouth, (h, w, 3) BGR, a new array.

        Args:
            outputs: of the network, a batch of one. articulation: how strongly the face speaks.
            share: 0 the picture's own mouth, 1 the new one.
        """
        drawn = picture.copy()
        placement = self.model.placement(state.held)
        left, top, right, bottom = self._region(placement, picture.shape[1::-1])
        if share <= 0 or right - left < 4 or bottom - top < 4:
            return drawn
        speaking = self._compositor.draw(outputs, articulation=articulation)
        weights = self._weights(outputs, articulation)
        size = (right - left, bottom - top)
        coarse = _grid((left, top), size, _COARSE * self.model.unit_px * placement.scale)
        on_reference = to_reference(placement, self._depth, coarse)
        shift = self._own_shift(placement, on_reference, weights, state)
        own = remap(picture, _spread(shift, size) + _pixels((left, top), size))
        mouth = remap(speaking, _spread(on_reference, size))
        lips = self._outer_lips(placement, weights) - [left, top]
        light = Light(lips, size, self.model.unit_px * placement.scale)
        mixed = light.lay_over(own, mouth)
        part = drawn[top:bottom, left:right]
        part[:] = mixed if share >= 1 else cv2.addWeighted(mixed, share, part, 1 - share, 0)
        return drawn

    def _weights(self, outputs: Outputs, articulation: float) -> NDArray[np.float32]:
        """(n_motion + 1,) of the engine's warp: the motion, and all of the reference's own rest."""
        motion = np.asarray(outputs["motion"], np.float32)[0]
        motion = articulated(motion, articulation, self._compositor.tables.articulation)
        return np.append(motion, np.float32(1))

    def _outer_lips(self, placement: Placement, weights: NDArray[np.float32]) -> Points:
        return placement.to_film(self.model.mesh[list(OUTER_LIPS)] + np.tensordot(weights, self._lip_moves, 1))

    def _region(self, placement: Placement, size: tuple[int, int]) -> Box:
        """What of the film's picture may change: the lower face."""
        left, top, right, bottom = self._compositor.tables.box
        corners = np.array([[x, y, self._depth.middle] for x in (left, right) for y in (top, bottom)])
        there = placement.to_film(corners)
        low = np.maximum(np.floor(there.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(there.max(0)) + 1, size).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _own_shift(
        self, placement: Placement, on_reference: Map, weights: NDArray[np.float32], state: MouthState
    ) -> Map:
        """How far away the picture's own skin is for each cell: (h, w, 2) film pixels."""
        rest = self._compositor.warp.source_map(weights, on_reference)
        own = state.coefficients
        flows = (own.astype(np.float32) @ self._flows).reshape(self._flow_shape)
        cells = np.asarray(cv2.transform(rest, self._tables.photo_to_cells), np.float32)
        upper, lower = (remap(flow, cells, cv2.INTER_LINEAR) @ self._tables.cell_to_photo.T for flow in flows)
        place = np.asarray(cv2.transform(rest, self._compositor.tables.photo_to_plane), np.float32)
        line = np.interp(place[..., 0], self._lip_line[:, 0], self._lip_line[:, 1]).astype(np.float32)
        share = smoothstep((place[..., 1] - line) / _LIP_LINE + np.float32(0.5))[..., None]
        before = rest + upper + share * (lower - upper)
        missing = (state.chin - own @ self.chin_moves).astype(np.float32)  # of the jaw's own way
        before += self._jaw_share(place)[..., None] * missing
        there = to_film(placement, self._depth, before)
        shift: Map = there - to_film(placement, self._depth, on_reference)
        return shift


def _grid(corner: tuple[int, int], size: tuple[int, int], step_px: float) -> Map:
    """Film pixels (rows, columns, 2) under the cells of a coarse grid over a window, as cv2.resize lays them."""
    axes = []
    for start, length in zip(corner, size, strict=True):
        n = max(4, round(length / max(step_px, 1.0)))
        axes.append(start + (np.arange(n) + 0.5) * length / n - 0.5)
    return np.stack(np.meshgrid(*axes), -1).astype(np.float32)


def _spread(grid: Map, size: tuple[int, int]) -> Map:
    return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _pixels(corner: tuple[int, int], size: tuple[int, int]) -> Map:
    x, y = np.arange(size[0], dtype=np.float32) + corner[0], np.arange(size[1], dtype=np.float32) + corner[1]
    return np.stack(np.meshgrid(x, y), -1)
