from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionMouth
from s2v.training.networks.mouth_decoder import N_SETS, TeethMemory
from s2v.training.train.mouth_training import MouthTraining, tooth_area
from s2v.training.train.picture_batches import PICTURE_ARRAYS, Pictures, picture_batch

SPEC = replace(LipSyncSpec(), mouth_w_px=64, mouth_h_px=32)
PEOPLE = ["a", "b", "c", "a"]


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Four pictures of three people: between the lips of `b` it is bright, of the others dark."""
    dice = np.random.default_rng(0)
    n = len(PEOPLE)
    arrays = {}
    for name in PICTURE_ARRAYS:
        face = name in ("target", "reference")
        size = (SPEC.face_px, SPEC.face_px) if face else (SPEC.mouth_h_px, SPEC.mouth_w_px)
        arrays[name] = dice.integers(0, 90, (n, *size) if name in ("opening", "gate") else (n, *size, 3), np.uint8)
    for name in ("opening", "gate"):
        arrays[name][:] = 0
        arrays[name][:, 8:16, 16:48] = 255
    arrays["mouth_target"][1, 8:16, 16:48] = 230
    for i, brightness in enumerate((40, 90, 160, 40)):
        arrays["reference"][i] = brightness
    motion = dice.normal(0, 1, (n, SPEC.n_motion)).astype(np.float32)
    return Pictures(arrays, motion, [("", 0)] * n, np.full(n, 1.2, np.float32), PEOPLE)


def lesson_of(pictures: Pictures, seed: int = 0) -> MouthTraining:
    torch.manual_seed(seed)
    return MouthTraining(MotionMouth(SPEC), pictures, torch.device("cpu"))


def test_bright_pixels_between_the_lips_are_teeth(pictures: Pictures) -> None:
    areas = dict(zip(pictures.names, tooth_area(pictures), strict=True))
    assert areas["b"] > 90
    assert areas["a"] == areas["c"] == 0
    larger = replace(pictures, magnified=pictures.magnified * 2)
    assert tooth_area(larger).max() == pytest.approx(areas["b"] / 4)  # a magnified picture holds less


def test_steps_bring_the_mouths_nearer_to_the_truth(pictures: Pictures) -> None:
    mouth_training = lesson_of(pictures)
    groups = mouth_training.parameter_groups(list(mouth_training.network.parameters()))
    optimiser = torch.optim.AdamW([{**group, "lr": 3e-3 * group["rate"]} for group in groups])
    batch = picture_batch(pictures, np.arange(4), rng=None)
    costs = []
    for _ in range(12):
        loss = mouth_training.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mouth_training.step(3e-3)
        costs.append(float(loss.detach()))
    assert costs[-1] < 0.8 * costs[0]
    drawn = mouth_training.memory.sets(torch.arange(3))
    assert not torch.equal(drawn[0], drawn[1])  # everybody has teeth of their own


def test_the_network_takes_along_the_teeth_that_show_best(pictures: Pictures) -> None:
    mouth_training = lesson_of(pictures)
    torch.nn.init.normal_(mouth_training.memory.own.weight)
    mouth_training.settle()
    encoder = mouth_training.network.face_encoder
    own = mouth_training.memory.sets(torch.arange(3))
    torch.testing.assert_close(encoder.sets[0], own[1])
    assert len(encoder.sets) == N_SETS  # with fewer people than sets, some come twice
    for teeth in encoder.sets:
        assert any(torch.equal(teeth, one) for one in own)
    # and whoever is among them gets back their own
    face = picture_batch(pictures, np.array([1]), rng=None)["reference"]
    masked = face.clone()
    masked[:, :, SPEC.face_px // 2 :] = 0
    mouth_training.network.eval()
    with torch.no_grad():
        _, teeth = encoder(torch.cat([masked, face], 1))
    torch.testing.assert_close(teeth[0], own[1])


def test_teeth_of_another_run_are_taken_up(pictures: Pictures) -> None:
    mouth_training, other = lesson_of(pictures), lesson_of(pictures, seed=1)
    torch.nn.init.normal_(other.memory.own.weight)
    mouth_training.recall(other.state())
    torch.testing.assert_close(mouth_training.memory.own.weight, other.memory.own.weight, atol=2e-3, rtol=1e-3)
    with pytest.raises(DataError, match="teeth are of other people than the 3 of these shards"):
        mouth_training.recall(TeethMemory(SPEC, torch.ones(5, 32, 64), torch.ones(5, 32, 64)).state_dict())


def test_pictures_of_nobody_are_refused(pictures: Pictures) -> None:
    with pytest.raises(DataError, match="do not say whose mouth they show: prepare them again"):
        lesson_of(replace(pictures, people=[]))
