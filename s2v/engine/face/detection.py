"""Faces on a picture as mediapipe sees them, the only module that knows it: boxes of faces, and their landmarks.

Both networks want faces upright, within some 60 degrees, and not small: `face_search` shows them pictures so.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from s2v.bundled import FACE_LANDMARKER
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image
from s2v.loading import named_libraries

_BOX_NETWORK = "face_detector.tflite"  # within the bundle of the landmarks
_stderr_lock = threading.Lock()


class FaceBox(NamedTuple):
    """Where a picture seems to show a face."""

    centre_px: Points  # (2,)
    size_px: float  # of the square around brows and chin
    roll_degrees: float  # how far it is turned clockwise, by its eyes; of a face upside down it is not to be trusted
    score: float  # 0.5 to 1, higher the more it looks like an upright face


@dataclass(frozen=True)
class FaceDetector:
    """The two networks, for one thread at a time."""

    _boxes: Any
    _landmarks: Any

    def boxes(self, picture: Image) -> list[FaceBox]:
        """The faces on a picture (h, w, 3) BGR that are larger than a tenth of its long side."""
        height, width = picture.shape[:2]
        found = []
        for detection in self._ask(self._boxes, picture).detections:
            box = detection.bounding_box
            centre = np.array([box.origin_x + box.width / 2, box.origin_y + box.height / 2])
            right, left = (np.array([eye.x * width, eye.y * height]) for eye in detection.keypoints[:2])
            across = left - right  # of the person; on the picture the right eye is on the left
            roll = float(np.degrees(np.arctan2(across[1], across[0])))
            found.append(FaceBox(centre, float(box.width), roll, float(detection.categories[0].score)))
        return found

    def landmarks(self, picture: Image) -> Points | None:
        """Landmarks (478, 3) in pixels of the face on a picture (h, w, 3) BGR, the surest if there are several."""
        faces = self._ask(self._landmarks, picture).face_landmarks
        if not faces:
            return None
        height, width = picture.shape[:2]
        return np.array([(p.x * width, p.y * height, p.z * width) for p in faces[0]], np.float64)

    @staticmethod
    def _ask(network: Any, picture: Image) -> Any:
        import mediapipe as mp

        rgb = np.ascontiguousarray(picture[..., ::-1])
        with _quiet_stderr():
            return network.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb))


@contextlib.contextmanager
def open_detector() -> Iterator[FaceDetector]:
    """The networks, loaded (some 30 ms), closed at the end. Raises: BackendError, the system lacks a library."""
    with named_libraries():
        from mediapipe.tasks.python import BaseOptions, vision

    bundle = FACE_LANDMARKER.read_bytes()
    with zipfile.ZipFile(FACE_LANDMARKER) as file:
        network = file.read(_BOX_NETWORK)
    for_boxes = vision.FaceDetectorOptions(base_options=BaseOptions(model_asset_buffer=network))
    for_landmarks = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_buffer=bundle), num_faces=1)
    with named_libraries(), _quiet_stderr():  # only here it loads libEGL and libGLESv2
        boxes = vision.FaceDetector.create_from_options(for_boxes)
        landmarks = vision.FaceLandmarker.create_from_options(for_landmarks)
    with boxes, landmarks:
        yield FaceDetector(boxes, landmarks)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Swallow what native code writes to stderr: mediapipe logs half a dozen lines that are no user's business."""
    with _stderr_lock:  # two at once could leave it swallowed for good
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, AttributeError):  # a program without one: what opens there next is no place to write to
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
