"""The line where lips meet that were apart on the photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.inside_edges import parted
from s2v.engine.compositor.mouth.opening import apart, lip_gap
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image

LINE_WIDTH, LINE_STRENGTH = 0.007, 0.4  # of the line where closed lips meet: face units; of one
_LINE_DARKNESS = 0.4  # of the lips' own colour
_LINE_TINT = np.array([0.9, 0.9, 1.15], np.float32)  # B, G, R: lips are redder where they shade each other
_BETWEEN_LIP_EDGES = ((13, 0), (14, 17), (82, 37), (312, 267), (87, 84), (317, 314))  # mesh points in and out


class LipLine:
    """Darkens where closed lips meet, if they were apart on the photo and so have no line there.

    Args:
        colour: of `lip_line_colour`; None draws nothing. unit_px: pixels of a face unit.
    """

    def __init__(self, colour: NDArray[np.float32] | None, unit_px: float) -> None:
        self._colour = colour
        self._unit_px = unit_px

    def draw(self, mouth: Image, outline: Points) -> None:
        """Draw the line into a picture of the mouth, fainter the wider the lips are open.

        Args:
            mouth: (h, w, 3), changed in place. outline: (2k, 2) inner edge of the lips in its pixels.
        """
        if self._colour is None or (open_share := apart(lip_gap(outline)[0], self._unit_px)) == 1:
            return
        width_px = LINE_WIDTH * self._unit_px
        room = int(4 * line_blur_px(width_px) + width_px) + 3  # beyond it, the line's blur has ended
        left, top = np.clip(np.floor(outline.min(0)).astype(int) - room, 0, mouth.shape[1::-1])
        right, bottom = np.clip(np.ceil(outline.max(0)).astype(int) + room, 0, mouth.shape[1::-1])
        part, outline = mouth[top:bottom, left:right], outline - [left, top]
        if not part.size:
            return
        mask = np.zeros(part.shape[:2], np.uint8)
        half = len(outline) // 2
        middle = (outline[1:half] + outline[half + 1 :][::-1]) / 2
        fixed = np.round(np.concatenate([outline[:1], middle, outline[half : half + 1]]) * 16).astype(np.int32)
        cv2.polylines(mask, [fixed], False, 255, pen_px(width_px), cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), line_blur_px(width_px))
        cover = (soft.astype(np.float32) * np.float32(LINE_STRENGTH * (1 - open_share) / 255))[..., None]
        # A line darkens; where the photo is darker already, it stays.
        part[:] = (part + cover * np.minimum(self._colour - part, 0)).astype(np.uint8)


def lip_line_colour(face: EnrolledFace) -> NDArray[np.float32] | None:
    """BGR of the line where closed lips meet, (3,): their own colour, darker. None: they touch on the photo."""
    if not parted(face.canonical):
        return None
    pairs = np.array(_BETWEEN_LIP_EDGES)
    middle = face.landmarks[pairs, :2].mean(1)
    height, width = face.photo.shape[:2]
    x, y = np.clip(np.round(middle).astype(int), 0, [width - 1, height - 1]).T
    seen = face.photo[y, x].astype(np.float32)
    # The more colourful half: a highlight on the lips is white, and its shade would be grey.
    colour = seen[np.argsort(np.ptp(seen, axis=1))[len(seen) // 2 :]].mean(0)
    return np.asarray(colour, np.float32) * np.float32(_LINE_DARKNESS) * _LINE_TINT


def pen_px(width_px: float) -> int:
    """The thickness that OpenCV draws a line of that width with."""
    return max(1, round(width_px))


def line_blur_px(width_px: float) -> float:
    """Standard deviation that makes the line where lips meet soft."""
    return max(0.9, 0.6 * width_px)
