"""Faces whose heads move while they talk, as users see them, against film and against the same face held still.

Every other measure of drawn pictures is of a still head; this one draws the same sounds once more with the head moving.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend
from s2v.engine.compositor.head.person import person_matte
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import head_pose
from s2v.engine.face.photo import Image
from s2v.engine.lipsync import LipSyncEngine
from s2v.training.evaluation.clips import HeldClip
from s2v.training.evaluation.measures.head.curves import HeadCurves, head_curves
from s2v.training.evaluation.measures.head.motion import head_figures
from s2v.training.evaluation.measures.head.mouth_drag import StillHead, lip_opening, without_drag
from s2v.training.evaluation.measures.head.pictures import HeadPictures
from s2v.training.evaluation.measures.metrics import correlation
from s2v.training.evaluation.picture_level import drawn_frames, enrol_from
from s2v.training.extract.face_landmarks import with_landmarks, without_gaps

TILE_EVERY_S = 0.5
MAX_TILES = 12
_TILE_PX = 128  # height
_LAST_FRAMES = 10  # of a sound that goes on they hear more than of one that ends: not compared


@dataclass(frozen=True)
class WatchedHead:
    """One face that talked with its head moving."""

    figures: dict[str, float]
    curves: HeadCurves
    tiles: list[Image]  # a frame every TILE_EVERY_S


@dataclass(frozen=True)
class FilmedAndDrawn:
    """A clip's talker and our face saying the same."""

    film: HeadCurves
    drawn: HeadCurves
    tiles: list[tuple[Image, Image]]  # film, ours


def head_seed(name: str) -> int:
    """A face's own seed: the same in every run, another for another face."""
    return zlib.crc32(name.encode())


def talking_head(
    face: EnrolledFace, backend: Backend, pcm: NDArray[np.float32], seed: int, still: StillHead
) -> WatchedHead:
    """Draw a face with its head moving and look at every frame.

    Args: pcm: (n,) at 16 kHz. still: the same face without moving its head, saying at least the sound's beginning.
    Raises: DataError, no face is found in what was drawn.
    """
    pictures = HeadPictures(face.photo, person_matte(face.photo, face.landmarks, face.plane), face.landmarks, face.pose)
    tiles: list[Image] = []
    every = round(TILE_EVERY_S * backend.spec.fps)
    engine = LipSyncEngine(face, backend, idle_seed=seed)

    def looked_at() -> Iterator[NDArray[np.float32]]:
        for index, (frame, landmarks) in enumerate(with_landmarks(drawn_frames(engine, pcm))):
            if not np.isnan(landmarks[0, 0]):
                pictures.add(frame, landmarks, head_pose(landmarks.astype(np.float64)))
            if index % every == 0 and len(tiles) < MAX_TILES:
                tiles.append(_tile(frame))
            yield landmarks

    try:
        landmarks = without_gaps(list(looked_at()))
    finally:
        engine.close()
    opening = lip_opening(landmarks)
    curves = without_drag(head_curves(landmarks), opening, still)
    figures = head_figures(curves, pcm, backend.spec) | pictures.figures()
    n = min(len(still.opening), len(landmarks)) - _LAST_FRAMES
    if n > 1:
        figures["same_opening"] = correlation(opening[:n], still.opening[:n])
    return WatchedHead(figures, curves, tiles)


def move_clip(clip: HeldClip, backend: Backend, still: StillHead) -> tuple[dict[str, float], FilmedAndDrawn]:
    """The clip's own photo driven by its sound with the head moving, against the film.

    Args: still: the same without moving its head.
    Returns: figures of ours as `head_NAME` and of the film as `head_NAME_film`, and what the report draws.
    Raises: FaceError, its photo is refused. DataError, no face is found in what was drawn.
    """
    ours = talking_head(enrol_from(clip, backend.spec), backend, clip.pcm, head_seed(clip.name), still)
    film = head_curves(clip.features.on_frames(clip.features.landmarks.astype(np.float64)))
    theirs = head_figures(film, clip.pcm, backend.spec)
    figures = {f"head_{name}": value for name, value in ours.figures.items()}
    figures |= {f"head_{name}_film": value for name, value in theirs.items()}
    every = round(TILE_EVERY_S * backend.spec.fps)
    shown = [_tile(clip.frame(index)) for index in range(0, clip.n_frames, every)[: len(ours.tiles)]]
    return figures, FilmedAndDrawn(film, ours.curves, list(zip(shown, ours.tiles, strict=False)))


def _tile(picture: Image) -> Image:
    height, width = picture.shape[:2]
    size = (max(1, round(width * _TILE_PX / height)), _TILE_PX)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
