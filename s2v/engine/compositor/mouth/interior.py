"""Draws the inside of a mouth between the lips of a frame: layers from back to front, shaded by the opening.

Back to front: cavity, tongue, lower teeth (on the jaw), the tongue's tip between the teeth, upper teeth (on the
skull), the lower lip tucked under them. Each layer says how much light it throws back; colours come last.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.interior_tables import (
    JAW_SHARE,
    LOWER_DEPTH,
    TONGUE_DEPTH,
    UPPER_DEPTH,
    InteriorTables,
)
from s2v.engine.compositor.mouth.opening import (
    MARGIN,
    SHADOW_LENGTH,
    Opening,
    apart,
    edge_blur_px,
    light_through,
    lip_gap,
    open_share,
    widened,
)
from s2v.engine.compositor.mouth.teeth_texture import Texture
from s2v.engine.compositor.mouth.tongue import behind_teeth, between, lip_tucked, tongue_between
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image

FACING: Points = np.zeros(2)  # `depth_shift` of a head that is turned as on the photo
_NO_TEETH = (0.0, 0.0, 1.0)  # beyond the rows: no light, all of what is behind


class Seen(NamedTuple):
    """A part of the window that shows the inside of the mouth."""

    left: int
    top: int
    width: int
    height: int


class MouthInterior:
    """The inside of one face's mouth. Args: tables: only read."""

    def __init__(self, tables: InteriorTables) -> None:
        self._tables = tables
        left, top, right, bottom = tables.window
        self._size = (right - left, bottom - top)
        self._row_to_window, self._grid_to_window = (
            np.vstack([affine, [0, 0, 1]]) for affine in (tables.row_to_window, tables.grid_to_window)
        )
        self._exponents = tables.shade_exponents
        self._edge_px = edge_blur_px(tables.unit_px, tables.blur_px)

    def draw(
        self,
        mouth: Image,
        outline: Points,
        carry: Points,
        motion: NDArray[np.float32],
        tract: NDArray[np.float32],
        depth_shift: Points = FACING,
    ) -> None:
        """Draw into a picture of the window, in place; nothing for closed lips.

        Args:
            mouth: (h, w, 3) BGR. outline: (20, 2) inner edge of the lips in its pixels, as `LayeredWarp.mouth_outline`.
            carry: (2, 3) from the window's pixels at rest to where the head has carried them.
            motion: (n_motion,). tract: (5,) of `TRACT_VARIABLES`.
            depth_shift: (2,) where the head turns what is behind the lips: pixels of the window for each face unit.
        """
        gap_px, down = lip_gap(outline)
        share = apart(gap_px, self._tables.unit_px)
        if share == 0:
            return
        seen = self._part(outline)
        if not seen.width or not seen.height:
            return
        opening = self.opening(outline, seen, gap_px, down, float(tract[4]))
        paint = self.layers(seen, carry, motion, tract, depth_shift)
        part = mouth[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
        self.paste(part, paint, opening, share)

    def opening(self, outline: Points, seen: Seen, gap_px: float, down: Points, dental: float) -> Opening:
        """Where and how brightly the inside of the mouth shows in a part of the window.

        Args: gap_px, down: of `lip_gap`. dental: `tongue_dental` of `TRACT_VARIABLES`.
        """
        unit_px = self._tables.unit_px
        inside = widened(outline - [seen.left, seen.top], down, MARGIN * unit_px)
        gate = open_share(inside, (seen.width, seen.height), self._edge_px)
        opened = light_through(gate, gap_px, down, unit_px)
        if out := between(dental):  # a tongue between the teeth lies on the lower lip
            return Opening(opened.cover, opened.light, opened.lower_lip * np.float32(1 - out))
        return opened

    def layers(
        self,
        seen: Seen,
        carry: Points,
        motion: NDArray[np.float32],
        tract: NDArray[np.float32],
        depth_shift: Points = FACING,
    ) -> NDArray[np.float32]:
        """What a part of the window shows in full light: (3, h, w) B, G, R in [0, 255]. Args: as of `draw`."""
        tables = self._tables
        height, front, tip, tuck, dental = (float(x) for x in tract)
        chin = motion.astype(np.float64) @ tables.chin_moves
        jaw_px = tables.plane_to_window[:, :2] @ (JAW_SHARE * chin)
        lower_v = tables.lower_v + JAW_SHARE * float(chin[1])
        to_part = _moved(carry, np.array([-seen.left, -seen.top]))
        at_upper, at_lower, at_tongue = (
            _moved(to_part, depth * depth_shift) for depth in (UPPER_DEPTH, LOWER_DEPTH, TONGUE_DEPTH)
        )
        size = (seen.width, seen.height)
        shares = np.empty((4, *size[::-1]), np.float32)
        teeth, flesh, cavity, lip = shares

        behind = behind_teeth(lower_v, float(chin[1]), height, front, tip)
        behind_flesh, behind_cavity, shade = cv2.split(self._soft(behind.merged(), at_tongue, size))
        tooth_light, gum_light, bare = cv2.split(
            self._row(tables.lower, _moved(at_lower, at_lower[:, :2] @ jaw_px), size)
        )
        np.multiply(behind_flesh, bare, out=flesh)
        flesh += gum_light * shade
        np.multiply(behind_cavity, bare, out=cavity)
        np.multiply(tooth_light, shade, out=teeth)
        if (tongue := tongue_between(lower_v, dental)) is not None:
            light, cover = cv2.split(self._soft(tongue, at_upper, size))
            shares[:3] *= 1 - cover
            flesh += light
        tooth_light, gum_light, bare = cv2.split(self._row(tables.upper, at_upper, size))
        shares[:3] *= bare
        teeth += tooth_light
        flesh += gum_light
        if (tucked := lip_tucked(tuck)) is not None:
            lip[:], cover = cv2.split(self._soft(tucked, at_upper, size))
            shares[:3] *= 1 - cover
            used = 4
        else:
            used = 3
        colours = tables.colours[:, :used] @ shares[:used].reshape(used, -1)
        return colours.reshape(3, *size[::-1])

    def paste(self, part: Image, paint: NDArray[np.float32], opening: Opening, share: float) -> None:
        """Lay `layers` into the frame, shaded."""
        log_light = np.log(opening.light)
        for level, lip, power in zip(paint, self._tables.inner_lip, self._exponents, strict=True):
            level += opening.lower_lip * (lip - level)
            level *= np.exp(power * log_light)
        cover = opening.cover * np.float32(share)
        mixed = [old + cover * (level - old) for level, old in zip(paint, cv2.split(part), strict=True)]
        part[:] = cv2.convertScaleAbs(cv2.merge(mixed))

    def _part(self, outline: Points) -> Seen:
        """The part of the window that an opening can change, with room for its edge and its shadow."""
        room = (MARGIN + SHADOW_LENGTH) * self._tables.unit_px + 3 * self._edge_px + 1
        left, top = np.clip(np.floor(outline.min(0) - room), 0, self._size).astype(int)
        right, bottom = np.clip(np.ceil(outline.max(0) + room) + 1, 0, self._size).astype(int)
        return Seen(int(left), int(top), int(right - left), int(bottom - top))

    def _row(self, row: Texture, to_part: Points, size: tuple[int, int]) -> Texture:
        """A row of teeth as a part of the window shows it."""
        return np.asarray(cv2.warpAffine(row, to_part @ self._row_to_window, size, borderValue=_NO_TEETH), np.float32)

    def _soft(self, shapes: NDArray[np.float32], to_part: Points, size: tuple[int, int]) -> NDArray[np.float32]:
        """Shapes on the grid of `tongue` as a part of the window shows them, (h, w, k)."""
        grid = to_part @ self._grid_to_window
        return np.asarray(cv2.warpAffine(shapes, grid, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _moved(affine: Points, by: Points) -> Points:
    """A (2, 3) map, and then a move by (2,)."""
    moved = affine.astype(np.float64)
    moved[:, 2] += by
    return moved
