"""What drawing one face needs and no frame changes: plain arrays, computed once per face and only read afterwards.

The CPU's compositor draws from them with OpenCV; the GPU's uploads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.head.layers import Layers, layers
from s2v.engine.compositor.head.tables import HeadTables, head_tables
from s2v.engine.compositor.lips import lip_line_colour
from s2v.engine.compositor.mouth.interior_tables import InteriorTables, interior_tables
from s2v.engine.compositor.mouth.open_photo import without_inside
from s2v.engine.compositor.mouth_corners import corners_displacement
from s2v.engine.compositor.upper_face.expression_room import ExpressionRoom, expression_room
from s2v.engine.compositor.upper_face.expression_tables import ExpressionTables, expression_tables
from s2v.engine.compositor.upper_face.eye_tables import EyeTables, eye_tables
from s2v.engine.compositor.upper_face.glasses import glasses_share
from s2v.engine.compositor.upper_face.sunglasses import dark_lenses
from s2v.engine.compositor.warp_tables import WarpTables, warp_tables
from s2v.engine.face.articulation import ArticulationTables, articulation_tables
from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import FACE_OVAL, N_MESH, Points
from s2v.engine.face.maps import Box
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

COARSE_CELLS = 80  # across the face: with 56, the corners of the mouth were 0.1 of their way short


@dataclass(frozen=True)
class MovingTables:
    """Of a face whose head, eyes and brows move, too."""

    head: HeadTables
    eyes: tuple[EyeTables, ...]  # those that can move: two, one or none
    expression: ExpressionTables
    room: ExpressionRoom  # what the photo leaves to an expression


@dataclass(frozen=True)
class FaceTables:
    """One face of network "s2v"."""

    photo: Image  # (h, w, 3) BGR, at rest: of `without_inside`, before the face's background
    box: Box  # of the lower face: all that may change while the head is still
    unit_px: float  # pixels of a face unit
    photo_to_plane: Points  # (2, 3) from photo pixels to the face plane
    articulation: ArticulationTables  # of the model's motion
    warp: WarpTables  # its output is `box`
    interior: InteriorTables
    line_colour: NDArray[np.float32] | None  # of `lips.lip_line_colour`; None: the photo's lips touch, no line is drawn
    moving: MovingTables | None  # None: nothing but the lower face moves


def face_tables(face: EnrolledFace, spec: LipSyncSpec, moving: bool) -> FaceTables:
    """Those of one face; takes 0.2 s of one core for a photo of 512 px, 0.9 s with `moving`."""
    left, top, right, bottom = box = lower_face_box(face)
    size = (right - left, bottom - top)
    to_photo = np.array([[1.0, 0, left], [0, 1.0, top]])
    cut = face_layers(face, without_inside(face), moving)
    made = moving_tables(face, cut) if moving else None
    return FaceTables(
        photo=cut.at_rest,
        box=box,
        unit_px=face.pose.unit_px,
        photo_to_plane=np.linalg.inv(np.vstack([face.plane.matrix, [0, 0, 1]]))[:2],
        articulation=articulation_tables(spec),
        warp=face_warp_tables(face, spec, to_photo, size, step=max(size) / COARSE_CELLS),
        interior=interior_tables(face, spec, box, made.head.reach_px if made else 0),
        line_colour=lip_line_colour(face),
        moving=made,
    )


def face_layers(face: EnrolledFace, photo: Image, moving: bool) -> Layers:
    """A face's photo before its background, whatever its network. Args: photo: as its network wants it drawn."""
    if face.background is None and not moving:  # nobody looks behind: what it costs is saved
        whole = np.ones(photo.shape[:2], np.float32)
        return Layers(photo, whole, photo, whole)
    return layers(photo, face.landmarks, face.plane, face.background)


def moving_tables(face: EnrolledFace, cut: Layers) -> MovingTables:
    """Those of a face, whatever its network. Args: cut: of `face_layers`, moving."""
    hidden = dark_lenses(face)
    glasses = 1.0 if hidden else glasses_share(face)
    head = head_tables(cut, face.landmarks, face.pose, face.plane, lower_face_box(face), glasses)
    return MovingTables(
        head=head,
        eyes=() if hidden else eye_tables(cut.at_rest, face.landmarks, pad_px=head.apart_px, glasses=glasses),
        expression=expression_tables(face, pad_px=head.apart_px),
        room=expression_room(face.canonical, glasses),
    )


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
    corners = corners_displacement(face.canonical)
    return warp_tables(face.canonical, face.pose, face.plane, displacement, corners, grid, size, step)
