from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.face.geometry import N_MESH, canonical_face
from s2v.engine.face.motion_basis import MotionBasis, aperture
from s2v.engine.face.rest_pose import rest_displacement
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.prepare.canonical import CanonicalClip
from s2v.training.prepare.labels import ASTRAY, LIMITS, TIPPED, TURNED, clip_labels, facing, label_talker
from s2v.training.prepare.neutral import TalkerNeutral

SPEC = LipSyncSpec()
BASIS = MotionBasis.load(SPEC.motion_basis)
MOVES = BASIS.displacement(np.arange(N_MESH))
SHUT = canonical_face() + rest_displacement(canonical_face())


def clip_of(motion: np.ndarray, face: np.ndarray = SHUT, yaw: float = 0.0, pitch: float = 0.0) -> CanonicalClip:
    """A clip of somebody whose face at rest is `face` and who moves like this, (n, n_motion)."""
    points = face + np.tensordot(motion, MOVES, 1)
    angles = np.ones(len(motion), np.float32)
    return CanonicalClip(points.astype(np.float32), yaw * angles, pitch * angles)


def talk(n: int = 100, seed: int = 0) -> np.ndarray:
    """A jaw that opens and closes four times in `n` frames and rests between, with some width, (n, 10)."""
    motion = np.zeros((n, SPEC.n_motion))
    motion[:, 0] = np.maximum(np.sin(np.arange(n) / n * 8 * np.pi), 0) * 3
    motion[:, 1] = motion[:, 0] * np.random.default_rng(seed).normal(0, 0.3)
    return motion


def neutral(face: np.ndarray = SHUT) -> TalkerNeutral:
    return TalkerNeutral(face, 1, 10, 1.0)


def test_a_label_is_the_motion_that_was_made() -> None:
    labels = clip_labels(clip_of(talk()), neutral(), SPEC)
    assert labels.motion.dtype == labels.aperture.dtype == np.float32
    np.testing.assert_allclose(labels.motion, talk(), atol=1e-3)
    assert labels.known.all() and labels.line() is None and labels.n_cut == 0
    moved = aperture(clip_of(talk()).points) - aperture(SHUT)
    np.testing.assert_allclose(labels.aperture, moved, atol=1e-5)


def test_a_head_turned_or_tipped_too_far_has_no_label() -> None:
    clip = clip_of(talk())
    clip.yaw_degrees[:20] = -LIMITS.yaw_degrees - 1
    clip.pitch_degrees[10:30] = LIMITS.pitch_degrees + 1
    labels = clip_labels(clip, neutral(), SPEC)
    assert labels.unknown == {TURNED: 20, TIPPED: 10}
    assert labels.line() == f"20 of 100 frames: {TURNED}; 10 of 100 frames: {TIPPED}"
    np.testing.assert_array_equal(labels.known, facing(clip))
    assert np.isnan(labels.motion[:30]).all() and np.isnan(labels.aperture[:30]).all()
    np.testing.assert_allclose(labels.motion[30:], talk()[30:], atol=1e-3)


def test_a_clip_of_which_too_little_can_be_read_is_refused_with_the_reason() -> None:
    clip = clip_of(talk())
    clip.yaw_degrees[: round(100 * (1 - LIMITS.known_share)) + 1] = 39
    with pytest.raises(DataError, match=rf"too little of it can be read \(51 of 100 frames: {TURNED}\)"):
        clip_labels(clip, neutral(), SPEC)


def test_what_no_mouth_does_is_cut_and_what_is_off_the_mouth_is_unknown() -> None:
    motion = talk()
    motion[40, 2] = 1.3 * LIMITS.coefficient
    motion[60, 2] = -1.5 * LIMITS.astray
    clip = clip_of(motion)
    clip.points[80] += np.random.default_rng(0).normal(0, 3 * LIMITS.residual, (N_MESH, 3)).astype(np.float32)
    labels = clip_labels(clip, neutral(), SPEC)
    assert labels.n_cut == 1 and labels.motion[40, 2] == np.float32(LIMITS.coefficient)
    assert labels.unknown == {ASTRAY: 2} and list(np.flatnonzero(~labels.known)) == [60, 80]


def test_clips_of_one_talker_are_labelled_from_one_neutral_also_those_that_never_close() -> None:
    half_open = talk(seed=1) + 1.5 * np.eye(SPEC.n_motion)[0]
    clips = {"closing": clip_of(talk(400)), "open": clip_of(half_open)}
    labelled = label_talker(clips, SPEC)
    assert set(labelled.clips) == {"closing", "open"} and not labelled.dropped and labelled.warning is None
    assert np.abs(labelled.clips["open"].motion - half_open).max() < 0.5
    alone = label_talker({"open": clip_of(half_open)}, SPEC)
    assert (
        np.abs(alone.clips["open"].motion - half_open).max() > np.abs(labelled.clips["open"].motion - half_open).max()
    )


def test_a_clip_that_cannot_be_used_is_dropped_and_the_others_are_not() -> None:
    labelled = label_talker({"good": clip_of(talk()), "aside": clip_of(talk(), yaw=45.0)}, SPEC)
    assert set(labelled.clips) == {"good"} and "from the front" in labelled.dropped["aside"]
    with pytest.raises(DataError, match="none of 1 clips can be used"):
        label_talker({"aside": clip_of(talk(), pitch=-45.0)}, SPEC)


def test_a_talker_whose_motion_the_basis_does_not_hold_is_refused() -> None:
    clip = clip_of(talk())
    shaken = SHUT[None] + 0.02 * np.random.default_rng(0).normal(size=(100, N_MESH, 3))
    with pytest.raises(DataError, match=r"the motion basis explains .* of how this mouth moves, wanted 40%"):
        label_talker({"shaken": CanonicalClip(shaken.astype(np.float32), clip.yaw_degrees, clip.pitch_degrees)}, SPEC)
