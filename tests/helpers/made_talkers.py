"""Talkers made of the canonical face and the shipped motion basis, so that what they do is known."""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import N_MESH, canonical_face
from s2v.engine.face.motion_basis import MotionBasis
from s2v.engine.face.rest_pose import rest_displacement
from s2v.spec import LipSyncSpec
from s2v.training.prepare.canonical import CanonicalClip

N_MOTION = LipSyncSpec.n_motion
BASIS = MotionBasis.load(LipSyncSpec.motion_basis)
MOVES = BASIS.displacement(np.arange(N_MESH))
SHUT = canonical_face() + rest_displacement(canonical_face())


def clip_of(motion: np.ndarray, face: np.ndarray = SHUT, yaw: float = 0.0, pitch: float = 0.0) -> CanonicalClip:
    """A clip of somebody whose face at rest is `face` and who moves like this, (n, n_motion)."""
    points = face + np.tensordot(motion, MOVES, 1)
    angles = np.ones(len(motion), np.float32)
    return CanonicalClip(points.astype(np.float32), yaw * angles, pitch * angles, angles > 0)


def talk(n: int = 100, seed: int = 0) -> np.ndarray:
    """A jaw that opens and closes four times in `n` frames and rests between, with some width, (n, 10)."""
    motion = np.zeros((n, N_MOTION))
    motion[:, 0] = np.maximum(np.sin(np.arange(n) / n * 8 * np.pi), 0) * 3
    motion[:, 1] = motion[:, 0] * np.random.default_rng(seed).normal(0, 0.3)
    return motion
