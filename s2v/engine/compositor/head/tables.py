"""What moving one face's head needs and no frame changes: plain arrays, made once per face, only read afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head.beyond import beyond, closed, continued
from s2v.engine.compositor.head.depth import depth_at
from s2v.engine.compositor.head.extent import Extent
from s2v.engine.compositor.head.fine_photo import fine_photo
from s2v.engine.compositor.head.layers import Layers
from s2v.engine.compositor.head.limits import (
    LEAN_BACK,
    LEAN_FORTH,
    PITCH,
    ROLL,
    SHIFT_X,
    SHIFT_Y,
    YAW,
    HeadLimits,
    head_limits,
)
from s2v.engine.compositor.head.motion import HeadMotion
from s2v.engine.face.geometry import OUTER_EYES, FacePlane, Points, Pose
from s2v.engine.face.maps import Box, Map, remap, smoothstep
from s2v.engine.face.photo import Image

_CELLS_A_UNIT, _LEAST_CELL_PX, _MOST_CELLS = 12, 4, 80
_CELLS_BEYOND = 3  # the photo's border: a head comes in from there by up to 0.2 face units
_UNSEEN_PX, _SEEN_PX = 0.02, 0.12  # what never moves further is left as it is; what may move that far moves freely
# Mesh points of the mouth: the head carries what lies between the lips as it carries these.
_MOUTH = (61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314, 18)
# Corners and lids of the eyes, brows, cheeks below the eyes.
_UPPER_FACE = (33, 133, 362, 263, 159, 145, 386, 374, 70, 63, 105, 107, 300, 293, 334, 336, 50, 280, 117, 346)


@dataclass(frozen=True)
class HeadTables:
    """One face's.

    A frame: `coefficients` of the pose (11, 2) times `terms` is how far each coarse cell goes, in photo pixels;
    inverted (`came_from`) and made dense it says where in the photo each pixel of `box` looks; `fine` is looked up
    there, once, and lies over `background`.
    """

    box: Box  # of the photo: all that a pose may change, and the box that is to be kept whole
    cell_px: int
    cells: Map  # (rows, columns, 2) photo pixel in the middle of each coarse cell, of which some are beyond each side
    terms: NDArray[np.float32]  # (11, rows, columns) of `HeadMotion.terms`
    motion: HeadMotion
    limits: HeadLimits
    reach_px: int  # no point of the mouth moves further than that
    mouth: Points  # (13, 2) photo pixels
    mouth_terms: Points  # (13, 11)
    eyes_terms: Points  # (11,) of the middle between the eyes
    eyes_reach_px: int  # that middle moves no further than that
    apart_px: int  # no point of eyes, brows and cheeks moves further than that beside what that middle does
    background: Image  # (h, w, 3): what is behind the head's layer, and all that never moves
    layer_box: Box  # where its layer is at rest: `box`, and what may come in from beyond the photo
    fine: Image  # (FINE * h, FINE * w, 4): the head's layer in `layer_box`, see `fine_photo`
    cover: NDArray[np.uint8]  # (rows, columns): of the layer near each cell: 0 none, 1 some, 2 nothing else


def head_tables(
    layers: Layers, landmarks: Points, pose: Pose, plane: FacePlane, keep: Box, glasses: float = 0.0
) -> HeadTables:
    """Those of one face.

    Args:
        layers: of its photo. landmarks: (>=468, 3) pixels. pose, plane: of the face.
        keep: a box that is to be drawn in wherever the head is, `lower_face_box`.
        glasses: how surely the face wears any, 0 to 1.
    """
    at_rest, matte = layers.at_rest, layers.matte
    height, width = at_rest.shape[:2]
    extent = Extent(landmarks, plane, matte, pose.unit_px)
    limits = head_limits(pose, extent.beside_units, extent.above_units, extent.room)
    motion = HeadMotion(pose, plane)
    cell_px = max(_LEAST_CELL_PX, round(pose.unit_px / _CELLS_A_UNIT), max(width, height) // _MOST_CELLS)
    cells = _cells((width, height), cell_px)
    depth = depth_at(landmarks, pose, plane, cells, glasses)
    head, breath = extent.follows(cells)
    terms = motion.terms(cells, depth, head, breath).astype(np.float32)
    extremes = [motion.coefficients(limits.limited(extreme)) for extreme in _extremes()]
    furthest = np.max([np.hypot(*np.tensordot(e.T, terms, 1)) for e in extremes], axis=0)

    dense = cv2.resize(furthest.astype(np.float32), (cells.shape[1] * cell_px, cells.shape[0] * cell_px))
    beyond_px = _CELLS_BEYOND * cell_px
    dense = dense[beyond_px : beyond_px + height, beyond_px : beyond_px + width]
    moves = smoothstep((dense - _UNSEEN_PX) / (_SEEN_PX - _UNSEEN_PX))
    behind = np.asarray(np.where((moves < 1)[..., None], at_rest, _possible(layers)), np.uint8)
    shown = np.asarray(matte * moves, np.float32)
    reach_px = int(np.ceil(furthest.max())) + 1
    box = _box(shown > 0, reach_px, keep, round(0.06 * pose.unit_px) + 2)
    left, top, right, bottom = box
    first_column, first_row = left // cell_px, top // cell_px
    end_column, end_row = (-(-n // cell_px) + 2 * _CELLS_BEYOND for n in (right, bottom))
    part = np.s_[first_row:end_row, first_column:end_column]
    layer_box = beyond(box, (width, height), reach_px)
    layer = closed(shown, layers.person, layer_box, pose.unit_px)
    mouth = landmarks[list(_MOUTH), :2]
    upper = np.concatenate([landmarks[list(OUTER_EYES), :2].mean(0)[None], landmarks[list(_UPPER_FACE), :2]])
    mouth_terms, upper_terms = (_read(terms, places, cells[0, 0], cell_px) for places in (mouth, upper))
    moved = max(float(np.hypot(*(mouth_terms @ extreme).T).max()) for extreme in extremes)
    carried = max(float(np.hypot(*(upper_terms[0] @ extreme))) for extreme in extremes)
    apart = max(float(np.hypot(*((upper_terms[1:] - upper_terms[0]) @ extreme).T).max()) for extreme in extremes)
    return HeadTables(
        box=box,
        cell_px=cell_px,
        cells=np.ascontiguousarray(cells[part], np.float32),
        terms=np.ascontiguousarray(terms[:, part[0], part[1]]),
        motion=motion,
        limits=limits,
        reach_px=int(np.ceil(moved)) + 1,
        mouth=mouth,
        mouth_terms=mouth_terms,
        eyes_terms=upper_terms[0],
        eyes_reach_px=int(np.ceil(carried)) + 1,
        apart_px=int(np.ceil(apart)) + 1,
        background=behind,
        layer_box=layer_box,
        fine=fine_photo(continued(at_rest, layer_box), layer, continued(behind, layer_box)),
        cover=_cover(layer, cells[part] - layer_box[:2], cell_px),
    )


def _possible(layers: Layers) -> Image:
    """The background, where the matte is neither 0 nor 1 as near to it as what is seen at rest allows for.

    A layer cannot take light away from its background, nor add more than there is: else the face at rest would not be
    what it should be.
    """
    rest = 1 - layers.matte[..., None]
    seen, share = layers.at_rest.astype(np.float32), np.maximum(rest, 1e-3)
    # One level either way is rounding.
    bounded = np.clip(layers.background, (seen - 1 - 255 * (1 - rest)) / share, (seen + 1) / share)
    return np.asarray(np.where(rest > 0, np.clip(bounded, 0, 255), layers.background), np.uint8)


def _extremes() -> list[FacePose]:
    """Poses at every corner of what is allowed, so large that the limits' soft ends are reached."""
    signs = product((-9.0, 9.0), repeat=6)
    return [
        FacePose(
            shift=(x * SHIFT_X, y * SHIFT_Y),
            yaw=yaw * YAW,
            pitch=pitch * PITCH,
            roll=roll * ROLL,
            lean=lean * (LEAN_FORTH if lean > 0 else LEAN_BACK),
            breath=1.0,
        )
        for x, y, yaw, pitch, roll, lean in signs
    ]


def _cells(size: tuple[int, int], cell_px: int) -> Points:
    """Centres of the coarse cells of a photo, pixels (rows, columns, 2), and of some more beyond each side of it."""
    x, y = ((np.arange(-(-end // cell_px) + 2 * _CELLS_BEYOND) - _CELLS_BEYOND + 0.5) * cell_px - 0.5 for end in size)
    return np.stack(np.meshgrid(x, y), -1)


def _read(grids: NDArray[np.float32], places: Points, first_px: Points, cell_px: int) -> Points:
    """Coarse grids (k, rows, columns) read, bilinearly, at photo pixels (n, 2): (n, k)."""
    at = np.asarray((places - first_px) / cell_px, np.float32)[None]
    return np.stack([remap(grid, at, cv2.INTER_LINEAR)[0] for grid in grids], -1).astype(np.float64)


def _box(shown: NDArray[np.bool_], reach_px: int, keep: Box, pad_px: int) -> Box:
    """What holds the layer wherever it goes, and `keep` with a margin for what it looks up."""
    height, width = shown.shape
    low, high = np.array(keep[:2]) - pad_px, np.array(keep[2:]) + pad_px
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if len(rows):
        low = np.minimum(low, [columns[0] - reach_px, rows[0] - reach_px])
        high = np.maximum(high, [columns[-1] + 1 + reach_px, rows[-1] + 1 + reach_px])
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, [width, height])
    return int(left), int(top), int(right), int(bottom)


def _cover(shown: NDArray[np.float32], cells: Points, cell_px: int) -> NDArray[np.uint8]:
    """See `HeadTables.cover`; near is one and a half cells around. Args: cells: in pixels of `shown`."""
    size = 3 * cell_px
    kernel = np.ones((size, size), np.uint8)
    some, all_of_it = cv2.dilate(shown, kernel) > 0, cv2.erode(shown, kernel) >= 1
    column, row = np.round(cells[..., 0]).astype(int), np.round(cells[..., 1]).astype(int)
    at = row.clip(0, shown.shape[0] - 1), column.clip(0, shown.shape[1] - 1)
    return np.asarray(some[at].astype(np.uint8) + all_of_it[at])
