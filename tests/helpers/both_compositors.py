"""One frame of a face as the CPU's compositor and as the device's sees it: what their layers are compared on."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from fakes import drawn_face
from numpy.typing import NDArray
from poses import pose_at
from torch import Tensor

from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.mouth.interior import Seen
from s2v.engine.compositor.torch.drawing.head import carry, forward_field
from s2v.engine.compositor.torch.drawing.warp import lips, on_photo
from s2v.engine.compositor.torch.tables.face_tensors import face_tensors
from s2v.engine.compositor.torch.tables.frame_inputs import FrameInputs, PoseInputs
from s2v.engine.compositor.torch.tables.layout import Layout, size_of
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import Points, canonical_face
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")
# `TRACT_VARIABLES`: at rest, as for IY, AA, L, TH, F.
TRACTS = (
    (0.3, 0.5, 0.1, 0, 0), (1, 0.9, 0, 0, 0.1), (0, 0.1, 0, 0, 0), (0.3, 0.6, 1, 0, 0.3), (0.5, 0.8, 0.9, 0, 0.85),
    (0.2, 0.5, 0, 0.9, 0),
)  # fmt: skip


class FrameOfBoth(NamedTuple):
    """What a frame is drawn from on the CPU, and the same for the device."""

    outline: Points  # (20, 2) pixels of the window
    carry: Points  # (2, 3)
    depth_shift: Points  # (2,) pixels of the window
    weights: Tensor  # (1, m)
    points: Tensor  # (1, POINTS, 2) of `warp.lips`, where the head has carried them on the photo
    inputs: FrameInputs


class BothCompositors:
    """One face. Args: layout: that the device draws in; None is the face's own."""

    def __init__(self, face: EnrolledFace, moving: bool, layout: Layout | None = None) -> None:
        self.on_cpu = MotionCompositor(face, SPEC, moving)
        self.layout = layout or Layout.of(self.on_cpu.tables)
        self.tensors = face_tensors(self.on_cpu.tables, self.layout, torch.device("cpu"))
        self.whole = Seen(0, 0, *size_of(self.on_cpu.tables.interior.window))
        self._pose_inputs = PoseInputs(self.on_cpu, self.layout)

    def frame(self, motion: NDArray[np.float32], index: int = 0, depth_shift: Points | None = None) -> FrameOfBoth:
        """Args: motion: (n_motion,). index: of a pose, see `pose_at`. depth_shift: instead of the pose's own."""
        pose, weights = self.on_cpu.fitted(pose_at(index)), np.append(motion, np.float32(1))
        inputs = FrameInputs.of(torch.from_numpy(self._pose_inputs(pose_at(index)))[None])
        if depth_shift is None:
            depth_shift = self.on_cpu.depth_shift(pose)
        else:
            inputs = inputs._replace(depth_shift=torch.from_numpy(depth_shift.astype(np.float32))[None])
        given = torch.from_numpy(weights)[None]
        points = on_photo(self.tensors.warp, lips(self.tensors.warp, torch.cat([given, inputs.corners], 1)))
        if self.layout.moving:
            field = forward_field(self.tensors.head, inputs.head, self.layout)
            points = carry(self.tensors.head, field, points)
        outline = self.on_cpu._outline(weights, pose)
        return FrameOfBoth(outline, self.on_cpu._carry(pose), depth_shift, given, points, inputs)


def opened(jaw: float, seed: int = 0) -> NDArray[np.float32]:
    """Motion that opens the mouth by so much, and some of everything else. Args: jaw: 3 is wide."""
    motion = np.random.default_rng(seed).normal(0, 0.3, SPEC.n_motion).astype(np.float32)
    motion[0] = jaw
    return motion


def rolled_face(degrees: float, size_px: tuple[int, int] = (400, 400)) -> EnrolledFace:
    """`drawn_face` with its head on one side."""
    photo = drawn_face(SPEC, size_px).photo
    turn = np.vstack([cv2.getRotationMatrix2D((size_px[0] / 2, size_px[1] / 2), degrees, 1), [0, 0, 1]])
    mesh = canonical_face() * (0.4 * size_px[0]) + np.array([0.5 * size_px[0], 0.35 * size_px[1], 0.0])
    mesh[:, :2] = mesh[:, :2] @ turn[:2, :2].T + turn[:2, 2]
    return face_from_landmarks(photo, np.concatenate([mesh, np.repeat(mesh[[33, 263]], 5, axis=0)]), SPEC)
