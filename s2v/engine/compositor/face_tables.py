"""What drawing one face needs and no frame changes: plain arrays, computed once per face and only read afterwards.

The CPU's compositor draws from them with OpenCV; the GPU's uploads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.eye_tables import EyeTables, eye_tables
from s2v.engine.compositor.head_tables import HeadTables, head_tables
from s2v.engine.compositor.lips import lip_line_colour
from s2v.engine.compositor.maps import Box
from s2v.engine.compositor.teeth import own_teeth
from s2v.engine.compositor.warp_tables import WarpTables, warp_tables
from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL, LOWER_INNER_LIP, MOUTH_CORNERS, N_MESH, UPPER_INNER_LIP, Points
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image
from s2v.engine.face.photo_blur import blur_px, paint_blur
from s2v.spec import LipSyncSpec

COARSE_CELLS = 80  # across the face: with 56, the corners of the mouth were 0.1 of their way short


@dataclass(frozen=True)
class IdleTables:
    """Of a face that moves while it says nothing."""

    head: HeadTables
    eyes: tuple[EyeTables, ...]  # those that can move: two, one or none


@dataclass(frozen=True)
class MouthTables:
    """Where and how the network's mouth is painted."""

    window: Box  # where paint may be, wherever the head goes; may be empty
    patch_size: tuple[int, int]  # width, height of the network's mouth
    patch_to_window: Points  # (2, 3) from its pixels to those of the window, with the head at rest
    blur_px: float  # of its pixels: as soft is the photo; 0 where that cannot be seen
    teeth: NDArray[np.float32] | None  # of `teeth.own_teeth`, over the window; None: the photo shows none
    line_colour: NDArray[np.float32] | None  # of `lips.lip_line_colour`; None: the photo's lips touch, no line is drawn


@dataclass(frozen=True)
class FaceTables:
    """One face of network "s2v"."""

    photo: Image  # (h, w, 3) BGR
    box: Box  # of the lower face: all that may change while the head is still
    unit_px: float  # pixels of a face unit
    photo_to_plane: Points  # (2, 3) from photo pixels to the face plane
    warp: WarpTables  # its output is `box`
    mouth: MouthTables
    idle: IdleTables | None  # None: nothing but the lower face moves


def face_tables(face: EnrolledFace, spec: LipSyncSpec, idle: bool) -> FaceTables:
    """Those of one face; takes about 0.2 s, with `idle` for a photo of 512 px."""
    left, top, right, bottom = box = lower_face_box(face)
    size = (right - left, bottom - top)
    to_photo = np.array([[1.0, 0, left], [0, 1.0, top]])
    moving = idle_tables(face) if idle else None
    return FaceTables(
        photo=face.photo,
        box=box,
        unit_px=face.pose.unit_px,
        photo_to_plane=np.linalg.inv(np.vstack([face.plane.matrix, [0, 0, 1]]))[:2],
        warp=face_warp_tables(face, spec, to_photo, size, step=max(size) / COARSE_CELLS),
        mouth=_mouth_tables(face, spec, box, moving.head.reach_px if moving else 0),
        idle=moving,
    )


def idle_tables(face: EnrolledFace) -> IdleTables:
    """Those of a face, whatever its network."""
    head = head_tables(face.photo, face.landmarks, face.plane, keep=lower_face_box(face))
    return IdleTables(head, eye_tables(face.photo, face.landmarks, pad_px=head.reach_px))


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


def face_warp_tables(
    face: EnrolledFace, spec: LipSyncSpec, grid: Points, size: tuple[int, int], step: float
) -> WarpTables:
    """A face in a model's motion basis: n_motion coefficients, then the photo's own rest. Args: of `warp_tables`."""
    moves = drawn_moves(MotionBasis.load(spec.motion_basis), spec.n_motion)
    displacement = np.concatenate([moves, face.rest[None]])
    return warp_tables(face.canonical, face.pose, face.plane, displacement, grid, size, step)


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


def _mouth_tables(face: EnrolledFace, spec: LipSyncSpec, box: Box, reach_px: int) -> MouthTables:
    left, top, right, bottom = box
    patch_to_photo = mouth_grid(face, spec)
    patch_to_box = patch_to_photo - np.array([[0, 0, left], [0, 0, top]])
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * [spec.mouth_w_px - 1, spec.mouth_h_px - 1]
    mouth = corners @ patch_to_box[:, :2].T + patch_to_box[:, 2]
    size = (right - left, bottom - top)
    low_x, low_y = (int(n) for n in np.clip(np.floor(mouth.min(0)).astype(int) - reach_px, 0, size))
    high_x, high_y = (int(n) for n in np.clip(np.ceil(mouth.max(0)).astype(int) + 1 + reach_px, 0, size))
    patch_px = float(np.sqrt(abs(np.linalg.det(patch_to_photo[:, :2]))))
    return MouthTables(
        window=(left + low_x, top + low_y, left + high_x, top + high_y),
        patch_size=(spec.mouth_w_px, spec.mouth_h_px),
        patch_to_window=patch_to_box - np.array([[0, 0, low_x], [0, 0, low_y]]),
        blur_px=paint_blur(blur_px(face), patch_px),
        teeth=own_teeth(face, left + low_x, top + low_y, (high_x - low_x, high_y - low_y)),
        line_colour=lip_line_colour(face),
    )
