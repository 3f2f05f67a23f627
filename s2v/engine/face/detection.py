"""Where the faces on a picture are: landmarks from mediapipe, the only module that knows it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np

from s2v.bundled import FACE_LANDMARKER
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image
from s2v.errors import NoFaceError
from s2v.loading import named_libraries

# A face this much smaller than the largest is somebody in the background.
_BACKGROUND_SHARE = 0.4
_stderr_lock = threading.Lock()


def detect_faces(photo: Image) -> list[Points]:
    """Landmarks of the faces on a photo, left to right, people in the background left out.

    Returns: each (478, 3) in pixels. Raises: NoFaceError.
    """
    with face_detector(max_faces=6) as find:
        faces = find(photo)
    if not faces:
        raise NoFaceError("no face found on the photo: use one where a face looks at the camera, well lit")
    sizes = [np.ptp(face[:, 0]) for face in faces]
    near = [face for face, size in zip(faces, sizes, strict=True) if size >= _BACKGROUND_SHARE * max(sizes)]
    return sorted(near, key=lambda face: float(face[:, 0].mean()))


@contextlib.contextmanager
def face_detector(max_faces: int) -> Iterator[Callable[[Image], list[Points]]]:
    """A function from a picture (h, w, 3) BGR to the landmarks, (478, 3) in pixels, of each face on it.

    Raises: BackendError, a library of the system is missing.
    """
    with named_libraries():
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

    model = FACE_LANDMARKER.read_bytes()
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_buffer=model), num_faces=max_faces)

    def find(picture: Image) -> list[Points]:
        rgb = np.ascontiguousarray(picture[..., ::-1])
        with _quiet_stderr():
            result = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb))
        height, width = picture.shape[:2]
        return [
            np.array([(p.x * width, p.y * height, p.z * width) for p in points], np.float64)
            for points in result.face_landmarks
        ]

    with named_libraries(), _quiet_stderr():  # only here it loads libEGL and libGLESv2
        landmarker = vision.FaceLandmarker.create_from_options(options)
    with landmarker:
        yield find


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
