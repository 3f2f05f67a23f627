"""What the mouth of a photo looks like while it says the bundled sentences: its inside, what is left of a smile's
teeth when it closes, how different its sounds look, and whether a grey photo stays grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.motion_basis import aperture
from s2v.engine.face.photo import Image
from s2v.engine.lipsync import LipSyncEngine
from s2v.training.evaluation.crops import closed_lips, face_crop, mouth_of_crop
from s2v.training.evaluation.measures.interior import mouth_chroma
from s2v.training.evaluation.measures.phone_classes import TimedPhone, class_table, phone_frames
from s2v.training.evaluation.measures.shapes import LipShapes, canonical_of, shapes_seen
from s2v.training.evaluation.measures.teeth_left import OPEN_PHOTO, teeth_left, tooth_colour
from s2v.training.evaluation.measures.variety import VARIED, by_class, mouth_vector, shape_variety, variety
from s2v.training.evaluation.picture_level import OpenMouths, drawn_frames

_LIPS_MEET = ("P", "B", "M")


class PhotoMouth:
    """Is shown all frames of one face in order."""

    def __init__(
        self, face: EnrolledFace, still: Image, still_seen: NDArray[np.float32], phones: Sequence[TimedPhone], fps: int
    ) -> None:
        """Args: still: the face at rest; still_seen: (478, 3) its landmarks. phones: what it is going to say."""
        self._face, self._phones, self._fps = face, phones, fps
        self._closed = canonical_of(still_seen[None])[0]
        self._open_mouths = OpenMouths(self._closed)
        self._mouth = mouth_of_crop(closed_lips(face))
        wide_open = float(aperture(face.canonical)) > OPEN_PHOTO
        self._teeth = tooth_colour(face.photo, face.landmarks) if wide_open else None
        self._left_at_rest = teeth_left(still, still_seen, self._teeth) if self._teeth else float("nan")
        self._left: dict[int, tuple[float, float]] = {}  # frame of P, B or M -> opening, teeth left
        self._varied = self._middles(VARIED)
        self._meet = [self._frames(phone) for phone in phones if phone.name in _LIPS_MEET]
        self._crops: list[tuple[str, NDArray[np.float64]]] = []
        self._index = 0
        self.middles: dict[int, NDArray[np.float32]] = dict.fromkeys(self._middles(), np.zeros((0, 3), np.float32))

    def add(self, frame: Image, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next frame with its landmarks (478, 3), NaN where no face is seen; gives the landmarks back."""
        self._open_mouths.add(frame, landmarks)
        index, self._index = self._index, self._index + 1
        if np.isnan(landmarks[0, 0]):
            return landmarks
        if self._teeth and any(index in frames for frames in self._meet):
            opening = float(aperture(canonical_of(landmarks[None])[0]))
            self._left[index] = (opening, teeth_left(frame, landmarks, self._teeth))
        if index in self._varied:
            mouth = face_crop(frame, self._face.pose)[self._mouth]
            self._crops.append((self._varied[index], mouth_vector(mouth)))
        if index in self.middles:
            self.middles[index] = landmarks
        return landmarks

    def shapes(self, landmarks: NDArray[np.float32]) -> LipShapes:
        """What the mouth did. Args: landmarks: (n, 478, 3) of all frames, gaps filled."""
        return shapes_seen(canonical_of(landmarks), self._closed)

    def figures(self, shapes: LipShapes) -> dict[str, float]:
        """Args: shapes: of all frames. A figure for which there is nothing to see is left out."""
        found = self._open_mouths.figures()
        # Each phone where it is most closed; then the median, since one that never closes is judged elsewhere.
        spoken = [min(self._left[i] for i in frames if i in self._left)[1] for frames in self._met()]
        if self._teeth:
            found["teeth_left"] = max(self._left_at_rest, float(np.median(spoken)) if spoken else 0.0)
        classes = class_table(shapes, self._phones, self._fps, {name: frozenset({name}) for name in VARIED})
        crops = by_class(self._crops)
        found["variety_shapes"] = shape_variety(classes)
        found["variety_pictures"] = variety({name: crops.get(name, np.zeros((0, 1))) for name in VARIED})
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def _met(self) -> list[list[int]]:
        """Frames of each P, B and M that has been seen."""
        return [frames for frames in self._meet if any(frame in self._left for frame in frames)]

    def _frames(self, phone: TimedPhone) -> list[int]:
        many = round(phone.end_s * self._fps) + 2
        return [int(frame) for frame in phone_frames(phone, many, self._fps)]

    def _middles(self, names: Sequence[str] | None = None) -> dict[int, str]:
        """The middle frame of each phone, or of those of some names -> its name."""
        wanted = [phone for phone in self._phones if names is None or phone.name in names]
        return {frames[len(frames) // 2]: phone.name for phone in wanted if (frames := self._frames(phone))}


def greyed_figures(
    face: EnrolledFace, backend: Backend, voice: NDArray[np.float32], landmarks: Mapping[int, NDArray[np.float32]]
) -> dict[str, float]:
    """How colourful a grey copy of a photo becomes when it says the same: the frame that is worst.

    Args: landmarks: frame -> (478, 3) of the coloured one, where this is looked at; those of shape (0, 3) are not.
    Returns: `grey_chroma`, 99th percentile within the lips, and `grey_redness`, largest |a*|.
    """
    grey = np.repeat(cv2.cvtColor(face.photo, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    looked_at = {index: points for index, points in landmarks.items() if len(points)}
    engine = LipSyncEngine(face_from_landmarks(np.asarray(grey, np.uint8), face.landmarks, backend.spec), backend)
    try:
        found = [
            mouth_chroma(frame, looked_at[index])
            for index, frame in enumerate(drawn_frames(engine, voice))
            if index in looked_at
        ]
    finally:
        engine.close()
    if not found:
        return {}
    chroma, redness = np.nanmax(np.array(found), axis=0)
    return {"grey_chroma": float(chroma), "grey_redness": float(redness)}
