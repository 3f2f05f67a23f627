"""Pictures of a video as a player shows them: turned and mirrored as the camera says, with square pixels.

Sources: ISO/IEC 14496-12, 6.2.2 (the matrix of a track); Rec. ITU-T H.264, annex E (the shape of a sample).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 4.0  # times longer than wide, or wider than long: a pixel that is more comes from a damaged header


def pixel_elongation(track: Any) -> float:
    """How many times wider than high the pixels of a `VideoStream` are; 1 where it does not say, or nonsense."""
    ratio = track.sample_aspect_ratio
    return float(ratio) if ratio and 1 / _MOST <= ratio <= _MOST else 1.0


def as_shown(frame: Any, elongation: float = 1.0, max_side_px: int | None = None) -> NDArray[np.uint8]:
    """A decoded `VideoFrame` as (h, w, 3) BGR, upright; the shorter side of its pixels is stretched.

    Args: max_side_px: a larger picture is made so large, before its colours are converted, which costs by the pixel.
    """
    import cv2

    width, height = frame.width * max(elongation, 1), frame.height * max(1 / elongation, 1)
    scale = 1.0 if max_side_px is None else max_side_px / max(width, height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame_of_size = frame.reformat(width=size[0], height=size[1], format="bgr24", interpolation="AREA")
        return upright(np.asarray(frame_of_size.to_ndarray(), np.uint8), display_matrix(frame))
    picture: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    if abs(elongation - 1) > 0.005:
        size = (round(width), round(height))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return upright(picture, display_matrix(frame))


def display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """(a, b, c, d) that take a decoded pixel to its place, x' = a x + c y, y' = b x + d y; None: it stays."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    values = np.frombuffer(found, np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def upright(picture: NDArray[np.uint8], matrix: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """The picture turned by the quarter turn, and mirrored, that is nearest to a matrix of `display_matrix`."""
    if matrix is None:
        return picture
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    picture = picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(picture)
