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
from s2v.engine.compositor.warp_tables import WarpTables, warp_tables
from s2v.engine.face.articulation import ArticulationTables, articulation_tables
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL, LOWER_INNER_LIP, MOUTH_CORNERS, N_MESH, UPPER_INNER_LIP, Points
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

_WINDOW_WIDTH, _WINDOW_HEIGHT = 0.96, 0.576  # face units: where the inside of the mouth may show
_WINDOW_ABOVE_LIPS = 0.30  # of its height
COARSE_CELLS = 56  # across the face: flows are smooth, more cells change nothing one can see


@dataclass(frozen=True)
class IdleTables:
    """Of a face that moves while it says nothing."""

    head: HeadTables
    eyes: tuple[EyeTables, ...]  # those that can move: two, one or none


@dataclass(frozen=True)
class MouthTables:
    """What is drawn between the lips, and where."""

    window: Box  # where the mouth may be, wherever the head goes; may be empty
    line_colour: NDArray[np.float32] | None  # of `lips.lip_line_colour`; None: the photo's lips touch, no line is drawn


@dataclass(frozen=True)
class FaceTables:
    """One face of network "s2v"."""

    photo: Image  # (h, w, 3) BGR
    box: Box  # of the lower face: all that may change while the head is still
    unit_px: float  # pixels of a face unit
    photo_to_plane: Points  # (2, 3) from photo pixels to the face plane
    articulation: ArticulationTables  # of the model's motion
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
        articulation=articulation_tables(spec),
        warp=face_warp_tables(face, spec, to_photo, size, step=max(size) / COARSE_CELLS),
        mouth=_mouth_tables(face, box, moving.head.reach_px if moving else 0),
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
    everywhere = np.arange(N_MESH)
    moves = MotionBasis.load(spec.motion_basis).displacement(everywhere)[: spec.n_motion]
    displacement = np.concatenate([moves, face.rest[None]])
    return warp_tables(face.canonical, face.pose, face.plane, displacement, grid, size, step)


def _mouth_tables(face: EnrolledFace, box: Box, reach_px: int) -> MouthTables:
    left, top, right, bottom = box
    at_rest = face.plane.to_plane(face.pose.to_photo(face.canonical + face.rest)[:, :2])
    middle_x = at_rest[list(MOUTH_CORNERS), 0].mean()
    low_v = at_rest[[UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]], 1].mean() - _WINDOW_ABOVE_LIPS * _WINDOW_HEIGHT
    sides, rows = (middle_x - _WINDOW_WIDTH / 2, middle_x + _WINDOW_WIDTH / 2), (low_v, low_v + _WINDOW_HEIGHT)
    mouth = face.plane.to_photo(np.array([[x, y] for x in sides for y in rows])) - [left, top]
    size = (right - left, bottom - top)
    low_x, low_y = (int(n) for n in np.clip(np.floor(mouth.min(0)).astype(int) - reach_px, 0, size))
    high_x, high_y = (int(n) for n in np.clip(np.ceil(mouth.max(0)).astype(int) + 1 + reach_px, 0, size))
    return MouthTables((left + low_x, top + low_y, left + high_x, top + high_y), lip_line_colour(face))
