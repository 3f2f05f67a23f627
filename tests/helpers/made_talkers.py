"""Talkers made of the canonical face and the shipped motion basis, so that what they do is known."""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import N_MESH, canonical_face
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.rest_pose import rest_displacement
from s2v.spec import LipSyncSpec
from s2v.training.prepare.canonical import CanonicalClip
from s2v.training.prepare.labels import ClipLabels, clip_labels, facing
from s2v.training.prepare.neutral import TalkerNeutral, clip_rest, talker_neutral

N_MOTION = LipSyncSpec.n_motion
BASIS = MotionBasis.load(LipSyncSpec.motion_basis)
MOVES = BASIS.displacement(np.arange(N_MESH))
SHUT = canonical_face() + rest_displacement(canonical_face())


def clip_of(motion: np.ndarray, face: np.ndarray = SHUT, yaw: float = 0.0, pitch: float = 0.0) -> CanonicalClip:
    """A clip of somebody whose face at rest is `face` and who moves like this, (n, n_motion)."""
    points = face + np.tensordot(motion, MOVES, 1)
    angles = np.ones(len(motion), np.float32)
    return CanonicalClip(points.astype(np.float32), yaw * angles, pitch * angles, angles > 0)


def labels_of(clips: dict[str, CanonicalClip]) -> tuple[TalkerNeutral, dict[str, ClipLabels]]:
    """The face at rest of a talker with these clips, and the labels of each of them by it."""
    rest = talker_neutral([clip_rest(clip, facing(clip)) for clip in clips.values()])
    return rest, {name: clip_labels(clip, rest, LipSyncSpec()) for name, clip in clips.items()}


def talk(n: int = 100, seed: int = 0) -> np.ndarray:
    """A jaw that opens and closes four times in `n` frames and rests between, with some width, (n, 10)."""
    motion = np.zeros((n, N_MOTION))
    motion[:, 0] = np.maximum(np.sin(np.arange(n) / n * 8 * np.pi), 0) * 3
    motion[:, 1] = motion[:, 0] * np.random.default_rng(seed).normal(0, 0.3)
    return motion
