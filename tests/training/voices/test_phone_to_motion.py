"""The phone bridge on speech whose motion follows its phones by construction."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.train.batches import Clip, unknown_tract
from s2v.training.train.validation import gap_weights
from s2v.training.voices.phone_to_motion import (
    at_frames,
    bridge_correlation,
    bridge_features,
    bridge_motion,
    close_lips,
    part_lips,
    train_bridge,
)
from s2v.training.voices.phones import N_FEATURES, Phone

SPEC = LipSyncSpec()


def babble(seed: int, n_phones: int = 12) -> tuple[Clip, list[Phone]]:
    """Noise for open phones, near silence for closed ones; the first component is the jaw of the phone."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["AA", "M", "IY", "P"], n_phones)
    phones = [Phone(str(name), 0.2 * i, 0.2 * (i + 1)) for i, name in enumerate(names)]
    loud = np.repeat(np.isin(names, ["AA", "IY"]).astype(np.float32), 3200)
    pcm = (0.01 + 0.1 * loud) * rng.standard_normal(len(loud)).astype(np.float32)
    jaw = np.repeat([{"AA": 2.0, "IY": 0.5, "M": 0.0, "P": 0.0}[str(name)] for name in names], 5)
    motion = np.zeros((len(jaw), SPEC.n_motion), np.float32)
    motion[:, 0] = jaw
    clip = Clip(f"talker/{seed}", pcm.astype(np.float32), motion, jaw.astype(np.float32), unknown_tract(len(jaw)))
    return clip, phones


def test_features_have_a_row_every_10_ms_and_no_loudness_in_silence() -> None:
    clip, phones = babble(0)
    features = bridge_features(clip.pcm, phones[1:], SPEC)
    assert features.shape == (240, N_FEATURES + 1)
    assert not features[:20, -1].any()
    assert np.isfinite(features).all()


def test_frames_take_the_step_under_their_centre() -> None:
    assert at_frames(40, 10, SPEC).tolist() == [2, 6, 10, 14, 18, 22, 26, 30, 34, 38]


def test_the_bridge_learns_what_phones_do_and_labels_another_voice() -> None:
    train = [babble(seed) for seed in range(6)]
    phones = {clip.name: said for clip, said in train}
    network = train_bridge([clip for clip, _ in train], phones, SPEC, steps=60)
    clip, said = babble(99)
    assert bridge_correlation(network, [clip], {clip.name: said}, SPEC)[0] > 0.6
    assert bridge_motion(network, clip.pcm, said, SPEC).shape == (60, SPEC.n_motion)


def test_the_bridge_is_the_same_to_the_bit_whatever_was_drawn_before() -> None:
    clip, said = babble(0)
    one = train_bridge([clip], {clip.name: said}, SPEC, steps=3).state_dict()
    torch.rand(7)
    other = train_bridge([clip], {clip.name: said}, SPEC, steps=3).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_an_aligned_clip_there_is_nothing_to_learn() -> None:
    clip, _ = babble(0)
    with pytest.raises(DataError, match="aligned"):
        train_bridge([clip], {}, SPEC, steps=1)


def test_lips_meet_on_p_b_and_m_and_nowhere_else() -> None:
    motion = np.zeros((25, SPEC.n_motion), np.float32)
    motion[:, 0] = 1.5  # a jaw that hangs open
    phones = [Phone("AA", 0.0, 0.4), Phone("M", 0.4, 0.52), Phone("AA", 0.52, 0.96)]
    gap = close_lips(motion, phones, SPEC) @ gap_weights(SPEC)
    before = motion @ gap_weights(SPEC)
    assert before.min() > 0.03
    assert np.abs(gap[10:12]).max() < 1e-6  # frames centred at 0.42 and 0.46 s
    np.testing.assert_array_equal(gap[:8], before[:8])
    np.testing.assert_array_equal(gap[15:], before[15:])


def test_lips_part_on_l_r_and_th_but_stay_shut_beside_them() -> None:
    """As in "blue": the b closes them, the l opens them a little, and what was open already stays as it was."""
    phones = [Phone("B", 0.0, 0.2), Phone("L", 0.2, 0.36), Phone("UW", 0.36, 0.6)]
    shut = np.zeros((15, SPEC.n_motion), np.float32)
    gap = close_lips(part_lips(shut, phones, SPEC), phones, SPEC) @ gap_weights(SPEC)
    assert gap[:3].max() < 1e-3
    assert gap[6] == pytest.approx(0.035, abs=0.004)  # centred at 0.26 s
    assert gap[10:].max() < 1e-6
    opened = shut.copy()
    opened[:, 0] = 1.5
    np.testing.assert_array_equal(part_lips(opened, phones, SPEC), opened)


def test_closing_moves_no_more_than_the_lips_need() -> None:
    motion = np.zeros((5, SPEC.n_motion), np.float32)
    motion[:, :3] = [1.5, 0.7, -0.4]
    moved = close_lips(motion, [Phone("B", 0.0, 0.4)], SPEC) - motion
    jaw_alone = (motion @ gap_weights(SPEC)) / gap_weights(SPEC)[0]
    size = (MotionBasis.load(SPEC.motion_basis).components ** 2).sum((1, 2))[: SPEC.n_motion]
    assert ((moved**2 @ size) < jaw_alone**2 * size[0]).all()
