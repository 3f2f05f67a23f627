from __future__ import annotations

import numpy as np
import pytest
from made_talkers import SHUT, clip_of, labels_of, talk

from s2v.engine.face.geometry import N_MESH
from s2v.engine.face.motion_basis import MotionBasis, aperture
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.prepare.basis_fit import basis_fit, basis_warning
from s2v.training.prepare.labels import ASTRAY, LIMITS, TIPPED, TURNED, UNSEEN, clip_labels, facing
from s2v.training.prepare.neutral import TalkerNeutral, clip_rest

SPEC = LipSyncSpec()


def neutral(face: np.ndarray = SHUT) -> TalkerNeutral:
    return TalkerNeutral(face, 1, 10, 1.0)


def test_a_label_is_the_motion_that_was_made() -> None:
    labels = clip_labels(clip_of(talk()), neutral(), SPEC)
    assert labels.motion.dtype == labels.aperture.dtype == np.float32
    np.testing.assert_allclose(labels.motion, talk(), atol=1e-3)
    assert labels.known.all() and labels.line() is None and labels.n_cut == 0
    moved = aperture(clip_of(talk()).points.astype(np.float64)) - aperture(SHUT)
    np.testing.assert_allclose(labels.aperture, moved, atol=1e-5)


def test_a_head_turned_or_tipped_too_far_has_no_label() -> None:
    clip = clip_of(talk())
    clip.seen[40] = False
    clip.yaw_degrees[:20] = -LIMITS.yaw_degrees - 1
    clip.pitch_degrees[10:30] = LIMITS.pitch_degrees + 1
    labels = clip_labels(clip, neutral(), SPEC)
    assert labels.unknown == {UNSEEN: 1, TURNED: 20, TIPPED: 10}
    assert labels.line() == f"1 of 100 frames: {UNSEEN}; 20 of 100 frames: {TURNED}; 10 of 100 frames: {TIPPED}"
    np.testing.assert_array_equal(labels.known, facing(clip))
    assert np.isnan(labels.motion[:30]).all() and np.isnan(labels.aperture[:30]).all()
    np.testing.assert_allclose(labels.motion[41:], talk()[41:], atol=1e-3)


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
    labelled = labels_of(clips)[1]["open"]
    assert np.abs(labelled.motion - half_open).max() < 0.5
    alone = labels_of({"open": clip_of(half_open)})[1]["open"]
    assert np.abs(alone.motion - half_open).max() > np.abs(labelled.motion - half_open).max()


@pytest.mark.parametrize(("yaw", "pitch"), [(45.0, 0.0), (0.0, -45.0)])
def test_a_clip_that_never_faces_the_camera_says_nothing_of_its_talker(yaw: float, pitch: float) -> None:
    clip = clip_of(talk(), yaw=yaw, pitch=pitch)
    with pytest.raises(DataError, match="from the front"):
        clip_rest(clip, facing(clip))


def test_a_talker_whose_motion_the_basis_does_not_hold_is_refused() -> None:
    shaken = SHUT[None] + 0.02 * np.random.default_rng(0).normal(size=(100, N_MESH, 3))
    with pytest.raises(DataError, match=r"the motion basis explains .* of how this mouth moves, wanted 75%"):
        basis_warning(basis_fit(shaken, MotionBasis.load(SPEC.motion_basis)))


def test_somebody_else_among_a_talker_s_clips_is_labelled_from_his_own_face_and_does_not_disturb() -> None:
    rng = np.random.default_rng(2)
    stranger = SHUT + np.concatenate([rng.normal(0, 0.03, (N_MESH // 2, 3))] * 2)
    clips = {f"own{i}": clip_of(talk(200, i)) for i in range(4)}
    alone, _ = labels_of(clips)
    rest, labelled = labels_of(clips | {"stranger": clip_of(talk(200), stranger)})
    np.testing.assert_array_equal(rest.face, alone.face)
    assert labelled["stranger"].line() == "not its talker's face: labelled from its own"
    assert np.abs(labelled["stranger"].motion - talk(200)).max() < 1
    assert all(labelled[clip].line() is None for clip in clips)
