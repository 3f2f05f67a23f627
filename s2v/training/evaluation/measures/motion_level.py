"""How well the network's motion follows the voice, before anything is drawn; for network "s2v" only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.effort import efforts
from s2v.engine.audio.windows import mfcc_windows
from s2v.engine.backends.base import Backend
from s2v.engine.face.articulation import articulated, articulation_tables
from s2v.engine.face.geometry import MOUTH_CORNERS
from s2v.engine.face.motion_basis import MotionBasis, lip_gap
from s2v.engine.lipsync import MAX_BATCH
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import (
    LIPS,
    best_offset,
    correlation,
    loudness,
    offset_sweep,
    pauses,
)

# 16 kHz mono in [-1, 1] -> motion of every frame, (n_frames, n_motion)
Speak = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Talk(Protocol):
    """Sound and target motion of one clip."""

    @property
    def name(self) -> str: ...
    @property
    def pcm(self) -> NDArray[np.float32]: ...  # 16 kHz mono
    @property
    def motion(self) -> NDArray[np.float32]: ...  # (n_frames, n_motion)
    @property
    def aperture(self) -> NDArray[np.float32]: ...  # (n_frames,) over the talker's closed lips


@dataclass(frozen=True)
class Spoken:
    """Fills `Talk`."""

    name: str
    pcm: NDArray[np.float32]
    motion: NDArray[np.float32]
    aperture: NDArray[np.float32]


def gap_weights(spec: LipSyncSpec) -> NDArray[np.float64]:
    """(n_motion,) opening at the middle of the lips, in face units, per unit of each coefficient."""
    return lip_gap(MotionBasis.load(spec.motion_basis))[: spec.n_motion]


def width_weights(spec: LipSyncSpec) -> NDArray[np.float64]:
    """(n_motion,) distance of the corners of the mouth, in face units, per unit of each coefficient."""
    left, right = MotionBasis.load(spec.motion_basis).displacement(np.array(MOUTH_CORNERS))[: spec.n_motion, :, 0].T
    width: NDArray[np.float64] = right - left
    return width


def motion_lip_speed(motion: NDArray[np.float32], spec: LipSyncSpec) -> float:
    """RMS speed of the mouth's landmarks that a motion (n, n_motion) asks for, face units a second."""
    moves = MotionBasis.load(spec.motion_basis).displacement(np.array(LIPS))[: spec.n_motion, :, :2]
    step = np.tensordot(np.diff(motion, axis=0), moves, axes=1) * spec.fps
    return float(np.sqrt((step**2).sum(-1).mean()))


def backend_speak(backend: Backend) -> Speak:
    """The motion of a model file of network "s2v", run by any backend. Motion does not depend on the face."""
    spec = backend.spec
    blank = backend.encode_face(np.zeros((1, 6, spec.face_px, spec.face_px), np.float32))
    identity = {name: np.repeat(tensor, MAX_BATCH, axis=0) for name, tensor in blank.items()}

    def speak(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        windows = mfcc_windows(pcm, spec)[:, None]
        prediction = []
        for first in range(0, len(windows), MAX_BATCH):
            batch = windows[first : first + MAX_BATCH]
            outputs = backend.infer(batch, {name: rows[: len(batch)] for name, rows in identity.items()})
            prediction.append(outputs["motion"].copy())
        motion = np.concatenate(prediction) if prediction else np.zeros((0, spec.n_motion), np.float32)
        return as_spoken(motion, pcm, spec)

    return speak


def as_spoken(motion: NDArray[np.float32], pcm: NDArray[np.float32], spec: LipSyncSpec) -> NDArray[np.float32]:
    """What the network says of a voice, (n_frames, n_motion), as far as the engine moves the lips for it."""
    tables = articulation_tables(spec)
    frames = [
        articulated(row, effort, tables) for row, effort in zip(motion, efforts(pcm, spec).tolist(), strict=False)
    ]
    return np.stack(frames) if frames else motion


def motion_figures(prediction: NDArray[np.float32], talk: Talk, spec: LipSyncSpec) -> dict[str, float]:
    """Figures of one clip. Offsets in frames, positive where the prediction lags the film."""
    n = min(len(prediction), len(talk.motion))
    target, film = talk.motion[:n], talk.aperture[:n]
    opened = prediction[:n] @ gap_weights(spec)
    spoken = ~pauses(talk.pcm, n, spec)
    return {
        "first": correlation(prediction[:n, 0], target[:, 0]),
        "first_best": float(offset_sweep(prediction[:n, 0], target[:, 0]).max()),
        "second": correlation(prediction[:n, 1], target[:, 1]),
        "second_best": float(offset_sweep(prediction[:n, 1], target[:, 1]).max()),
        "aperture": correlation(opened, film),
        "aperture_best": float(offset_sweep(opened, film).max()),
        "offset": float(best_offset(opened, film)),
        "aperture_spoken": correlation(opened[spoken], film[spoken]) if spoken.any() else float("nan"),
    }


def loudness_figures(pcm: NDArray[np.float32], film: NDArray[np.float32], spec: LipSyncSpec) -> dict[str, float]:
    """What a mouth would reach that only opens with loudness; film: (n,) opening."""
    loud = loudness(pcm, len(film), spec)
    return {
        "loudness": correlation(loud, film),
        "loudness_best": float(offset_sweep(loud, film).max()),
        "loudness_offset": float(best_offset(loud, film)),
    }
