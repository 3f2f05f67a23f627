"""Where paint may show between the lips, and the line where lips meet that were apart on the photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.inside_edges import parted
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image

OPENING_MARGIN = 0.012  # face units: paint reaches that far under the edges of the lips
FADE_IN = 2.0  # margins: paint is fully there when the lips are that far apart
LIGHT_REACH = 0.03  # face units: teeth that far behind the lips are lit by what is open around them
DARKEST, FULLY_LIT = 0.12, 0.9  # light in the narrowest slit; share of the surroundings open from which on it is full
LINE_WIDTH, LINE_STRENGTH = 0.007, 0.4  # of the line where closed lips meet: face units; of one
_LINE_DARKNESS = 0.4  # of the lips' own colour
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
        apart = np.clip(_widest_gap(outline) / (FADE_IN * self._unit_px * OPENING_MARGIN), 0, 1)
        if self._colour is None or apart == 1:
            return
        mask = np.zeros(mouth.shape[:2], np.uint8)
        half = len(outline) // 2
        middle = (outline[1:half] + outline[half + 1 :][::-1]) / 2
        fixed = np.round(np.concatenate([outline[:1], middle, outline[half : half + 1]]) * 16).astype(np.int32)
        width_px = LINE_WIDTH * self._unit_px
        cv2.polylines(mask, [fixed], False, 255, pen_px(width_px), cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), line_blur_px(width_px))
        cover = (soft.astype(np.float32) * np.float32(LINE_STRENGTH * (1 - apart) / 255))[..., None]
        # A line darkens; where the photo is darker already, it stays.
        mouth[:] = (mouth + cover * np.minimum(self._colour - mouth, 0)).astype(np.uint8)


def lip_line_colour(face: EnrolledFace) -> NDArray[np.float32] | None:
    """BGR of the line where closed lips meet, (3,): their own colour, darker. None: they touch on the photo."""
    if not parted(face.canonical):
        return None
    pairs = np.array(_BETWEEN_LIP_EDGES)
    middle = face.landmarks[pairs, :2].mean(1)
    height, width = face.photo.shape[:2]
    x, y = np.clip(np.round(middle).astype(int), 0, [width - 1, height - 1]).T
    return np.asarray(face.photo[y, x].mean(0), np.float32) * np.float32(_LINE_DARKNESS)


def pen_px(width_px: float) -> int:
    """The thickness that OpenCV draws a line of that width with."""
    return max(1, round(width_px))


def line_blur_px(width_px: float) -> float:
    """Standard deviation that makes the line where lips meet soft."""
    return max(0.6, 0.5 * width_px)


def edge_blur_px(margin_px: float) -> float:
    """Standard deviation that makes the edge of the opening soft."""
    return max(0.5, margin_px)


def paint_cover(alpha: NDArray[np.float32], gate: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far paint covers the warp: `alpha` decides only at the soft edge of the opening.

    Inside, the warped photo would show teeth of its own above the painted ones.

    Args:
        alpha: of the network. gate: `opening_mask`. All arrays (height, width) in [0, 1].
    """
    cover: NDArray[np.float32] = gate * np.maximum(alpha, np.clip(2 * gate - 1, 0, 1))
    return cover


def opening_mask(outline: Points, size: tuple[int, int], margin_px: float) -> NDArray[np.float32]:
    """Soft mask of the opening between the lips, (height, width) in [0, 1]; empty for closed lips.

    Args:
        outline: (n, 2) polygon in pixels. margin_px: how far the edge reaches under the lips.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    fixed = np.round(outline * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
    cv2.polylines(mask, [fixed], True, 255, pen_px(2 * margin_px), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (0, 0), edge_blur_px(margin_px))
    # The margin alone must not paint a line over closed lips, nor over lips pressed past each other.
    return soft.astype(np.float32) * np.float32(np.clip(_widest_gap(outline) / (FADE_IN * margin_px), 0, 1) / 255)


def light_between(gate: NDArray[np.float32], unit_px: float) -> NDArray[np.float32]:
    """How much light falls between lips, (h, w) in [0, 1]: behind a slit, a lip's edge and in the corners it is dark.

    Teeth are lit through the opening, so their light is the open share of what surrounds them
    (ambient occlusion: Zhukov, Iones, Kronin, "An ambient light illumination model", 1998).

    Args:
        gate: `opening_mask`. unit_px: pixels of a face unit.
    """
    open_share = cv2.GaussianBlur(gate, (0, 0), LIGHT_REACH * unit_px, borderType=cv2.BORDER_CONSTANT)
    lit: NDArray[np.float32] = DARKEST + (1 - DARKEST) * np.clip(open_share / np.float32(FULLY_LIT), 0, 1)
    return lit.astype(np.float32, copy=False)


def _widest_gap(outline: Points) -> float:
    """Pixels between the lips where they are furthest apart, negative where they overlap, however the head is rolled.

    Args:
        outline: (2k, 2), the upper lip from corner to corner, then the lower lip back.
    """
    half = len(outline) // 2
    across = outline[half] - outline[0]
    down = np.array([-across[1], across[0]]) / (np.hypot(*across) + 1e-9)
    return float(((outline[half + 1 :][::-1] - outline[1:half]) @ down).max())
