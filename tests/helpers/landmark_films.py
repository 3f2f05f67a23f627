"""Landmarks of heads that never were filmed: of any size, turned as a test wants, with lips that move."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, canonical_face
from s2v.training.quality.cuts import LOOK_PX
from s2v.training.quality.findings import SeenPictures

FPS = 25


def landmark_film(
    n: int = 75,
    eye_distance_px: float = 60.0,
    yaw_degrees: float = 0.0,
    pitch_degrees: float = 0.0,
    opening: NDArray[np.float64] | None = None,
    width: float = 1.0,
    centre_px: tuple[float, float] = (180.0, 144.0),
    noise: float = 0.002,
    seed: int = 0,
) -> NDArray[np.float32]:
    """(n, 478, 3) in pixels.

    Args:
        opening: (n,) of the lips in face units. width: of the face, times usual: another person.
        noise: of the detector, in face units.
    """
    random = np.random.default_rng(seed)
    face = np.repeat(np.concatenate([canonical_face(), np.zeros((10, 3))])[None], n, axis=0)
    face[..., 0] *= width
    if opening is not None:
        lower = [*LOWER_INNER_LIP[1:-1], 17, 152]
        face[:, lower, 1] += opening[:, None]
        face[:, MOUTH_CORNERS[0], 0] -= 0.3 * opening
    face += random.normal(0, noise, face.shape)
    yaw, pitch = np.radians([yaw_degrees, pitch_degrees])
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(eye_distance_px * face @ (about_x @ about_y).T + [*centre_px, 0], np.float32)


def pictures_of(landmarks: NDArray[np.float32], **changed: Any) -> SeenPictures:
    """As if these landmarks had been found on the frames of a film of 360x288."""
    n = len(landmarks)
    usual: dict[str, Any] = {
        "size_px": (360, 288),
        "landmarks": landmarks,
        "times_s": (np.arange(n) + 0.5) / FPS,
        "looks": looks_of(n),
        "other_faces": np.zeros(6),
    }
    return SeenPictures(**(usual | changed))


def looks_of(n: int, level: float = 120.0, seed: int = 0) -> NDArray[np.uint8]:
    """(n, LOOK_PX, LOOK_PX, 3) of one face, with a little noise."""
    random = np.random.default_rng(seed)
    face = level + 30 * np.sin(np.arange(LOOK_PX) / 3)[None, :, None]
    noisy = face + random.normal(0, 2, (n, LOOK_PX, LOOK_PX, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)
