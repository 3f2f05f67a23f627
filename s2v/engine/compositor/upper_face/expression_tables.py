"""How brows and cheeks of one photo move, on a coarse grid of its pixels: computed once per face, only read afterwards.

Each field is drawn from landmarks by smooth curves of the face plane, without overshoot: brows carry the forehead up to
where the photo shows skin, cheeks are a soft bump below the eyes. Between the lids both are zero: irises stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.upper_face.bare_skin import bare_skin
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, FACE_OVAL, Points, curve_heights
from s2v.engine.face.maps import Box, Map, smoothstep

# Outer to inner end of the viewer's left brow, inner to outer of the right one.
BROWS_ABOVE = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
BROWS_BELOW = (46, 53, 52, 65, 55, 285, 295, 282, 283, 276)
_CHEEKS = ((50, 205), (280, 425))  # what each cheek lies midway between

_CELLS_PER_UNIT = 30
_APART_UNITS = 0.04  # face units: ends of a box may be carried so much further than the points of `HeadTables.apart_px`
UNSEEN_PX = 0.05  # what never moves further than that is left alone
_HIGHEST_BROWS = 0.06  # face units
_LID_FREE = 0.03  # face units above the lid's edge that stay
_LID_TO_BROW = 0.08  # face units over which the motion grows at least: with less, a lowered brow folds
_BESIDE_BROW = (-0.06, 0.16)  # face units beyond the outer ends of the brows: whole until there, nothing from there
_BETWEEN_BROWS = 0.65  # of the brows' motion is the skin's between them
_DRAWN_APART = 0.25  # so much do the inner ends of raised brows go sideways; lowered ones are drawn together
_LEAST_FOREHEAD, _WHOLE_FOREHEAD = 0.03, 0.11  # face units of bare skin above a brow: it stays; it moves as asked

CHEEK_RISE = 0.035  # face units, of a cheek that is wholly raised
_CHEEK_SPREAD = (0.16, 0.14)  # face units, across and down: standard deviations of the bump
_CHEEK_OUTWARD = 0.25  # of what it goes up
_BESIDE_NOSE = (0.16, 0.30)  # face units from the middle: still, whole
_BROWS_INSIDE, _CHEEKS_INSIDE = 0.07, 0.12  # face units from the outline of the face inwards until they move wholly
_BELOW_LID = (0.03, 0.14)  # face units below the lower lid's edge: still, whole


@dataclass(frozen=True)
class SkinField:
    """How skin moves for one of an amount, a face unit of brows or wholly raised cheeks."""

    box: Box  # of the photo: all that it may move
    cell_px: int  # odd: a cell's middle is a pixel
    forward: NDArray[np.float32]  # (rows, columns, 2) photo pixels x y in the middle of each cell; its rim is 0
    pad_px: int  # how far a head may carry the ends of the box beside what it does to the middle between the eyes


@dataclass(frozen=True)
class ExpressionTables:
    """One face's. None: nothing of it moves."""

    brows: SkinField | None
    cheeks: SkinField | None


def expression_tables(face: EnrolledFace, pad_px: int) -> ExpressionTables:
    """Those of one face. Args: pad_px: `HeadTables.apart_px`."""
    at = face.plane.to_plane(face.landmarks[:, :2])
    low = at[[*BROWS_ABOVE, *FACE_OVAL]].min(0) - 0.1
    high = np.array([at[list(FACE_OVAL), 0].max() + 0.1, at[[205, 425], 1].max() + 3 * _CHEEK_SPREAD[1]])
    corners = face.plane.to_photo(np.array([[u, v] for u in (low[0], high[0]) for v in (low[1], high[1])]))
    cell_px = max(3, 2 * round(face.pose.unit_px / _CELLS_PER_UNIT / 2) + 1)
    size = np.array([face.photo.shape[1], face.photo.shape[0]])
    start = np.clip(np.floor(corners.min(0)), 0, size).astype(int)
    columns, rows = (np.clip(np.ceil(corners.max(0)), start, size) - start).astype(int) // cell_px
    if columns < 3 or rows < 3:
        return ExpressionTables(None, None)
    pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) * cell_px + cell_px // 2 + start
    uv = face.plane.to_plane(pixels)
    pad_px += round(_APART_UNITS * face.pose.unit_px)
    fields = ((_brows(face, at, uv), _HIGHEST_BROWS), (_cheeks(face, at, uv), 1.0))
    return ExpressionTables(*(_trimmed(field, most, start, cell_px, pad_px) for field, most in fields))


def _trimmed(forward: Points, most: float, start: NDArray[np.int_], cell_px: int, pad_px: int) -> SkinField | None:
    """The field where it moves anything; None if nowhere.

    Args:
        forward: (rows, columns, 2) photo pixels for one. most: the largest amount. start: (2,) pixel where it begins.
    """
    moves = most * np.abs(forward).max(-1) > UNSEEN_PX
    # The cells at the rim stay: the field ends without a step wherever the photo ends.
    moves[[0, -1]] = moves[:, [0, -1]] = False
    if not moves.any():
        return None
    (top, bottom), (left, right) = (np.flatnonzero(moves.any(axis))[[0, -1]] + [-1, 2] for axis in (1, 0))
    kept = np.where(moves[..., None], forward, 0)[top:bottom, left:right]
    (x, y), (x_end, y_end) = (start + cell_px * np.array(corner) for corner in ((left, top), (right, bottom)))
    return SkinField((int(x), int(y), int(x_end), int(y_end)), cell_px, np.ascontiguousarray(kept, np.float32), pad_px)


def _brows(face: EnrolledFace, at: Points, uv: Points) -> Points:
    """(rows, columns, 2) photo pixels for brows that rise by a face unit."""
    u, v = uv[..., 0], uv[..., 1]
    above, below = (curve_heights(at[list(points)], u) for points in (BROWS_ABOVE, BROWS_BELOW))
    lid = curve_heights(np.concatenate([at[list(eye.upper)] for eye in EYES]), u) - _LID_FREE
    rising = smoothstep((lid - v) / np.maximum(lid - below, _LID_TO_BROW))
    knots = np.linspace(at[BROWS_ABOVE[0], 0] - _BESIDE_BROW[1], at[BROWS_ABOVE[-1], 0] + _BESIDE_BROW[1], 65)
    reach = np.interp(u, knots, bare_skin(face, np.stack([knots, curve_heights(at[list(BROWS_ABOVE)], knots)], -1)))
    share = smoothstep((reach - _LEAST_FOREHEAD) / (_WHOLE_FOREHEAD - _LEAST_FOREHEAD))
    falling = smoothstep(1 - (above - v) / np.maximum(reach, _WHOLE_FOREHEAD))
    left, right = at[BROWS_ABOVE[0], 0], at[BROWS_ABOVE[-1], 0]
    beside = (np.maximum(left - u, u - right) - _BESIDE_BROW[0]) / (_BESIDE_BROW[1] - _BESIDE_BROW[0])
    share *= smoothstep(1 - beside) * smoothstep(_inside_face(at, uv) / _BROWS_INSIDE)
    inner_left, inner_right = at[BROWS_ABOVE[4], 0], at[BROWS_ABOVE[5], 0]
    middle, half = (inner_left + inner_right) / 2, (inner_right - inner_left) / 2
    from_middle = np.clip((u - middle) / half, -1, 1)
    share *= _BETWEEN_BROWS + (1 - _BETWEEN_BROWS) * smoothstep(np.abs(from_middle))
    # Sideways: most at the inner ends, nothing in the middle and at the outer ends.
    outwards = np.where(u < middle, middle - u, u - middle) - half
    sideways = _DRAWN_APART * from_middle * smoothstep(1 - outwards / 0.3)
    up = share * rising * falling
    return _on_photo(face, sideways * up, -up)


def _cheeks(face: EnrolledFace, at: Points, uv: Points) -> Points:
    """(rows, columns, 2) photo pixels for cheeks that are wholly raised."""
    u, v = uv[..., 0], uv[..., 1]
    lid = curve_heights(np.concatenate([at[list(eye.lower)] for eye in EYES]), u)
    share = smoothstep((v - lid - _BELOW_LID[0]) / (_BELOW_LID[1] - _BELOW_LID[0]))
    middle = (at[BROWS_ABOVE[4], 0] + at[BROWS_ABOVE[5], 0]) / 2
    share *= smoothstep((np.abs(u - middle) - _BESIDE_NOSE[0]) / (_BESIDE_NOSE[1] - _BESIDE_NOSE[0]))
    share *= smoothstep(_inside_face(at, uv) / _CHEEKS_INSIDE)
    moved = np.zeros_like(uv)
    for side, (upper, lower) in zip((-1, 1), _CHEEKS, strict=True):
        centre = (at[upper] + at[lower]) / 2
        bump = share * np.exp(-(((uv - centre) / _CHEEK_SPREAD) ** 2).sum(-1) / 2)
        moved += _on_photo(face, side * _CHEEK_OUTWARD * CHEEK_RISE * bump, -CHEEK_RISE * bump)
    return moved


def _inside_face(at: Points, uv: Points) -> Points:
    """Face units from the outline of the face inwards, (rows, columns)."""
    oval = at[list(FACE_OVAL)].astype(np.float32)
    inside = [cv2.pointPolygonTest(oval, (float(u), float(v)), True) for u, v in uv.reshape(-1, 2)]
    return np.reshape(np.array(inside), uv.shape[:2])


def _on_photo(face: EnrolledFace, right: Points, down: Points) -> Points:
    """Displacements in face units, (...) each, as the photo shows them: (..., 2) pixels."""
    turned: Map | Points = face.pose.turn(np.stack([right, down, np.zeros_like(right)], -1))[..., :2]
    return np.asarray(turned, np.float64)
