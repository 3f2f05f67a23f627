"""What benchmarks draw: a face and a voice, also on a bare machine that cannot find the one or decode the other.

How long a frame takes hardly depends on whose face it is and what it says; what was used instead is noted.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.bundled import BUNDLED_VOICE
from s2v.engine.face.enrolment import EnrolledFace, enrol, face_from_landmarks
from s2v.engine.face.geometry import OUTER_EYES, canonical_face
from s2v.engine.face.photo import fit_photo, load_photo
from s2v.spec import LipSyncSpec

_EYES_AT, _EYES_WIDE = (0.5, 0.42), 0.27  # of the photo's sides and width: where a portrait has its eyes


def face_of(photo: Path, size_px: int, spec: LipSyncSpec, notes: list[str]) -> EnrolledFace:
    """The face on a photo, at most `size_px` on the long side.

    Args:
        notes: extended by what is not as asked for.
    Raises: FaceError, the photo cannot be used.
    """
    try:
        picture = load_photo(photo, size_px)
    except ImportError:  # a machine with OpenCV and nothing else
        picture = fit_photo(np.asarray(cv2.imread(str(photo)), np.uint8), size_px)
    height, width = picture.shape[:2]
    if max(height, width) < size_px - 1:  # odd sides lose a pixel
        notes.append(f"{photo.name} has only {width}x{height}")
    try:
        return enrol(picture, spec)
    except ImportError as error:
        notes.append(f"no {error.name} here: the mean face is laid over the photo")
        middle = np.array([_EYES_AT[0] * width, _EYES_AT[1] * height, 0.0])
        mesh = canonical_face() * (_EYES_WIDE * width) + middle
        irises = np.repeat(mesh[list(OUTER_EYES)], 5, axis=0)
        return face_from_landmarks(picture, np.concatenate([mesh, irises]), spec)


def speech(n_samples: int, notes: list[str]) -> NDArray[np.float32]:
    """Samples of the bundled voice, 16 kHz mono in [-1, 1]; it begins again when it is over."""
    try:
        from s2v.media.audio_file import read_audio
    except ImportError as error:
        notes.append(f"no {error.name} here: noise instead of speech")
        return np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32).clip(-1, 1)
    return np.resize(read_audio(BUNDLED_VOICE).pcm_16k, n_samples)
