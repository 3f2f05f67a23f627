"""Classes of phones are brought to the shapes asked for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import gap_weights, width_weights
from s2v.training.voices.articulation import LIP_AIMS
from s2v.training.voices.lip_shapes import (
    SHARPER,
    Offsets,
    class_means,
    fit_offsets,
    least_change,
    shaped,
    sharpened,
)
from s2v.training.voices.phones import Phone

SPEC = LipSyncSpec()
CLASSES = ["W", "UW", "F", "S", "AA", "IY"]
NONE = Offsets(dict.fromkeys(LIP_AIMS, 0.0), dict.fromkeys(LIP_AIMS, 0.0))


def babble(seed: int, n_phones: int = 30) -> tuple[np.ndarray, list[Phone]]:
    """A mouth that opens and closes without caring for its phones, and never rounds."""
    rng = np.random.default_rng(seed)
    phones = [Phone(str(name), 0.16 * i, 0.16 * (i + 1)) for i, name in enumerate(rng.choice(CLASSES, n_phones))]
    motion = np.zeros((4 * n_phones, SPEC.n_motion), np.float32)
    motion[:, 0] = 1.5 + np.convolve(rng.standard_normal(4 * n_phones + 4), np.ones(5) / 5, "valid")
    return motion, phones


def test_the_least_change_does_what_is_asked_and_nothing_else() -> None:
    change = least_change(SPEC)
    asked = np.stack([width_weights(SPEC), gap_weights(SPEC)], axis=1)
    np.testing.assert_allclose(change @ asked, np.eye(2), atol=1e-9)
    size = (MotionBasis.load(SPEC.motion_basis).components ** 2).sum((1, 2))[: SPEC.n_motion]
    aside = np.linalg.svd(asked.T)[2][2:]  # movements that change neither width nor opening
    np.testing.assert_allclose((change * size) @ aside.T, 0, atol=1e-9)


def test_fitted_offsets_bring_the_means_of_classes_to_their_aims() -> None:
    clips = [babble(seed) for seed in range(12)]
    usual = [0.0] * len(clips)
    before = class_means(clips, usual, SPEC)
    offsets = fit_offsets(clips, SPEC)
    after = class_means([(shaped(motion, phones, offsets, SPEC), phones) for motion, phones in clips], usual, SPEC)
    assert set(after) == set(CLASSES)
    for name in ("W", "UW", "AA", "IY"):
        width, opening = (LIP_AIMS[name].width.value / 100, LIP_AIMS[name].opening.value / 100)
        assert abs(after[name][0] - width) < 0.015
        assert abs(after[name][1] - opening) < 0.005
    assert before["W"][0] > -0.02 and before["W"][1] > 0.06
    assert after["W"][0] < after["UW"][0] < 0 < after["IY"][0]


def test_a_class_met_seldom_is_left_alone() -> None:
    motion, phones = babble(0, n_phones=6)
    offsets = fit_offsets([(motion, phones)], SPEC)
    assert set(offsets.width.values()) == set(offsets.opening.values()) == {0.0}


def test_far_from_its_phone_an_offset_adds_nothing() -> None:
    motion = np.zeros((100, SPEC.n_motion), np.float32)
    motion[:, 0] = 1.0
    phones = [Phone("SIL", 0.0, 1.0), Phone("AO", 1.0, 1.2), Phone("SIL", 1.2, 4.0)]
    offsets = Offsets(NONE.width | {"AO": -0.05}, NONE.opening)
    width = (shaped(motion, phones, offsets, SPEC) - motion) @ width_weights(SPEC)
    assert width[27] < -0.03
    assert np.abs(width[75:]).max() < 1e-3


def test_f_is_drawn_to_its_opening_from_either_side() -> None:
    phones = [Phone("F", 0.4, 0.6)]
    for opening in (0.0, 0.12):
        motion = np.zeros((25, SPEC.n_motion), np.float32) + least_change(SPEC)[1].astype(np.float32) * opening
        found = (shaped(motion, phones, NONE, SPEC) @ gap_weights(SPEC))[12]
        assert abs(found - 0.036) < 0.45 * abs(opening - 0.036)


def test_no_offset_presses_lips_past_shut() -> None:
    motion = np.zeros((25, SPEC.n_motion), np.float32)
    phones = [Phone("AA", 0.2, 0.8)]
    offsets = Offsets(NONE.width, NONE.opening | {"AA": -0.1})
    assert (shaped(motion, phones, offsets, SPEC) @ gap_weights(SPEC)).min() > -1e-6


def test_sharpening_keeps_what_is_slow_and_stretches_what_is_quick() -> None:
    at = np.arange(200)
    slow, quick = 0.7 + 0.2 * np.sin(2 * np.pi * at / 100), 0.2 * np.sin(2 * np.pi * at / 3)
    sharper = sharpened(np.stack([slow, quick], axis=1))
    np.testing.assert_allclose(sharper[10:190, 0], slow[10:190], atol=0.005)
    np.testing.assert_allclose(sharper[10:190, 1], SHARPER * quick[10:190], atol=0.002)
    assert sharper.dtype == np.float32
