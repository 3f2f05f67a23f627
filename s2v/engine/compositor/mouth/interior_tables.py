"""What drawing the inside of one face's mouth needs and no frame changes: plain arrays, computed once per face."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.colours import interior_colours
from s2v.engine.compositor.mouth.dental_arch import MM, Arch, View
from s2v.engine.compositor.mouth.own_row import with_own_teeth
from s2v.engine.compositor.mouth.own_teeth import own_teeth
from s2v.engine.compositor.mouth.teeth_texture import Texture, lower_row, upper_row
from s2v.engine.compositor.mouth.tongue import GRID_LEFT, GRID_PX, GRID_TOP
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP, Points
from s2v.engine.face.maps import Box
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.mouth_look import MouthLook
from s2v.engine.face.photo_blur import blur_px, texture_blur_px
from s2v.spec import LipSyncSpec

# How much of the upper teeth a parted mouth at rest shows, by the length of the upper lip, both in mm.
# Source: Vig and Brundo, "The kinetics of anterior tooth display", J. Prosthetic Dentistry 39 (1978).
_LIP_LENGTH_MM, _SHOW_MM = (12.5, 18.0, 23.0, 28.0, 33.0), (3.9, 3.4, 2.1, 0.9, 0.2)
_SUBNASALE, _CHIN = 2, 152  # mesh points
_UNDER_LIPS_MM = 1.4  # the line where lips meet lies that far above what the lips leave free when they part
_OVERBITE_MM, _OVERJET_MM = 0.6, 1.0  # the lower teeth's edge is that far above and behind the upper ones', jaw shut
JAW_SHARE = 0.75  # of the chin's way that the lower teeth go: film shows them where lips part
# Rows of teeth have that many pixels for one of the photo, below so many pixels a unit: look-ups keep them sharp.
_FINE, _FINE_BELOW_PX = 2, 250
# Face units behind the middle of the lips: by them a turned head shifts what is inside against the lips.
UPPER_DEPTH, TONGUE_DEPTH = 0.05, 0.12
LOWER_DEPTH = UPPER_DEPTH + _OVERJET_MM * MM
_UPPER_BEND, _LOWER_BEND = 0.030, 0.036  # of the arches, per mm
# Face units around the corners and the line of the lips that the window holds.
_BESIDE, _ABOVE, _BELOW = 0.10, 0.16, 0.40


@dataclass(frozen=True)
class InteriorTables:
    """For `interior`; the rows of teeth are over the window, with head and jaw at rest."""

    window: Box  # where it is drawn, wherever the head goes; may be empty
    plane_to_window: Points  # (2, 3) from the face plane to pixels of the window, with the head at rest
    unit_px: float  # pixels of a face unit
    blur_px: float  # of the photo
    upper: Texture  # (h, w, 3): light of teeth, of gums, each times cover, and one less cover
    lower: Texture
    row_to_window: Points  # (2, 3) from the pixels of both to those of the window
    grid_to_window: Points  # (2, 3) from the grid of `tongue`
    colours: NDArray[np.float32]  # (3, 4): BGR in [0, 255] of teeth, flesh, cavity, lip, in full light
    inner_lip: NDArray[np.float32]  # (3,) BGR in [0, 255] of the lower lip's wet inner side, in full light
    shade_exponents: NDArray[np.float32]  # (3,): light to that power is the light of B, G, R
    lower_v: float  # of the lower teeth's edge with the jaw at rest, in face units below the upper ones'
    chin_moves: Points  # (n_motion, 2) how each coefficient moves the chin, in the face plane


def interior_tables(
    face: EnrolledFace,
    spec: LipSyncSpec,
    box: Box,
    reach_px: int,
    seed: int | None = None,
    show_mm: float | None = None,
) -> InteriorTables:
    """Those of one face; takes about 0.05 s for a photo of 512 px.

    Args:
        box: of the photo, that nothing is drawn outside of. reach_px: how far the head may carry the mouth.
        seed: of the shapes of its teeth; None makes one of the photo.
        show_mm: how much of the upper teeth a parted mouth shows; None: what is usual for the length of its upper lip,
            or known of the person.
    """
    resting = face.canonical + face.rest
    at_rest = face.plane.to_plane(face.pose.to_photo(resting)[:, :2])
    window = _window(face, at_rest, box, reach_px)
    left, top, right, bottom = window
    plane_to_window = face.plane.matrix - np.array([[0, 0, left], [0, 0, top]])
    fine = _FINE if face.pose.unit_px < _FINE_BELOW_PX else 1
    row_to_window = np.array([[1 / fine, 0, 0.5 / fine - 0.5], [0, 1 / fine, 0.5 / fine - 0.5]])
    look = face.mouth or MouthLook()
    usual_mm = upper_teeth_show_mm(resting) + look.show_mm
    edges = _incisors(resting, usual_mm if show_mm is None else show_mm, _OVERBITE_MM + look.lower_mm)
    middle, lower_middle = face.plane.to_plane(face.pose.to_photo(edges)[:, :2])
    colours, photo_blur_px = interior_colours(face), blur_px(face)
    upper = lower = np.zeros((0, 0, 3), np.float32)
    if right > left and bottom > top:
        window_to_row = np.linalg.inv(_whole(row_to_window))[:2]
        corners = at_rest[sorted(MOUTH_CORNERS, key=lambda point: float(at_rest[point, 0]))]
        size, soft_px = (fine * (right - left), fine * (bottom - top)), fine * texture_blur_px(photo_blur_px)
        view = View(face.pose, face.plane, corners, window_to_row @ _whole(plane_to_window), size, soft_px)
        seed = zlib.crc32(face.photo.tobytes()) if seed is None else seed
        upper = view.row(upper_row(seed), Arch(edges[0], _UPPER_BEND, roots_up=True))
        lower = view.row(lower_row(seed), Arch(edges[1], _LOWER_BEND, roots_up=False))
        own = own_teeth(face, left, top, (right - left, bottom - top))
        if own is not None:
            own = np.asarray(cv2.warpAffine(own, window_to_row, size, borderMode=cv2.BORDER_REPLICATE), np.float32)
            if (found := with_own_teeth(own, upper, view.plane_to_row, middle)) is not None:
                upper, colours = found.upper, colours.with_teeth(found.colour)
    grid = np.array([[1 / GRID_PX, 0, GRID_LEFT + 0.5 / GRID_PX], [0, 1 / GRID_PX, GRID_TOP + 0.5 / GRID_PX]])
    grid[:, 2] += middle
    return InteriorTables(
        window=window,
        plane_to_window=plane_to_window,
        unit_px=face.pose.unit_px,
        blur_px=photo_blur_px,
        upper=upper,
        lower=lower,
        row_to_window=row_to_window,
        grid_to_window=plane_to_window @ _whole(grid),
        colours=colours.layers,
        inner_lip=colours.inner_lip,
        shade_exponents=colours.shade_exponents,
        lower_v=float(lower_middle[1] - middle[1]),
        chin_moves=_chin_moves(face, spec),
    )


def upper_teeth_show_mm(resting: Points) -> float:
    """How much of its upper teeth a face with parted lips shows. Args: resting: (468, 3) face units, lips together."""
    stomion = resting[[UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]], 1].mean()
    return float(np.interp((stomion - resting[_SUBNASALE, 1]) / MM, _LIP_LENGTH_MM, _SHOW_MM))


def _incisors(resting: Points, show_mm: float, overbite_mm: float) -> Points:
    """Middle of the edges of upper and lower teeth, (2, 3) face units.

    They stand behind the middle of the lips; how far behind shifts them when the head is turned.
    """
    stomion = resting[[UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]]].mean(0)
    upper = stomion + np.array([0, (show_mm + _UNDER_LIPS_MM) * MM, UPPER_DEPTH])
    return np.stack([upper, upper + np.array([0, -overbite_mm * MM, _OVERJET_MM * MM])])


def _whole(affine: Points) -> Points:
    """A (2, 3) map as (3, 3), to be multiplied or inverted."""
    return np.vstack([affine, [0, 0, 1]])


def _chin_moves(face: EnrolledFace, spec: LipSyncSpec) -> Points:
    moves = MotionBasis.load(spec.motion_basis).displacement(np.array([_CHIN]))[: spec.n_motion, 0]
    in_plane: Points = face.pose.turn(moves)[:, :2] @ np.linalg.inv(face.plane.matrix[:, :2]).T
    return in_plane


def _window(face: EnrolledFace, at_rest: Points, box: Box, reach_px: int) -> Box:
    lips = at_rest[[*UPPER_INNER_LIP, *LOWER_INNER_LIP]]
    low, high = lips.min(0) - np.array([_BESIDE, _ABOVE]), lips.max(0) + np.array([_BESIDE, _BELOW])
    corners = face.plane.to_photo(np.array([[u, v] for u in (low[0], high[0]) for v in (low[1], high[1])]))
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - reach_px, box[:2], box[2:])
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1 + reach_px, box[:2], box[2:])
    return int(left), int(top), int(right), int(bottom)
