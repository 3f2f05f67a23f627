"""Tract variables are spread until their ends are reached, and only where there are ends to reach."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import voice

pytest.importorskip("torch")

import torch

from s2v.spec import LipSyncSpec
from s2v.training.networks.motion_network import MotionNet
from s2v.training.train.batches import Clip
from s2v.training.train.tract_calibration import TractCalibration

SPEC = LipSyncSpec.of("s2v")
PCM = voice(4.0)
N = SPEC.frame_count(len(PCM)) - 1


def network() -> MotionNet:
    torch.manual_seed(3)
    return MotionNet(SPEC).eval()


def prediction(net: MotionNet) -> np.ndarray:
    from s2v.engine.audio.windows import mfcc_windows

    with torch.no_grad():
        return np.asarray(net(torch.from_numpy(mfcc_windows(PCM, SPEC)[:N, None]))[1])


def clip(tract: np.ndarray) -> Clip:
    return Clip("a/b", PCM, np.zeros((N, SPEC.n_motion), np.float32), np.zeros(N, np.float32), tract)


def ends_of(before: np.ndarray) -> np.ndarray:
    """Targets at 0 or 1, as the network's own mean says, which is what a good but timid network would see."""
    return np.asarray(before > np.median(before, axis=0), np.float32)


def test_what_is_low_and_high_becomes_lower_and_higher() -> None:
    net = network()
    with torch.no_grad():
        net.tract.weight *= 20  # fresh weights say nearly the same of every sound
    before = prediction(net)
    targets = ends_of(before)
    TractCalibration([clip(targets)], SPEC).apply(net)
    after = prediction(net)
    for index in range(5):
        low, high = after[targets[:, index] == 0, index], after[targets[:, index] == 1, index]
        assert low.mean() < 0.3 and high.mean() > 0.7
        assert np.corrcoef(
            np.log(after[:, index] / (1 - after[:, index])), np.log(before[:, index] / (1 - before[:, index]))
        )[0, 1] == pytest.approx(1, abs=1e-3)


def test_unknown_targets_leave_everything_as_it_is() -> None:
    net = network()
    before = prediction(net)
    TractCalibration([clip(np.full((N, 5), np.nan, np.float32))], SPEC).apply(net)
    np.testing.assert_array_equal(prediction(net), before)
    TractCalibration([], SPEC).apply(net)
    np.testing.assert_array_equal(prediction(net), before)


def test_a_variable_that_says_nothing_is_not_blown_up() -> None:
    net = network()
    with torch.no_grad():
        net.tract.weight.zero_()
    before = prediction(net)
    TractCalibration([clip(np.tile(np.array([[0], [1]], np.float32), (N // 2 + 1, 5))[:N])], SPEC).apply(net)
    np.testing.assert_array_equal(prediction(net), before)


def test_training_sees_tract_variables_that_are_not_spread() -> None:
    from s2v.engine.audio.windows import mfcc_windows

    net = network()
    net.tract_gain.fill_(3.0)
    window = torch.from_numpy(mfcc_windows(PCM, SPEC)[20:21, None])
    with torch.no_grad():
        raw = net.over(window[:, 0].transpose(1, 2))[1][0]
        logits = torch.logit(raw)
        torch.testing.assert_close(net(window)[1], torch.sigmoid(3 * logits), atol=1e-4, rtol=1e-4)
