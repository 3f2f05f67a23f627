"""What is shown behind a person instead of the photo's own background: `--background`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from s2v.engine.face.photo import Image, load_photo
from s2v.errors import S2vError

BLUR = "blur"
# Red, green, blue of CSS's basic colours and of those that calls are keyed by.
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "silver": (192, 192, 192),
    "red": (255, 0, 0),
    "maroon": (128, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "olive": (128, 128, 0),
    "lime": (0, 255, 0),
    "green": (0, 128, 0),
    "teal": (0, 128, 128),
    "aqua": (0, 255, 255),
    "blue": (0, 0, 255),
    "navy": (0, 0, 128),
    "purple": (128, 0, 128),
    "fuchsia": (255, 0, 255),
}
_BLUR_UNITS = 0.16  # standard deviation, in face units


@dataclass(frozen=True, eq=False)
class Background:
    """A colour, a picture, or (neither) the photo's own background blurred."""

    colour: tuple[int, int, int] | None = None  # red, green, blue
    picture: Image | None = None  # (h, w, 3) BGR

    @property
    def blurs(self) -> bool:
        """Whether it is made of the photo's own background."""
        return self.colour is None and self.picture is None

    def behind(self, plate: Image, unit_px: float) -> Image:
        """What to show, as large as the photo.

        Args:
            plate: (h, w, 3) BGR, the photo; if this `blurs`, the photo without the person.
            unit_px: pixels of a face unit.
        """
        height, width = plate.shape[:2]
        if self.colour is not None:
            return np.full_like(plate, self.colour[::-1])
        if self.picture is not None:
            return _covering(self.picture, width, height)
        return np.asarray(cv2.GaussianBlur(plate, (0, 0), _BLUR_UNITS * unit_px), np.uint8)


def parse_background(text: str) -> Background:
    """ "blur", a colour (its name, "#rrggbb" or "r,g,b") or a picture's path. A file wins over nothing but a path.

    Raises: S2vError, it is none of them. FaceError, the file is no picture.
    """
    if text == BLUR:
        return Background()
    colour = _colour(text)
    if colour is not None:
        return Background(colour=colour)
    path = Path(text)
    if not path.is_file():
        raise S2vError(
            f"--background {text!r} is no file, no colour and not {BLUR!r}: give a picture's path, "
            f"a colour ({', '.join(list(COLOURS)[:3])} ..., '#rrggbb' or 'r,g,b') or {BLUR!r}"
        )
    return Background(picture=load_photo(path))


def _colour(text: str) -> tuple[int, int, int] | None:
    """Red, green, blue; None for what is not written as a colour. Raises: S2vError, it is, and wrongly."""
    name = text.strip().lower()
    if name in COLOURS:
        return COLOURS[name]
    if re.fullmatch(r"#[0-9a-f]{6}", name):
        return int(name[1:3], 16), int(name[3:5], 16), int(name[5:], 16)
    if re.fullmatch(r"\d+\s*,\s*\d+\s*,\s*\d+", name):
        red, green, blue = (int(n) for n in name.split(","))
        if max(red, green, blue) <= 255:
            return red, green, blue
        raise S2vError(f"--background {text!r}: red, green and blue go from 0 to 255")
    if name.startswith("#"):
        raise S2vError(f"--background {text!r} is not a colour: give six hexadecimal digits, as '#1e90ff'")
    return None


def _covering(picture: Image, width: int, height: int) -> Image:
    """The middle of a picture, scaled so that it just covers a frame."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)
