"""How one face's head and shoulders move, on a coarse grid, and its photo on a finer one: computed once per face.

The face moves as one rigid piece; around it the motion fades to nothing towards the photo's border.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.idle_motion import ROLL_DEGREES, SHIFT_X_UNITS, SHIFT_Y_UNITS
from s2v.engine.face.geometry import FACE_OVAL, N_MESH, FacePlane, Points
from s2v.engine.face.maps import Box, Map, smoothstep
from s2v.engine.face.photo import Image

PIVOT_V = 0.9  # face units: the head rolls around a point below the mouth, where it sits on the neck
FINE = 4  # photo pixels are looked up on a grid this much finer, made once per face

_CELLS = 48  # across the photo: the fields are smooth
_RIGID_UNITS = 0.10  # so far around the outline of the face everything moves as the face does
_FADE_UNITS = 0.75  # beyond it, until nothing moves
_BORDER_UNITS = 0.5  # from the photo's border inwards, until the motion is whole
_ROOM_UNITS = 0.25  # a face with less room than that between its features and the border moves less
_SHOULDERS_UNITS = 0.006  # how far a breath lifts them
_BREATH_BELOW_LIPS, _BREATH_BELOW_CHIN = 0.10, 0.35  # face units: from nothing here to all there
_LOWER_LIP, _CHIN = 17, 152
# Brows, eyes, nose, mouth, chin: what must stay rigid even if hair and forehead reach the border.
_FEATURES = (70, 105, 336, 300, 33, 263, 1, 61, 291, 17, 152, 148, 377, 50, 280)
_UNSEEN_PX = 0.02  # what never moves further than that is left alone
_BAND_CELLS = 4  # rows of cells that are drawn together

_HALF_TAPS = 16
_COMPENSATION = 0.011  # what the linear steps between the fine grid's points cost on the average


@dataclass(frozen=True)
class HeadTables:
    """One face's. Displacements go from a pixel of the frame back to the photo."""

    bands: tuple[Box, ...]  # one above the other: all that moves, and the box that is to be kept whole
    box: Box  # the smallest that holds them
    cell_px: int
    at_rest: Map  # (rows, columns, 2) photo pixel in the middle of each coarse cell, of which one is beyond each side
    fields: NDArray[np.float32]  # (4, rows, columns, 2) photo pixels for one unit of shift x, y, roll (radians), breath
    scale: float  # how much of what a pose asks for there is room for, 0 to 1
    reach_px: int  # no point of the face moves further than that
    plane_to_photo: Points  # (3, 3)
    photo_to_plane: Points  # (3, 3)
    fine: Image  # (FINE * h, FINE * w, 4): the photo in `box`, see `fine_photo`


def head_tables(photo: Image, landmarks: Points, plane: FacePlane, keep: Box) -> HeadTables:
    """Those of one face.

    Args:
        photo: (h, w, 3) BGR. landmarks: (>=468, 3) pixels. plane: of the face.
        keep: a box that frames are to be drawn in whatever moves, `lower_face_box`.
    """
    height, width = photo.shape[:2]
    unit_px = float(np.sqrt(abs(np.linalg.det(plane.matrix[:, :2]))))
    plane_to_photo = np.vstack([plane.matrix, [0, 0, 1]])
    cell_px = max(4, round(max(height, width) / _CELLS))
    cells = _cells((width, height), cell_px)
    scale, fields = _fields(landmarks[:N_MESH, :2], plane, unit_px, (width, height), cells)
    bands = _moving_bands(fields, cell_px, (width, height), keep, pad_px=round(0.06 * unit_px) + 2)
    lefts, tops, rights, bottoms = zip(*bands, strict=True)
    left, top, right, bottom = box = (min(lefts), min(tops), max(rights), max(bottoms))
    furthest = np.hypot(SHIFT_X_UNITS, SHIFT_Y_UNITS) + np.radians(ROLL_DEGREES) * 1.6
    return HeadTables(
        bands=tuple(bands),
        box=box,
        cell_px=cell_px,
        at_rest=cells.astype(np.float32),
        fields=fields.astype(np.float32),
        scale=scale,
        reach_px=int(np.ceil(scale * furthest * float(np.linalg.norm(plane.matrix[:, :2], 2)))) + 1,
        plane_to_photo=plane_to_photo,
        photo_to_plane=np.linalg.inv(plane_to_photo),
        fine=fine_photo(photo[top:bottom, left:right]),
    )


def fine_photo(photo: Image) -> Image:
    """A photo on a grid FINE times as fine; pixel (x, y) is pixel (FINE * x, FINE * y) of it.

    Four channels, the last one empty: OpenCV looks four up in half the time that three take.

    Windowed-sinc interpolation keeps fine detail that a bicubic look-up between pixels loses. The kernel
    also lifts the finest detail by what the linear look-up on the fine grid costs.
    """
    height, width = photo.shape[:2]
    fine = np.zeros((FINE * height, FINE * width, 4), np.uint8)
    kernels = [_kernel(step / FINE) for step in range(FINE)]
    source = photo.astype(np.float32)
    for column in range(FINE):
        across = cv2.filter2D(source, -1, kernels[column][None], borderType=cv2.BORDER_REFLECT_101)
        for row in range(FINE):
            both = cv2.filter2D(across, -1, kernels[row][:, None], borderType=cv2.BORDER_REFLECT_101)
            fine[row::FINE, column::FINE, :3] = np.clip(both + 0.5, 0, 255)
    return fine


def _kernel(offset: float) -> NDArray[np.float32]:
    """Odd-length filter that looks `offset` of a pixel to the right, slightly sharpening."""
    x = np.arange(-_HALF_TAPS, _HALF_TAPS + 1) - offset
    sinc = np.sinc(x) * np.sinc(x / _HALF_TAPS) * (np.abs(x) < _HALF_TAPS)
    lifted = np.convolve(sinc / sinc.sum(), [-_COMPENSATION, 1 + 2 * _COMPENSATION, -_COMPENSATION], "same")
    return np.asarray(lifted / lifted.sum(), np.float32)


def _cells(size: tuple[int, int], cell_px: int) -> Points:
    """Centres of the coarse cells in photo pixels, (rows, columns, 2): one cell more on each side than the photo."""
    x, y = ((np.arange(-(-n // cell_px) + 2) - 0.5) * cell_px - 0.5 for n in size)
    return np.stack(np.meshgrid(x, y), -1)


def _fields(at: Points, plane: FacePlane, unit_px: float, size: tuple[int, int], cells: Points) -> tuple[float, Points]:
    """How much there is room to move, 0 to 1, and the backward displacement in photo pixels per unit of
    (shift x, shift y, roll in radians, breath) on the coarse grid: (4, rows, columns, 2)."""
    width, height = size
    x, y = cells[0, :, 0], cells[:, 0, 1]
    border = np.ones(cells.shape[:2])
    room = np.inf
    features = at[list(_FEATURES)]
    sides = (
        (x[None, :], features[:, 0]),
        (width - 1 - x[None, :], width - 1 - features[:, 0]),
        (y[:, None], features[:, 1]),
        (height - 1 - y[:, None], height - 1 - features[:, 1]),
    )
    for from_side, features_from_side in sides:
        fade_px = float(np.clip(features_from_side.min(), 1.0, _BORDER_UNITS * unit_px))
        room = min(room, fade_px / (_ROOM_UNITS * unit_px))
        border = border * smoothstep(from_side / fade_px)
    uv = plane.to_plane(cells)
    outside = _outside_face(at, size, cells) / unit_px
    head = border * (1 - smoothstep((outside - _RIGID_UNITS) / _FADE_UNITS))
    v_at = plane.to_plane(at)[:, 1]
    begin = v_at[_LOWER_LIP] + _BREATH_BELOW_LIPS
    breath = border * smoothstep((uv[..., 1] - begin) / (v_at[_CHIN] + _BREATH_BELOW_CHIN - begin))
    scale = float(np.clip(room, 0.0, 1.0))
    none = np.zeros_like(head)
    moves = np.stack(
        [
            np.stack([-head, none], -1),
            np.stack([none, -head], -1),
            np.stack([head * (uv[..., 1] - PIVOT_V), -head * uv[..., 0]], -1),
            np.stack([none, _SHOULDERS_UNITS * breath], -1),
        ]
    )
    fields: Points = scale * moves @ plane.matrix[:, :2].T
    return scale, fields


def _outside_face(at: Points, size: tuple[int, int], cells: Points) -> Points:
    """Pixels from each cell to the outline of the face, 0 inside: (rows, columns)."""
    inside = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(inside, [at[list(FACE_OVAL)].round().astype(np.int32)], 1)
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    column, row = cells[..., 0].round().astype(int), cells[..., 1].round().astype(int)
    away: Points = distance[row.clip(0, size[1] - 1), column.clip(0, size[0] - 1)].astype(np.float64)
    return away


def _moving_bands(fields: Points, cell_px: int, size: tuple[int, int], keep: Box, pad_px: int) -> list[Box]:
    """Boxes one above the other that hold all that moves, and `keep` with a margin for what it looks up."""
    limits = np.array([SHIFT_X_UNITS, SHIFT_Y_UNITS, np.radians(ROLL_DEGREES), 1.0])[:, None, None, None]
    moves = np.hypot(*np.moveaxis(np.abs(fields * limits).sum(0), -1, 0)) > _UNSEEN_PX
    low, high = np.array(keep[:2]) - pad_px, np.array(keep[2:]) + pad_px
    boxes = []
    for first in range(0, len(moves), _BAND_CELLS):
        # Photo pixels of these cells; a cell's motion reaches into its neighbours.
        top, bottom = (first - 1) * cell_px, (first - 1 + _BAND_CELLS) * cell_px
        near = moves[max(0, first - 1) : first + _BAND_CELLS + 1].any(0)
        columns = np.flatnonzero(near)
        sides = [((columns[0] - 2) * cell_px, (columns[-1] + 1) * cell_px)] if len(columns) else []
        if top < high[1] and bottom > low[1]:
            sides.append((low[0], high[0]))
        if sides:
            box = np.array([min(s[0] for s in sides), top, max(s[1] for s in sides), bottom])
            left, top, right, bottom = (int(n) for n in np.clip(box, 0, [*size, *size]))
            if right > left and bottom > top:
                boxes.append((left, top, right, bottom))
    return boxes
