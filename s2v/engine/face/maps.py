"""Maps from pixels to pixels, boxes of them, and the curve that everything fades by."""

from __future__ import annotations

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


@overload
def smoothstep(x: float) -> float: ...


@overload
def smoothstep(x: NDArray[Real]) -> NDArray[Real]: ...


def smoothstep(x: float | NDArray[Real]) -> float | NDArray[Real]:
    """0 below 0, 1 above 1, smooth between; keeps the type."""
    t = (
        min(max(x, 0.0), 1.0) if isinstance(x, float) else np.minimum(np.maximum(x, 0.0), 1.0)
    )  # half of what clip takes
    return t * t * (3 - 2 * t)
