"""Draws the inside of a mouth between the lips of a frame: layers from back to front, shaded by the opening.

Back to front: cavity, tongue, lower teeth (on the jaw), the tongue's tip between the teeth, upper teeth (on the
skull), the lower lip tucked under them. Each layer says how much light it throws back; colours come last.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.interior_tables import InteriorTables
from s2v.engine.compositor.mouth.opening import (
    EDGE_BLUR,
    LEAST_BLUR_PX,
    MARGIN,
    SHADOW_LENGTH,
    Opening,
    Plane,
    apart,
    light_through,
    lip_gap,
    open_share,
    widened,
)
from s2v.engine.compositor.mouth.teeth_texture import Texture
from s2v.engine.compositor.mouth.tongue import lip_tucked, tongue_between, tongue_body, tongue_tip
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image

Box = tuple[int, int, int, int]


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
        self._edge_px = float(np.hypot(max(LEAST_BLUR_PX, EDGE_BLUR * tables.unit_px), tables.blur_px))

    def draw(
        self,
        mouth: Image,
        outline: Points,
        carry: Points,
        motion: NDArray[np.float32],
        tract: NDArray[np.float32],
    ) -> None:
        """Draw into a picture of the window, in place; nothing for closed lips.

        Args:
            mouth: (h, w, 3) BGR. outline: (20, 2) inner edge of the lips in its pixels, as `LayeredWarp.mouth_outline`.
            carry: (2, 3) from the window's pixels at rest to where the head has carried them.
            motion: (n_motion,). tract: (4,) of `TRACT_VARIABLES`.
        """
        gap_px, down = lip_gap(outline)
        share = apart(gap_px, self._tables.unit_px)
        if share == 0:
            return
        seen = self._part(outline)
        if not seen.width or not seen.height:
            return
        opening = self.opening(outline, seen, gap_px, down)
        paint = self.layers(seen, carry, motion, tract)
        part = mouth[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
        self.paste(part, paint, opening, share)

    def opening(self, outline: Points, seen: Seen, gap_px: float, down: Points) -> Opening:
        """Where and how brightly the inside of the mouth shows in a part of the window."""
        unit_px = self._tables.unit_px
        inside = widened(outline - [seen.left, seen.top], down, MARGIN * unit_px)
        return light_through(open_share(inside, (seen.width, seen.height), self._edge_px), gap_px, down, unit_px)

    def layers(
        self, seen: Seen, carry: Points, motion: NDArray[np.float32], tract: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What a part of the window shows in full light: (h, w, 3) BGR in [0, 255]."""
        tables = self._tables
        height, front, tip, tuck = (float(x) for x in tract)
        jaw = motion.astype(np.float64) @ tables.jaw_moves
        to_part = carry - np.array([[0, 0, seen.left], [0, 0, seen.top]])
        u, v = self._plane(to_part, seen)
        u -= np.float32(tables.middle_u)
        lower_v, upper_v = tables.lower_v + jaw[1], tables.upper_v
        size = (seen.width, seen.height)
        cavity, flesh, teeth = np.ones(size[::-1], np.float32), np.float32(0), np.float32(0)

        flesh_light, cover = tongue_body(u, v, lower_v, jaw[1], height, front)
        cavity, flesh = cavity * (1 - cover), flesh_light * cover
        flesh_light, cover = tongue_tip(u, v, lower_v, upper_v, tip, front)
        cavity, flesh = cavity * (1 - cover), flesh + (flesh_light - flesh) * cover

        jaw_px = tables.plane_to_window[:, :2] @ jaw
        cavity, flesh, teeth = _lay(_moved(tables.lower, to_part, jaw_px, size), cavity, flesh, teeth)
        flesh_light, cover = tongue_between(u, v, lower_v, upper_v, tip, front)
        cavity, teeth, flesh = cavity * (1 - cover), teeth * (1 - cover), flesh + (flesh_light - flesh) * cover
        cavity, flesh, teeth = _lay(_moved(tables.upper, to_part, np.zeros(2), size), cavity, flesh, teeth)

        lip, cover = lip_tucked(u, v, upper_v, tuck)
        bare = 1 - cover
        planes = cv2.merge([teeth * bare, flesh * bare, cavity * bare, lip * cover])
        return np.asarray(cv2.transform(planes, tables.colours), np.float32)

    def paste(self, part: Image, paint: NDArray[np.float32], opening: Opening, share: float) -> None:
        """Lay `layers` into the frame, shaded."""
        blue, green, red = self._tables.shade_exponents
        log_light = np.log(opening.light)
        cool = np.exp(blue * log_light)
        shade = cv2.merge([cool, cool if green == blue else np.exp(green * log_light), np.exp(red * log_light)])
        cover = cv2.merge([opening.cover * np.float32(share)] * 3)  # faster than broadcasting
        part[:] = np.clip(part + cover * (paint * shade - part) + 0.5, 0, 255).astype(np.uint8)

    def _part(self, outline: Points) -> Seen:
        """The part of the window that an opening can change, with room for its edge and its shadow."""
        room = (MARGIN + SHADOW_LENGTH) * self._tables.unit_px + 3 * self._edge_px + 1
        left, top = np.clip(np.floor(outline.min(0) - room), 0, self._size).astype(int)
        right, bottom = np.clip(np.ceil(outline.max(0) + room) + 1, 0, self._size).astype(int)
        return Seen(int(left), int(top), int(right - left), int(bottom - top))

    def _plane(self, to_part: Points, seen: Seen) -> tuple[Plane, Plane]:
        """u and v of each pixel of a part in the face plane as the head carries it, (h, w) each."""
        whole = np.vstack([to_part, [0, 0, 1]]) @ np.vstack([self._tables.plane_to_window, [0, 0, 1]])
        back = np.linalg.inv(whole)[:2]
        x, y = np.arange(seen.width), np.arange(seen.height)[:, None]
        u, v = ((row[0] * x + row[2]).astype(np.float32) + (row[1] * y).astype(np.float32) for row in back)
        return u, v


def _moved(row: Texture, to_part: Points, by_px: Points, size: tuple[int, int]) -> Texture:
    """A row of teeth as a part of the window shows it, moved on the skull first."""
    grid = np.c_[to_part[:, :2], to_part[:, 2] + to_part[:, :2] @ by_px]
    if np.array_equal(grid, np.round(grid)) and np.array_equal(grid[:, :2], np.eye(2)):
        left, top = (-grid[:, 2]).astype(int)
        return row[top : top + size[1], left : left + size[0]]
    return np.asarray(cv2.warpAffine(row, grid, size, flags=cv2.INTER_CUBIC), np.float32)


def _lay(row: Texture, cavity: Plane, flesh: Plane, teeth: Plane | np.float32) -> tuple[Plane, Plane, Plane]:
    """A row of teeth over what is behind it."""
    tooth_light, gum_light, cover = cv2.split(row)
    bare = 1 - cover
    return cavity * bare, flesh * bare + gum_light, teeth * bare + tooth_light
