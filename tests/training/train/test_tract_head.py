"""The layer of the tract learns what the features tell, and nothing else of the network changes."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import voice

pytest.importorskip("torch")

import torch

from s2v.spec import TRACT_VARIABLES, LipSyncSpec
from s2v.training.networks.motion_network import MotionNet
from s2v.training.train.batches import Clip, unknown_tract, windows_of
from s2v.training.train.tract_head import fit_tract_head

SPEC = LipSyncSpec.of("s2v")
PCM = voice(4.0)
N = SPEC.frame_count(len(PCM)) - 1


def clip(tract: np.ndarray) -> Clip:
    return Clip("a/b", PCM, np.zeros((N, SPEC.n_motion), np.float32), np.zeros(N, np.float32), tract)


def network() -> MotionNet:
    torch.manual_seed(3)
    return MotionNet(SPEC).eval()


def test_it_says_what_the_features_tell() -> None:
    """Targets that a layer over these features could say: half of the frames high, half of them low."""
    net = network()
    with torch.no_grad():
        features = net._features(torch.from_numpy(windows_of(clip(unknown_tract(N)), SPEC))).flatten(1).numpy()
    which = features[:, : len(TRACT_VARIABLES)]
    targets = (which > np.median(which, axis=0)).astype(np.float32)
    motion, tract = (part.detach().clone() for part in net(torch.from_numpy(windows_of(clip(targets), SPEC))))
    fit_tract_head(net, [clip(targets)], steps=400)
    after_motion, after = net(torch.from_numpy(windows_of(clip(targets), SPEC)))
    assert torch.equal(after_motion, motion)
    wrong = [float((predicted.detach() - torch.from_numpy(targets)).square().mean()) for predicted in (tract, after)]
    assert wrong[1] < 0.6 * wrong[0]
    again = network()
    fit_tract_head(again, [clip(targets)], steps=400)
    assert torch.equal(again.tract.weight, net.tract.weight)


def test_where_no_tract_is_known_nothing_changes() -> None:
    net, as_it_was = network(), network()
    fit_tract_head(net, [clip(unknown_tract(N))], steps=5)
    assert torch.equal(net.tract.weight, as_it_was.tract.weight)


def test_the_head_of_an_average_is_fitted_too() -> None:
    net, targets = network(), np.tile(np.linspace(0, 1, N, dtype=np.float32)[:, None], (1, 5))
    net.requires_grad_(False)
    before = [weight.clone() for weight in net.tract.parameters()]
    fit_tract_head(net, [clip(targets)], steps=3)
    assert not all(map(torch.equal, before, net.tract.parameters()))
