from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_talkers import BASIS, SHUT, clip_of, labels_of, talk

from s2v.engine.face.geometry import N_MESH
from s2v.spec import LipSyncSpec
from s2v.training.prepare.canonical import CanonicalClip
from s2v.training.prepare.labels import clip_labels
from s2v.training.prepare.neutral import TalkerNeutral
from s2v.training.prepare.pose_leak import EVERYBODYS, PoseMoments, leaked, pose_moments, pose_of


def lively(n: int) -> np.ndarray:
    """Motion in all components, (n, 10)."""
    return talk(n) + np.random.default_rng(4).normal(0, 0.5, (n, 10)) * (talk(n)[:, :1] > 0)


def nodding(n: int, slopes: np.ndarray, degrees: float = 12.0) -> CanonicalClip:
    """A talker who nods and turns out of step with his speech, and of whose pose this much leaks."""
    clip = clip_of(lively(n))
    at = np.arange(n)
    clip = replace(
        clip,
        pitch_degrees=(degrees * np.sin(at / 31)).astype(np.float32),
        yaw_degrees=(degrees * np.cos(at / 43)).astype(np.float32),
    )
    return replace(clip, points=(clip.points + leaked(pose_of(clip), slopes)).astype(np.float32))


def test_a_nod_moves_no_lips() -> None:
    clip = nodding(400, EVERYBODYS)
    bent = BASIS.coefficients(clip.points.astype(np.float64), SHUT)
    assert np.abs(bent - lively(400)).max() > 3
    labels = clip_labels(clip, TalkerNeutral(SHUT, 1, 10, 1.0), LipSyncSpec())
    np.testing.assert_allclose(labels.motion, lively(400), atol=1e-3)


def test_what_leaks_of_one_talker_is_learned_from_his_own_nods() -> None:
    own = EVERYBODYS.copy()
    own[0, 3], own[0, 4] = -4.5, 1.5
    found = sum((pose_moments(nodding(800, own), np.ones(800, bool)) for _ in range(3)), PoseMoments()).slopes()
    # Not all of it: opening and width, which leaks move as well, are believed first.
    assert -4.8 < found[0, 3] < -3.5 and 0.8 < found[0, 4] < 1.7
    _, labelled = labels_of({str(i): nodding(800, own) for i in range(3)})
    error = labelled["0"].motion - lively(800)
    as_everybody = clip_labels(nodding(800, own), TalkerNeutral(SHUT, 1, 10, 1.0), LipSyncSpec()).motion - lively(800)
    assert (error.std(0)[3:5] < 0.75 * as_everybody.std(0)[3:5]).all()


def test_a_head_that_does_not_move_leaks_what_everybody_s_does() -> None:
    moments = pose_moments(clip_of(talk()), np.ones(100, bool))
    np.testing.assert_allclose(moments.slopes(), EVERYBODYS, atol=1e-6)
    assert leaked(np.zeros((2, 2)), EVERYBODYS).shape == (2, N_MESH, 3)
    assert not leaked(np.zeros((2, 2)), EVERYBODYS).any()


def test_vowels_that_come_with_a_nod_are_not_taken_for_pose() -> None:
    """Opening is regressed on beside pose."""
    clip = clip_of(talk(400))
    clip = replace(clip, pitch_degrees=(4 * talk(400)[:, 0] + np.sin(np.arange(400) / 17)).astype(np.float32))
    slopes = pose_moments(clip, np.ones(400, bool)).slopes()
    assert abs(slopes[0, 0]) == pytest.approx(0, abs=0.3)  # 2.5 by opening alone
