"""Pictures of a video as a player shows them: turned and mirrored as the camera says, with square pixels.

Sources: ISO/IEC 14496-12, 6.2.2 (the matrix of a track); Rec. ITU-T H.264, annex E (the shape of a sample).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.media.pictures.frame_colours import colour_space

_MOST = 4.0  # times longer than wide, or wider than long: a pixel that is more comes from a damaged header


def pixel_elongation(track: Any) -> float:
    """How many times wider than high the pixels of a `VideoStream` are; 1 where it does not say, or nonsense."""
    ratio = track.sample_aspect_ratio
    return float(ratio) if ratio and 1 / _MOST <= ratio <= _MOST else 1.0


Matrix = tuple[int, int, int, int]


class FilmMatrix:
    """The matrix of a film's frames, read again only where the frame's rotation is another than that of the one before.

    PyAV's side data and their frame hold each other: some hundred frames wait for the garbage collector, a gigabyte of
    4K.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._matrix: Matrix | None = None

    def of(self, frame: Any) -> Matrix | None:
        """See `display_matrix`."""
        if frame.rotation != self._rotation:
            self._rotation, self._matrix = frame.rotation, display_matrix(frame)
        return self._matrix


def as_shown(
    frame: Any, elongation: float = 1.0, max_side_px: int | None = None, film: FilmMatrix | None = None
) -> NDArray[np.uint8]:
    """A decoded `VideoFrame` as (h, w, 3) BGR, upright; the shorter side of its pixels is stretched.

    Its levels are off by two on average, see `frame_colours`, and it costs a fifth of that (docs/LOG.md).

    Args:
        max_side_px: a larger picture is made so large, before its colours are converted, which costs by the pixel.
        film: of which it is a frame, where there are many.
    """
    matrix = (film or FilmMatrix()).of(frame)
    frame.colorspace = colour_space(frame)  # where none is named, libswscale takes BT.601 for all
    width, height = frame.width * max(elongation, 1), frame.height * max(1 / elongation, 1)
    scale = 1.0 if max_side_px is None else max_side_px / max(width, height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame_of_size = frame.reformat(width=size[0], height=size[1], format="bgr24", interpolation="AREA")
        return upright(np.asarray(frame_of_size.to_ndarray(), np.uint8), matrix)
    return as_watched(frame.to_ndarray(format="bgr24"), elongation, matrix)


def as_watched(picture: NDArray[np.uint8], elongation: float, matrix: Matrix | None) -> NDArray[np.uint8]:
    """The pixels of a frame, (h, w, 3), stretched and upright as by `as_shown`; `matrix` as of `FilmMatrix`."""
    import cv2

    if abs(elongation - 1) > 0.005:
        height, width = picture.shape[:2]
        size = (round(width * max(elongation, 1)), round(height * max(1 / elongation, 1)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return upright(picture, matrix)


def display_matrix(frame: Any) -> Matrix | None:
    """(a, b, c, d) that take a decoded pixel to its place, x' = a x + c y, y' = b x + d y; None: it stays."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    values = np.frombuffer(found, np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def upright(picture: NDArray[np.uint8], matrix: Matrix | None) -> NDArray[np.uint8]:
    """The picture turned by the quarter turn, and mirrored, that is nearest to a matrix of `display_matrix`."""
    if matrix is None:
        return picture
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    picture = picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(picture)
