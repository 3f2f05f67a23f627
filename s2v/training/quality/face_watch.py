"""What the gates want to know of each picture while a film is decoded, beside its landmarks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.detection import FaceDetector, open_detector
from s2v.training.quality.cuts import LOOK_PX, face_look
from s2v.training.quality.findings import SeenPictures

_FACES_EVERY = 12  # pictures, half a second: how many faces are shown


class FaceWatch:
    """Takes the pictures of a film with their landmarks, one after the other. To be used in a `with` statement."""

    def __init__(self) -> None:
        self._opening = open_detector()
        self._detector: FaceDetector | None = None
        self._size_px = (0, 0)
        self._landmarks: list[NDArray[np.float32]] = []
        self._looks: list[NDArray[np.uint8]] = []
        self._other_faces: list[float] = []
        self._last: NDArray[np.uint8] | None = None

    def __enter__(self) -> Self:
        self._detector = self._opening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detector = None
        self._opening.__exit__(kind, error, trace)

    def add(self, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> None:
        """The next picture (h, w, 3) BGR, and its landmarks (478, 3) in pixels, NaN where no face was found."""
        assert self._detector is not None, "use it in a with statement"
        if len(self._landmarks) % _FACES_EVERY == 0:
            self._other_faces.append(_second_face(self._detector, picture))
        if picture is not self._last:
            nobody = bool(np.isnan(landmarks[0, 0]))
            look = np.zeros((LOOK_PX, LOOK_PX, 3), np.uint8) if nobody else face_look(picture, landmarks)
            self._size_px = (picture.shape[1], picture.shape[0])
        else:
            look = self._looks[-1]  # it stays on the screen
        self._last = picture
        self._looks.append(look)
        self._landmarks.append(landmarks)

    def pictures(self, times_s: NDArray[np.float64]) -> SeenPictures:
        """All that were added, at their moments (n,)."""
        return SeenPictures(
            size_px=self._size_px,
            landmarks=np.array(self._landmarks, np.float32).reshape(-1, 478, 3),
            times_s=times_s,
            looks=np.array(self._looks, np.uint8).reshape(-1, LOOK_PX, LOOK_PX, 3),
            other_faces=np.array(self._other_faces),
        )


def _second_face(detector: FaceDetector, picture: NDArray[np.uint8]) -> float:
    """Its size over that of the largest; 0, there is one face at most."""
    sizes = sorted((box.size_px for box in detector.boxes(picture)), reverse=True)
    return sizes[1] / sizes[0] if len(sizes) > 1 else 0.0
