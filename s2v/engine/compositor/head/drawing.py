"""Draws a photo's head turned, tipped, moved: one look-up of the photo a frame, laid over a background that stays.

The maps go from a pixel of the frame to the photo, so that a mouth or an eye can be looked up through them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.head.inversion import came_from
from s2v.engine.compositor.head.tables import HeadTables
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import Box, Map, remap
from s2v.engine.face.photo import Image

_BAND_PX = 64  # about so many rows are drawn together
_NEAR_MOUTH = 0.5  # face units around the mouth at rest that lips may come to
_KEPT_POSES = 64  # as many engines may draw one face at once
_NOTHING, _ALL = 0, 2  # of `HeadTables.cover`


class Band(NamedTuple):
    """A strip of the frame that the head's layer is laid on; within `inner` it hides all that is behind it."""

    box: Box
    inner: tuple[int, int]  # left, right; may be empty


class HeadSource(NamedTuple):
    """Where a frame of the head comes from."""

    map: Map  # (height, width, 2) of `MovingHead.box`: the photo pixel that each pixel of the frame shows
    coarse: Map  # (rows, columns, 2): the same of the coarse cells, in cells of the tables


class MovingHead:
    """The head of one face."""

    def __init__(self, tables: HeadTables) -> None:
        self.box: Box = tables.box
        self.background = tables.background
        self._tables = tables
        # (11, 2) of `HeadMotion.coefficients`, of a pose that is limited here; a frame asks for them several times, and
        # engines that share the compositor ask in turns. Nothing of it refers to this head, which is freed at once.
        self.coefficients = lru_cache(maxsize=_KEPT_POSES)(
            lambda pose: tables.motion.coefficients(tables.limits.limited(pose))
        )
        rows, columns = tables.cells.shape[:2]
        self._terms = np.ascontiguousarray(tables.terms.reshape(len(tables.terms), -1).T) / np.float32(tables.cell_px)
        self._places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
        first = tables.cells[0, 0].astype(np.float64)
        self._to_photo = np.c_[tables.cell_px * np.eye(2), first]
        self._corner = np.round(self.box[:2] - first + (tables.cell_px - 1) / 2).astype(int)
        size = np.array(self.box[2:]) - self.box[:2]
        # First and last cells that pixels of the box lie between.
        self._framed = np.clip(
            [self._corner // tables.cell_px - 1, (self._corner + size) // tables.cell_px + 2], 0, [columns, rows]
        )
        left, top = tables.layer_box[:2]
        self._to_fine = np.array([[FINE, 0, -FINE * left], [0, FINE, -FINE * top]], np.float64)
        reach = _NEAR_MOUTH * tables.motion.unit_px
        corners = np.stack([tables.mouth.min(0) - reach, tables.mouth.max(0) + reach])
        near = np.clip(np.round((corners - first) / tables.cell_px), 0, [columns, rows]).astype(int)
        self._mouth_cells, (right, bottom) = near
        left, top = self._mouth_cells
        self._mouth_terms = tables.terms[:, top:bottom, left:right].astype(np.float64)
        self._fit = np.linalg.pinv(np.c_[tables.mouth, np.ones(len(tables.mouth))])

    def source(self, pose: FacePose) -> HeadSource:
        """For each pixel of `box` in the frame, the photo pixel it shows."""
        tables = self._tables
        moves = self.coefficients(pose).astype(np.float32)
        goes = np.asarray((self._terms @ moves).reshape(self._places.shape), np.float32)
        coarse = came_from(goes, self._places)
        (left, top), (right, bottom) = self._framed
        places = cv2.transform(coarse[top:bottom, left:right], self._to_photo)
        dense = cv2.resize(places, ((right - left) * tables.cell_px, (bottom - top) * tables.cell_px))
        left, top = self._corner - tables.cell_px * self._framed[0]
        width, height = tables.box[2] - tables.box[0], tables.box[3] - tables.box[1]
        return HeadSource(np.asarray(dense[top : top + height, left : left + width], np.float32), coarse)

    def bands(self, source: HeadSource) -> list[Band]:
        """Where the layer is to be laid, for the pose that a source was made for."""
        rows, columns = source.coarse.shape[:2]
        cover = remap(self._tables.cover, source.coarse, cv2.INTER_NEAREST)
        cell_px, (shift_x, shift_y) = self._tables.cell_px, self._corner.tolist()
        width, height = self.box[2] - self.box[0], self.box[3] - self.box[1]
        step = max(1, round(_BAND_PX / cell_px))
        firsts = range(0, rows, step)
        # A pixel between two cells may show what is near either.
        ends = np.array([(max(0, first - 1), min(first + step + 1, rows)) for first in firsts]).ravel()
        padded = np.vstack([cover, cover[-1:]])  # or the last band's end would be none
        some = np.maximum.reduceat(padded, ends)[::2] != _NOTHING
        every = np.minimum.reduceat(padded, ends)[::2] == _ALL
        lefts, rights = some.argmax(1).tolist(), (columns - some[:, ::-1].argmax(1)).tolist()
        bands = []
        for first, left, right, has_any, hidden in zip(firsts, lefts, rights, some.any(1).tolist(), every, strict=True):
            top, bottom = max(0, first * cell_px - shift_y), min(height, (first + step) * cell_px - shift_y)
            left, right = max(0, (left - 1) * cell_px - shift_x), min(width, (right + 1) * cell_px - shift_x)
            if bottom <= top or right <= left or not has_any:
                continue
            begin, end = _longest_run(hidden)
            begin, end = (n * cell_px + cell_px // 2 - shift_x for n in (begin, end - 1))
            begin = min(max(begin, left), right)
            bands.append(Band((left, top, right, bottom), (begin, max(begin, min(end, right)))))
        return bands

    def look_up(self, source: HeadSource, frame: Image) -> None:
        """Lay the photo's pixels at a source over `frame`, a copy of the background."""
        left, top, right, bottom = self.box
        picture = frame[top:bottom, left:right]
        for (left, top, right, bottom), inner in self.bands(source):
            part = source.map[top:bottom, left:right]
            at = np.asarray(cv2.transform(part, self._to_fine), np.float32)
            seen = remap(self._tables.fine, at, cv2.INTER_LINEAR)
            whole = picture[top:bottom, left:right]
            first, last = inner[0] - left, inner[1] - left
            if last > first:
                cv2.cvtColor(seen[:, first:last], cv2.COLOR_BGRA2BGR, dst=whole[:, first:last])
            for side in (np.s_[:, :first], np.s_[:, last:]):
                _lay_over(whole[side], seen[side])

    def carry(self, pose: FacePose, points: Points) -> Points:
        """Where points (n, 2) of the mouth, photo pixels, go: (n, 2) pixels of the frame."""
        moves = np.tensordot(self.coefficients(pose), self._mouth_terms, (0, 0))
        cells = (points - self._tables.cells[0, 0]) / self._tables.cell_px - self._mouth_cells
        at = cells[None].astype(np.float32)
        read = [remap(axis, at, cv2.INTER_LINEAR)[0] for axis in moves.astype(np.float32)]
        moved: Points = points + np.stack(read, -1)
        return moved

    def forward(self, pose: FacePose) -> Points:
        """(2, 3) where the mouth goes: from a pixel of the photo at rest to a pixel of the frame, on the average."""
        mouth = self._tables.mouth
        there = mouth + self._tables.mouth_terms @ self.coefficients(pose)
        fitted: Points = (self._fit @ there).T
        return fitted

    def eyes_shift(self, pose: FacePose) -> tuple[int, int]:
        """Whole pixels to the right and down by which the middle between the eyes goes."""
        x, y = np.round(self._tables.eyes_terms @ self.coefficients(pose))
        return int(x), int(y)

    def depth_shift(self, pose: FacePose) -> Points:
        """(2,) photo pixels by which a face unit of depth behind the lips moves on the frame, beside `forward`."""
        return self._tables.motion.depth_shift(self.coefficients(pose))


def _lay_over(picture: Image, layer: NDArray[np.uint8]) -> None:
    """picture := layer + what it leaves of the picture, in place. Args: layer: (h, w, 4) of `fine_photo`."""
    if not picture.shape[1]:
        return
    rest = cv2.cvtColor(cv2.extractChannel(layer, 3), cv2.COLOR_GRAY2BGR)
    behind = cv2.multiply(picture, rest, scale=1 / 255)
    cv2.add(behind, cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), dst=picture)


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """First and one past the last of the longest run of true ones; an empty one at 0 without any."""
    each = flags.tobytes()  # a byte a flag: ten times as fast as with arrays this short
    longest = max(each.split(b"\0"), key=len)
    first = each.find(longest)
    return first, first + len(longest)
