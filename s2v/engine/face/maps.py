"""Maps from pixels to pixels and their inverses, boxes of pixels, and the curve that everything fades by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]  # (h, w, 2): where each pixel looks, x y
Box = tuple[int, int, int, int]  # left, top, right, bottom in photo pixels
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Real = TypeVar("Real", bound=np.floating)


def remap(image: NDArray[Pixel], source: Map, interpolation: int = cv2.INTER_CUBIC) -> NDArray[Pixel]:
    """`image` seen through a map (h, w, 2) of x, y: what `LayeredWarp.source_map` gives. Edges repeat."""
    look_up: Any = cv2.remap  # OpenCV's own types differ by release on whether the second map may be None
    return np.asarray(look_up(image, source, None, interpolation, borderMode=cv2.BORDER_REPLICATE), image.dtype)


def backward(forward: Map, cells: Map, shares: Sequence[float]) -> Map:
    """How far back each cell of a grid looks, by fixed-point iteration: b(x) = f(x - b(x)), (rows, columns, 2) cells.

    Args:
        forward: (rows, columns, 2) how far each cell goes, in cells: a smooth field without folds.
        cells: (rows, columns, 2) the cells' own places. shares: how far each step goes, 0 to 1; one for each step.
    """
    back = forward
    for share in shares:
        there = remap(forward, cells - back, cv2.INTER_LINEAR)
        back = there if share == 1 else np.asarray(cv2.addWeighted(there, share, back, 1 - share, 0), np.float32)
    return back


@overload
def smoothstep(x: float) -> float: ...


@overload
def smoothstep(x: NDArray[Real]) -> NDArray[Real]: ...


def smoothstep(x: float | NDArray[Real]) -> float | NDArray[Real]:
    """0 below 0, 1 above 1, smooth between; keeps the type."""
    # np.clip takes twice as long.
    t = min(max(x, 0.0), 1.0) if isinstance(x, float) else np.minimum(np.maximum(x, 0.0), 1.0)
    return t * t * (3 - 2 * t)
