"""A photo as people have it, from a file or its bytes: decoded, upright, scaled to what a frame may be."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.picture_size import picture_size
from s2v.errors import FaceError

Image = NDArray[np.uint8]  # (h, w, 3) BGR

MAX_SIDE_PX = 1080
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 80_000_000


def load_photo(path: Path, max_side_px: int = MAX_SIDE_PX) -> Image:
    """Read a jpg, png or webp as BGR, upright, at most `max_side_px` on the long side, even sides.

    Raises: FaceError, the file is missing, empty, not an image or absurdly large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe may never begin, a device never end
            raise FaceError(f"{path} is a folder, a pipe or a device and no file: give a jpg, png or webp")
        size_bytes = status.st_size
        if size_bytes > MAX_FILE_BYTES:
            limit = MAX_FILE_BYTES >> 20
            raise FaceError(f"{path} has {size_bytes >> 20} MiB; a photo may have {limit}: scale it down first")
        data = path.read_bytes()
    except OSError as error:
        raise FaceError(f"cannot read the photo {path}: {error.strerror or error}; check the path") from None
    return decode_photo(data, str(path), max_side_px)


def decode_photo(data: bytes, name: str = "the photo", max_side_px: int = MAX_SIDE_PX) -> Image:
    """Like `load_photo`, from bytes."""
    size = picture_size(data)
    if size and size[0] * size[1] > MAX_PIXELS:  # told before unpacking, which can take gigabytes
        raise FaceError(f"{name} has {size[0]}x{size[1]} px; scale it below {MAX_PIXELS // 10**6} MP")
    image = None
    if size:
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise FaceError(f"{name} is not an image that can be read ({len(data)} bytes): give a jpg, png or webp")
    return fit_photo(np.asarray(image, np.uint8), max_side_px)


def fit_photo(image: Image, max_side_px: int = MAX_SIDE_PX) -> Image:
    """Scale down to `max_side_px` on the long side and cut to even sides (video wants them)."""
    image, _ = shrunk(image, max_side_px)
    height, width = (n & ~1 for n in image.shape[:2])
    if min(height, width) < 2:
        raise FaceError(f"the photo is {image.shape[1]}x{image.shape[0]} px: give a larger one")
    return np.ascontiguousarray(image[:height, :width])


def shrunk(image: Image, max_side_px: int) -> tuple[Image, float]:
    """The picture with at most `max_side_px` on the long side, and its scale; itself and 1 if it is no larger."""
    scale = min(1.0, max_side_px / max(image.shape[:2]))
    if scale == 1.0:
        return image, scale
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale
