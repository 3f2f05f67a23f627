"""From what the network says to a frame: warp the photo, draw the inside of the mouth, or paste pixels.

Outside a box around the lower face a frame is the photo, bit for bit, unless its head is to move.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import ComputeDevice, Outputs
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.animated_photo import AnimatedPhoto
from s2v.engine.compositor.face_tables import MovingTables, face_layers, face_tables, lower_face_box, moving_tables
from s2v.engine.compositor.head.drawing import MovingHead
from s2v.engine.compositor.lips import LipLine
from s2v.engine.compositor.mouth.interior import FACING, MouthInterior
from s2v.engine.compositor.upper_face.expression import MovingExpression
from s2v.engine.compositor.upper_face.eyes import MovingEyes
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.articulation import USUAL, articulated
from s2v.engine.face.enrolment import EnrolledFace, face_grid
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import remap
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec


class Compositor(Protocol):
    """Draws frames of one face."""

    still: Image  # (h, w, 3) BGR: the photo at rest, what is shown before anybody speaks

    def draws_from(self, device: ComputeDevice) -> bool:
        """Whether outputs may stay on this device (`DeviceOutputsBackend.infer_resident`), for frames are drawn there.

        If not, `draw` wants them in host memory.
        """

    def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = USUAL) -> Image:
        """One frame, a new array, from one frame's network outputs (batch of 1).

        (h, w, 3) BGR, but for a compositor that was made for another `PixelFormat`.

        Args:
            pose: of head, eyes and brows, see `FaceBehaviour`; a compositor that was made still does without.
            articulation: how strongly the face speaks, see `articulated`; pixels of a network stay as they are.
        """


def make_compositor(face: EnrolledFace, spec: LipSyncSpec, moving: bool = False) -> Compositor:
    """The compositor that fits what the spec's network puts out.

    Args:
        moving: whether head, eyes and brows are to follow poses; else they stay as on the photo.
    """
    compositor = PixelCompositor if spec.network == "speech2vid" else MotionCompositor
    return compositor(face, spec, moving)


class MotionCompositor:
    """Network "s2v": motion coefficients warp the photo, the inside of the mouth is drawn into the opening."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, moving: bool = False) -> None:
        self.tables = tables = face_tables(face, spec, moving)
        self.warp = LayeredWarp(tables.warp)
        self.animated = animated_photo(tables.moving)
        self.interior = MouthInterior(tables.interior)
        self._lip_line = LipLine(tables.line_colour, tables.unit_px)
        left, top, right, bottom = tables.box
        self._box = np.s_[top:bottom, left:right]
        left, top, right, bottom = tables.interior.window
        self._window = np.s_[top:bottom, left:right]
        self._has_window = right > left and bottom > top
        self.still, weights = self._warped(np.zeros(spec.n_motion, np.float32), AT_REST)
        if self._has_window:
            self._lip_line.draw(self.still[self._window], self._outline(weights, AT_REST))

    def draws_from(self, device: ComputeDevice) -> bool:
        """See `Compositor.draws_from`: OpenCV draws in host memory."""
        return False

    def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = USUAL) -> Image:
        """See `Compositor.draw`; needs `motion` (1, K) and `tract` (1, 5)."""
        motion = articulated(np.asarray(outputs["motion"], np.float32)[0], articulation, self.tables.articulation)
        pose = self.fitted(pose)
        frame, weights = self._warped(motion, pose)
        if self._has_window:
            mouth, carry = frame[self._window], self._carry(pose)
            outline = self._outline(weights, pose)
            tract = np.asarray(outputs["tract"], np.float32)[0]
            self.interior.draw(mouth, outline, carry, motion, tract, self.depth_shift(pose))
            self._lip_line.draw(mouth, outline)
        return frame

    def _warped(self, motion: NDArray[np.float32], pose: FacePose) -> tuple[Image, NDArray[np.float32]]:
        weights = np.append(motion, np.float32(1))
        if self.animated:
            bend = partial(self.warp.source_map, weights, corners=pose.corners)
            return self.animated.draw(pose, self.tables.box, bend), weights
        source = self.warp.source_map(weights)
        frame = self.tables.photo.copy()
        frame[self._box] = remap(self.tables.photo, source)
        return frame, weights

    def _carry(self, pose: FacePose) -> Points:
        """(2, 3) from the window's pixels at rest to where the head has carried them."""
        if self.animated is None:
            return np.eye(2, 3)
        left, top, *_ = self.tables.interior.window
        return carried(self.animated.forward(pose), left, top)

    def fitted(self, pose: FacePose) -> FacePose:
        """The pose as this face shows it."""
        return self.tables.moving.room.fitted(pose) if self.tables.moving else AT_REST

    def depth_shift(self, pose: FacePose) -> Points:
        """(2,) of `MouthInterior.draw`."""
        return FACING if self.animated is None else self.animated.head.depth_shift(pose)

    def _outline(self, weights: NDArray[np.float32], pose: FacePose) -> Points:
        """The inner edge of the lips in pixels of the window, (20, 2)."""
        outline = self.warp.mouth_outline(weights, pose.corners) + self.tables.box[:2]
        if self.animated:
            outline = self.animated.carry(pose, outline)
        inside: Points = outline - self.tables.interior.window[:2]
        return inside


class PixelCompositor:
    """Network "speech2vid": paste its face crop's lower half back, softly."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, moving: bool = False) -> None:
        cut = face_layers(face, face.photo, moving)
        self._photo = cut.at_rest
        self._lower_face = lower_face_box(face)
        self._moving = moving_tables(face, cut) if moving else None
        # What is pasted is cut off nowhere, wherever a head carries it.
        reach_px, (height, width) = self._moving.head.reach_px if self._moving else 0, face.photo.shape[:2]
        left, top = (max(0, n - reach_px) for n in self._lower_face[:2])
        right, bottom = (min(n + reach_px, end) for n, end in zip(self._lower_face[2:], (width, height), strict=True))
        self._corner, self._box = (left, top), np.s_[top:bottom, left:right]
        self.animated = animated_photo(self._moving)
        self.still = self.animated.draw(AT_REST, self._lower_face) if self.animated else self._photo.copy()
        self._size = (right - left, bottom - top)
        self._grid = face_grid(face.plane, spec) - np.array([[0, 0, left], [0, 0, top]])
        edge = np.zeros((spec.face_px, spec.face_px), np.float32)
        middle, side = round(spec.face_px * 0.46), round(spec.face_px * 0.22)
        edge[middle : round(spec.face_px * 0.93), side:-side] = 1
        self._soft = cv2.GaussianBlur(edge, (0, 0), spec.face_px * 0.035)
        self._alpha = cv2.warpAffine(self._soft, self._grid, self._size)[..., None]

    def draws_from(self, device: ComputeDevice) -> bool:
        """See `Compositor.draws_from`: OpenCV draws in host memory."""
        return False

    def draw(self, outputs: Outputs, pose: FacePose = AT_REST, articulation: float = USUAL) -> Image:
        """See `Compositor.draw`; needs `pixels` (1, 3, face_px, face_px)."""
        crop = np.ascontiguousarray(np.asarray(outputs["pixels"], np.float32)[0].transpose(1, 2, 0))
        grid, alpha = self._grid, self._alpha
        if self._moving and self.animated:
            pose = self._moving.room.fitted(pose)
            grid = carried(self.animated.forward(pose), *self._corner) @ np.vstack([grid, [0, 0, 1]])
            alpha = cv2.warpAffine(self._soft, grid, self._size)[..., None]
            frame = self.animated.draw(pose, self._lower_face)
        else:
            frame = self._photo.copy()
        paint = cv2.warpAffine(crop, grid, self._size, flags=cv2.INTER_CUBIC)
        box = frame[self._box]
        box[:] = np.clip(box + alpha * (255 * paint - box) + 0.5, 0, 255).astype(np.uint8)
        return frame


def animated_photo(moving: MovingTables | None) -> AnimatedPhoto | None:
    """A face whose head and eyes move; None without tables for it."""
    if moving is None:
        return None
    return AnimatedPhoto(MovingHead(moving.head), MovingEyes(moving.eyes), MovingExpression(moving.expression))


def carried(forward: Points, left: int, top: int) -> Points:
    """A (2, 3) map of photo pixels as one of pixels of a box that begins at (left, top)."""
    shift = forward[:, :2] @ [left, top] - [left, top]
    moved: Points = np.c_[forward[:, :2], forward[:, 2] + shift]
    return moved
