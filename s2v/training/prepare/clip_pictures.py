"""Which frames of a clip become pictures, and their face crops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import face_from_landmarks, face_grid, sample
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.extract.feature_file import ClipFeatures
from s2v.training.shard_file import MIN_REFERENCE_DISTANCE

_JPEG_QUALITY = 95


def choose_frames(
    gap: NDArray[np.floating], n_targets: int, n_references: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Which frames of a clip are targets, and which may be their reference: each target is far from one, to differ.

    Args:
        gap: (n,) opening of each frame, face units; NaN in frames whose mouth cannot be read: they are none of both.
    Returns: targets, and references, each without repetition; none where the frames that can be read lie too near.
    """
    known = np.flatnonzero(np.isfinite(gap))
    closed = known[gap[known] <= np.quantile(gap[known], 0.15)]
    # A photo at hand is mostly one of a closed mouth; some references are any frame at all.
    drawn = [rng.choice(closed if rng.random() < 0.75 else known) for _ in range(n_references)]
    references = sorted({int(frame) for frame in drawn})
    far = known[(np.abs(known[:, None] - references) >= MIN_REFERENCE_DISTANCE).any(1)]
    if not len(far):
        return [], []
    # Open mouths teach more than closed ones.
    weight = np.clip(gap[far], 0.01, 0.15)
    targets = rng.choice(far, size=min(n_targets, len(far)), replace=False, p=weight / weight.sum())
    return [int(target) for target in targets], references


def face_crop(clip: ClipFeatures, frame: int, spec: LipSyncSpec) -> bytes:
    """The face of one frame as the network sees it, a JPEG of (face_px, face_px). Raises: DataError, damaged."""
    import cv2

    photo = clip.frame(frame)
    face = face_from_landmarks(photo, clip.landmarks[frame].astype(np.float64), spec)
    crop = sample(photo, face_grid(face.plane, spec), (spec.face_px, spec.face_px))
    # Lips are thin and red: colour at full resolution.
    whole_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    packed, jpeg = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, *whole_colour])
    if not packed:
        raise DataError(f"frame {frame} of {clip.name} cannot be stored")
    return jpeg.tobytes()
