"""Pictures that tests read back: where OpenCV gives None for what is no picture, these fail."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from s2v.engine.face.photo import Image


def read_picture(path: Path) -> Image:
    """A file, (height, width, 3) BGR."""
    return decode_picture(path.read_bytes())


def decode_picture(content: bytes) -> Image:
    """A file's content, (height, width, 3) BGR."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)
