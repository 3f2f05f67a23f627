"""Decoded frames as BGR, and not a level off: what is only passed through must come out as it was.

libswscale's quick way to BGR, which PyAV takes, makes pictures darker by up to four levels, and greys not grey.
Source: Rec. ITU-T H.273, 8.3 (matrix coefficients, colour range); ITU-R BT.601, BT.709, BT.2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # by number in H.273
_LARGE_PX = 720  # lines from which on a film that says nothing is taken for BT.709, as players do
_FULL_RANGE = 2


def colour_space(frame: Any) -> int:
    """The number in H.273 of the matrix that a `VideoFrame` was made with; where it names none, the usual one."""
    space = int(frame.colorspace)
    return space if space in _KR_KB else 1 if frame.height >= _LARGE_PX else 6


def bgr_of(frame: Any) -> NDArray[np.uint8]:
    """A `VideoFrame` as (h, w, 3) BGR, as it is stored: neither turned nor with square pixels."""
    import cv2

    if frame.format.name not in ("yuv420p", "yuvj420p"):
        return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    luma, blue, red = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    height, width = luma.shape
    colours = cv2.resize(cv2.merge([blue, red]), (2 * blue.shape[1], 2 * blue.shape[0]), interpolation=cv2.INTER_LINEAR)
    full = frame.color_range == _FULL_RANGE or frame.format.name == "yuvj420p"
    space = colour_space(frame)
    mixed = cv2.merge([luma, *cv2.split(colours[:height, :width])])
    return np.asarray(cv2.transform(mixed, _to_bgr(space, full)), np.uint8)


def _to_bgr(space: int, full: bool) -> NDArray[np.float64]:
    """(3, 4) from luma and the two colour differences, in 0..255, to B, G, R."""
    kr, kb = _KR_KB[space]
    luma, colour = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    red, blue = 2 * (1 - kr) * colour, 2 * (1 - kb) * colour
    kg = 1 - kr - kb
    rows = np.array([[luma, blue, 0], [luma, -blue * kb / kg, -red * kr / kg], [luma, 0, red]])
    zero = np.array([0.0 if full else 16.0, 128.0, 128.0])
    return np.asarray(np.c_[rows, -rows @ zero], np.float64)
