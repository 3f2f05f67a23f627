"""From what the network says to a frame: warp the photo, paint the mouth, paste.

Outside a box around the lower face a frame is the photo, bit for bit, unless idle motion is asked for.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Tensors
from s2v.engine.compositor.animated_photo import AT_REST, AnimatedPhoto
from s2v.engine.compositor.eyes import MovingEyes
from s2v.engine.compositor.head import MovingHead
from s2v.engine.compositor.idle_motion import IdleMotion, IdlePose
from s2v.engine.compositor.lips import OPENING_MARGIN, LipLine, light_between, opening_mask, paint_cover
from s2v.engine.compositor.photo_blur import blur_px, paint_blur
from s2v.engine.compositor.teeth import OwnTeeth
from s2v.engine.compositor.warp import LayeredWarp, remap
from s2v.engine.face.enrolment import EnrolledFace, face_grid
from s2v.engine.face.geometry import FACE_OVAL, LOWER_INNER_LIP, MOUTH_CORNERS, N_MESH, UPPER_INNER_LIP, Points
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

_LEAST_BLUR = 0.3  # of the mouth patch, in its pixels; less cannot be seen
_COARSE_CELLS = 56  # across the face: flows are smooth, more cells change nothing one can see


class Compositor(Protocol):
    """Draws frames of one face."""

    still: Image  # (h, w, 3) BGR: the photo at rest, what is shown before anybody speaks

    def draw(self, outputs: Tensors, index: int = 0) -> Image:
        """One frame, a new array, from one frame's network outputs (batch of 1).

        (h, w, 3) BGR, but for a compositor that was made for another `PixelFormat`.

        Args:
            index: which frame of the video it is: idle motion depends on it and on nothing else.
        """


def make_compositor(face: EnrolledFace, spec: LipSyncSpec, idle_seed: int | None = None) -> Compositor:
    """The compositor that fits what the spec's network puts out.

    Args:
        idle_seed: blinks, gaze, head and breath follow this seed (see `IdleMotion`); None holds them still.
    """
    compositor = PixelCompositor if spec.network == "speech2vid" else MotionCompositor
    return compositor(face, spec, idle_seed)


class MotionCompositor:
    """Network "s2v": motion coefficients warp the photo, a mouth patch fills the opening."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, idle_seed: int | None = None) -> None:
        self._photo = face.photo
        self._corners = left, top, right, bottom = lower_face_box(face)
        self._box = np.s_[top:bottom, left:right]
        self._alive = animated_photo(face, spec, idle_seed)
        size = (right - left, bottom - top)
        to_photo = np.array([[1.0, 0, left], [0, 1.0, top]])
        self._warp = face_warp(face, spec, to_photo, size, step=max(size) / _COARSE_CELLS)
        patch_to_photo = mouth_grid(face, spec)
        self._patch_to_box = patch_to_photo - np.array([[0, 0, left], [0, 0, top]])
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * [spec.mouth_w_px - 1, spec.mouth_h_px - 1]
        mouth = corners @ self._patch_to_box[:, :2].T + self._patch_to_box[:, 2]
        reach = self._alive.reach_px if self._alive else 0
        low = np.clip(np.floor(mouth.min(0)).astype(int) - reach, 0, size)
        high = np.clip(np.ceil(mouth.max(0)).astype(int) + 1 + reach, 0, size)
        self._mouth = np.s_[low[1] : high[1], low[0] : high[0]]
        self._mouth_size = (int(high[0] - low[0]), int(high[1] - low[1]))
        self._patch_to_mouth = self._patch_to_box - np.array([[0, 0, low[0]], [0, 0, low[1]]])
        self._own_teeth = OwnTeeth(face, left + int(low[0]), top + int(low[1]), self._mouth_size)
        self._unit_px = face.pose.unit_px
        patch_px = float(np.sqrt(abs(np.linalg.det(patch_to_photo[:, :2]))))
        self._blur = paint_blur(blur_px(face), patch_px)
        self._lip_line = LipLine(face)
        self.still, weights = self._warped(np.zeros(spec.n_motion, np.float32), AT_REST)
        if all(self._mouth_size):
            self._lip_line.draw(self.still[self._box][self._mouth], self._outline(weights, self._carry(AT_REST)))

    def draw(self, outputs: Tensors, index: int = 0) -> Image:
        """See `Compositor.draw`; needs `motion` (1, K) and `mouth` (1, 4, h, w)."""
        pose = self._alive.pose(index) if self._alive else AT_REST
        frame, weights = self._warped(outputs["motion"][0], pose)
        width, height = self._mouth_size
        if width and height:
            mouth = frame[self._box][self._mouth]
            carry = self._carry(pose)
            outline = self._outline(weights, carry)
            self._paint(mouth, outputs["mouth"][0], outline, carry)
            self._lip_line.draw(mouth, outline)
        return frame

    def _paint(self, mouth: Image, painted: NDArray[np.float32], outline: Points, carry: Points) -> None:
        """Lay the network's mouth (4, h, w) between the lips of a picture of the mouth, in place."""
        gate = opening_mask(outline, self._mouth_size, self._unit_px * OPENING_MARGIN)
        left, top, width, height = cv2.boundingRect((gate > 0).astype(np.uint8))
        if not width:  # closed lips
            return
        if self._own_teeth.any:  # they are matched to all of the paint
            left, top, (width, height) = 0, 0, self._mouth_size
        gate = gate[top : top + height, left : left + width]
        patch = np.asarray(cv2.merge(list(painted)), np.float32)
        if self._blur > _LEAST_BLUR:
            patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), self._blur), np.float32)
        grid = carry @ np.vstack([self._patch_to_mouth, [0, 0, 1]]) - np.array([[0, 0, left], [0, 0, top]])
        paint = cv2.warpAffine(patch, grid, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
        *colours, alpha = cv2.split(paint)
        cover = cv2.merge([paint_cover(np.clip(alpha, 0, 1), gate)] * 3)  # faster than broadcasting
        shown = self._own_teeth.over(np.float32(255) * cv2.merge(colours), carry)
        shown = shown * cv2.merge([light_between(gate, self._unit_px)] * 3)
        part = mouth[top : top + height, left : left + width]
        part[:] = np.clip(part + cover * (shown - part) + 0.5, 0, 255).astype(np.uint8)

    def _warped(self, motion: NDArray[np.float32], pose: IdlePose) -> tuple[Image, NDArray[np.float32]]:
        weights = np.append(motion, np.float32(1))
        if self._alive:
            bend = partial(self._warp.source_map, weights)
            return self._alive.draw(pose, self._corners, bend), weights
        source = self._warp.source_map(weights)
        frame = self._photo.copy()
        frame[self._box] = remap(self._photo, source)
        return frame, weights

    def _carry(self, pose: IdlePose) -> Points:
        """(2, 3) from the mouth's pixels at rest to where the head has carried them."""
        if self._alive is None:
            return np.eye(2, 3)
        left, top = self._corners[0] + self._mouth[1].start, self._corners[1] + self._mouth[0].start
        return carried(self._alive.forward(pose), left, top)

    def _outline(self, weights: NDArray[np.float32], carry: Points) -> Points:
        """The inner edge of the lips in pixels of the mouth, (20, 2)."""
        offset = np.array([self._mouth[1].start, self._mouth[0].start])
        outline: Points = (self._warp.mouth_outline(weights) - offset) @ carry[:, :2].T + carry[:, 2]
        return outline


class PixelCompositor:
    """Network "speech2vid": paste its face crop's lower half back, softly."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, idle_seed: int | None = None) -> None:
        self._photo = face.photo
        self._corners = left, top, right, bottom = lower_face_box(face)
        self._box = np.s_[top:bottom, left:right]
        self._alive = animated_photo(face, spec, idle_seed)
        self.still = self._alive.draw(AT_REST, self._corners) if self._alive else face.photo.copy()
        self._size = (right - left, bottom - top)
        self._grid = face_grid(face.plane, spec) - np.array([[0, 0, left], [0, 0, top]])
        edge = np.zeros((spec.face_px, spec.face_px), np.float32)
        middle, side = round(spec.face_px * 0.46), round(spec.face_px * 0.22)
        edge[middle : round(spec.face_px * 0.93), side:-side] = 1
        self._soft = cv2.GaussianBlur(edge, (0, 0), spec.face_px * 0.035)
        self._alpha = cv2.warpAffine(self._soft, self._grid, self._size)[..., None]

    def draw(self, outputs: Tensors, index: int = 0) -> Image:
        """See `Compositor.draw`; needs `pixels` (1, 3, face_px, face_px)."""
        crop = np.ascontiguousarray(outputs["pixels"][0].transpose(1, 2, 0))
        grid, alpha = self._grid, self._alpha
        if self._alive:
            pose = self._alive.pose(index)
            grid = carried(self._alive.forward(pose), *self._corners[:2]) @ np.vstack([grid, [0, 0, 1]])
            alpha = cv2.warpAffine(self._soft, grid, self._size)[..., None]
            frame = self._alive.draw(pose, self._corners)
        else:
            frame = self._photo.copy()
        paint = cv2.warpAffine(crop, grid, self._size, flags=cv2.INTER_CUBIC)
        box = frame[self._box]
        box[:] = np.clip(box + alpha * (255 * paint - box) + 0.5, 0, 255).astype(np.uint8)
        return frame


def animated_photo(face: EnrolledFace, spec: LipSyncSpec, seed: int | None) -> AnimatedPhoto | None:
    """A face's idle motion after a seed; None, which moves nothing, for None."""
    if seed is None:
        return None
    head = MovingHead(face.photo, face.landmarks, face.plane, keep=lower_face_box(face))
    eyes = MovingEyes(face.photo, face.landmarks, pad_px=head.reach_px)
    return AnimatedPhoto(face.photo, head, eyes, IdleMotion(seed, spec.fps))


def carried(forward: Points, left: int, top: int) -> Points:
    """A (2, 3) map of photo pixels as one of pixels of a box that begins at (left, top)."""
    shift = forward[:, :2] @ [left, top] - [left, top]
    moved: Points = np.c_[forward[:, :2], forward[:, 2] + shift]
    return moved


def lower_face_box(face: EnrolledFace) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in photo pixels of all that may move."""
    at = face.plane.to_plane(face.landmarks[:N_MESH, :2])
    oval = at[list(FACE_OVAL)]
    middle, half = (oval.min(0) + oval.max(0)) / 2, (oval.max(0) - oval.min(0)) / 2
    low, high = middle - 1.3 * half, middle + 1.3 * half
    low[1] = 0.22
    corners = face.plane.to_photo(np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])]))
    height, width = face.photo.shape[:2]
    left, top = np.clip(np.floor(corners.min(0)), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), [left + 2, top + 2], [width, height]).astype(int)
    return int(left), int(top), int(right), int(bottom)


def face_warp(face: EnrolledFace, spec: LipSyncSpec, grid: Points, size: tuple[int, int], step: float) -> LayeredWarp:
    """The warp of a face in a model's motion basis: n_motion coefficients, then the photo's own rest."""
    everywhere = np.arange(N_MESH)
    moves = MotionBasis.load(spec.motion_basis).displacement(everywhere)[: spec.n_motion]
    displacement = np.concatenate([moves, face.rest[None]])
    return LayeredWarp(face.canonical, face.pose, face.plane, displacement, grid, size, step)


def mouth_grid(face: EnrolledFace, spec: LipSyncSpec) -> Points:
    """(2, 3) map from a pixel of the mouth patch to a pixel of the photo.

    The patch is as wide as the spec says in face units, whatever the mouth: teeth do not grow with a smile.
    """
    at_rest = face.plane.to_plane(face.pose.to_photo(face.canonical + face.rest)[:, :2])
    pixel = spec.mouth_width / spec.mouth_w_px
    left = at_rest[list(MOUTH_CORNERS), 0].mean() - spec.mouth_w_px * pixel / 2
    middle_of_lips = at_rest[[UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]], 1].mean()
    top = middle_of_lips - spec.mouth_above_lips * spec.mouth_h_px * pixel
    patch_to_plane = np.array([[pixel, 0, left + pixel / 2], [0, pixel, top + pixel / 2], [0, 0, 1]])
    grid: Points = face.plane.matrix @ patch_to_plane
    return grid
