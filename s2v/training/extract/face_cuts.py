"""Pictures cut to the face while a film is decoded, when nobody knows yet where the face will go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAST_MARGIN, _MARGIN = 0.35, 0.45  # of the face's size, kept around it; and where a new place begins
_TOO_LARGE = 2.0  # a place so many times as wide as the face needs is given up
_QUALITY = 95


@dataclass(frozen=True)
class CutPictures:
    """The pictures of a clip, each cut to the face and packed as JPEG."""

    packed: Sequence[NDArray[np.uint8]]
    corners: NDArray[np.int64]  # (n, 2) px, left and top of each on the whole picture
    sizes_px: NDArray[np.int64]  # (n, 2) width and height of each


def cut_to_faces(frames: Iterable[NDArray[np.uint8]], landmarks: NDArray[np.float32]) -> CutPictures:
    """Frames (h, w, 3) BGR cut to where their landmarks (n, 478, 3) are."""
    cuts = FaceCuts()
    for frame, points in zip(frames, landmarks, strict=True):
        cuts.add(frame, points)
    return cuts.pictures()


class _Place(NamedTuple):
    """Part of a picture, px."""

    left: int
    top: int
    right: int
    bottom: int

    def holds(self, other: _Place) -> bool:
        return (
            self.left <= other.left and self.top <= other.top
            and self.right >= other.right and self.bottom >= other.bottom
        )  # fmt: skip


class FaceCuts:
    """Takes frames with their landmarks, one after the other; a place is kept while the face stays in it."""

    def __init__(self) -> None:
        self._packed: list[NDArray[np.uint8]] = []
        self._places: list[_Place] = []
        self._place: _Place | None = None
        self._last: NDArray[np.uint8] | None = None

    def add(self, frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> None:
        """The next frame (h, w, 3) BGR, and its landmarks (478, 3), NaN where no face was found."""
        import cv2

        if frame is self._last:  # a picture that stays on the screen
            self._packed.append(self._packed[-1])
            self._places.append(self._places[-1])
            return
        self._last = frame
        height, width = frame.shape[:2]
        place = _Place(0, 0, width, height)  # before the first face: all of it
        if not np.isnan(landmarks[0, 0]):
            place = self._place = _next_place(self._place, landmarks, (width, height))
        elif self._place is not None:
            place = self._place
        cut = frame[place.top : place.bottom, place.left : place.right]
        self._packed.append(cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
        self._places.append(place)

    def pictures(self) -> CutPictures:
        """All that were added."""
        places = np.array(self._places, np.int64).reshape(-1, 4)
        return CutPictures(self._packed, places[:, :2], places[:, 2:] - places[:, :2])


def _next_place(place: _Place | None, landmarks: NDArray[np.float32], size_px: tuple[int, int]) -> _Place:
    needed = _around(landmarks, _LEAST_MARGIN, size_px)
    if place and place.holds(needed) and place.right - place.left <= _TOO_LARGE * (needed.right - needed.left):
        return place
    return _around(landmarks, _MARGIN, size_px)


def _around(landmarks: NDArray[np.float32], margin: float, size_px: tuple[int, int]) -> _Place:
    """The face with a margin on each side, as far as the picture goes; never empty."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    wide = margin * (high - low).max()
    left, top = np.clip(np.floor(low - wide), 0, np.array(size_px) - 1).astype(int)
    right, bottom = np.clip(np.ceil(high + wide), (left + 1, top + 1), size_px).astype(int)
    return _Place(int(left), int(top), int(right), int(bottom))
