from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.spec import LipSyncSpec
from s2v.training.train.picture_batches import PICTURE_ARRAYS, Pictures, picture_batch, picture_batches

SPEC = LipSyncSpec()


def drawn(n_still: int, n_talking: int) -> Pictures:
    """Pictures with a bright left side; `gate` is a grey ramp, so that mirroring shows."""
    n = n_still + n_talking
    arrays = {}
    for name in PICTURE_ARRAYS:
        shape = (n, 16, 24) if name in ("opening", "gate") else (n, 16, 24, 3)
        arrays[name] = np.full(shape, 60, np.uint8)
        arrays[name][:, :, :12] = 180
    where = [("", 0)] * n_still + [("s1/a", i) for i in range(n_talking)]
    motion = np.arange(n, dtype=np.float32)[:, None] * np.ones(SPEC.n_motion, np.float32)
    return Pictures(arrays, motion, where)


def test_pictures_become_tensors_unchanged() -> None:
    pictures = drawn(2, 2)
    batch = picture_batch(pictures, np.array([3, 0]), rng=None)
    assert batch["target"].shape == (2, 3, 16, 24)
    assert batch["gate"].shape == (2, 1, 16, 24)
    assert batch["motion"][:, 0].tolist() == [3, 0]
    for name in PICTURE_ARRAYS:
        back = (batch[name] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(back.reshape(pictures.arrays[name][[3, 0]].shape), pictures.arrays[name][[3, 0]])


def test_all_pictures_of_a_sample_are_mirrored_together() -> None:
    batch = picture_batch(drawn(0, 40), np.arange(40), np.random.default_rng(0))
    bright_left = {name: batch[name].mean(1)[:, :, :12].mean((1, 2)) > batch[name].mean(1)[:, :, 12:].mean((1, 2))
                   for name in PICTURE_ARRAYS}  # fmt: skip
    for name in PICTURE_ARRAYS:
        if name != "reference":  # some of them are made up
            assert torch.equal(bright_left[name], bright_left["gate"])
    assert torch.equal(batch["mirrored"], ~bright_left["gate"])
    assert 8 < int(bright_left["gate"].sum()) < 32  # some are, some are not


def test_all_pictures_of_a_sample_are_in_the_same_light_and_masks_in_none() -> None:
    batch = picture_batch(drawn(0, 40), np.arange(40), np.random.default_rng(0))
    for name in ("mouth_target", "mouth_warped"):
        torch.testing.assert_close(batch[name], batch["target"])
    assert batch["target"].std(0).mean() > 0.05  # samples differ
    assert 0 <= batch["target"].min() <= batch["target"].max() <= 1
    for name in ("opening", "gate"):
        assert set(batch[name].unique().tolist()) == {np.float32(60 / 255), np.float32(180 / 255)}
    np.testing.assert_array_equal(batch["motion"][:, 0], np.arange(40))


def test_light_from_the_side_is_the_same_on_the_patch_as_on_the_face_around_it() -> None:
    plain = drawn(0, 30)
    for name, side in (("target", 64), ("mouth_target", 32)):
        plain.arrays[name] = np.full((30, 32, side, 3) if side == 32 else (30, 64, 64, 3), 120, np.uint8)
    plain.arrays["mouth_target"] = np.full((30, 20, 32, 3), 120, np.uint8)
    batch = picture_batch(plain, np.arange(30), np.random.default_rng(0))
    # The patch is the middle half of the face crop: its left edge lies a quarter in.
    quarter = batch["target"][:, :, 0, 15:18].mean(-1)
    torch.testing.assert_close(batch["mouth_target"][:, :, 0, 0], quarter, atol=0.02, rtol=0)


def test_some_references_wear_lipstick_and_the_truth_does_not() -> None:
    plain = drawn(0, 60)
    plain.arrays["reference"] = plain.arrays["target"] = np.full((60, 56, 56, 3), 150, np.uint8)
    batch = picture_batch(plain, np.arange(60), np.random.default_rng(0))
    changed = (batch["reference"] - batch["target"]).abs()
    lips, forehead = changed[:, :, 32:38, 24:32].mean((1, 2, 3)), changed[:, :, :8].mean((1, 2, 3))
    assert 10 < int((lips > 0.03).sum()) < 50
    assert forehead.max() < 0.02


def test_a_batch_tells_whose_mouth_it_shows_and_how_coarse() -> None:
    people = replace(drawn(2, 2), people=["b", "a", "c", "a"], magnified=np.array([0.4, 1.2, 2.6, 9.0], np.float32))
    assert people.names == ["a", "b", "c"]
    batch = picture_batch(people, np.array([2, 1, 0, 3]), rng=None)
    assert batch["person"].tolist() == [2, 0, 1, 0]
    assert batch["blocks"].tolist() == [3, 1, 1, 4]
    assert not batch["mirrored"].any()


def test_a_share_of_every_batch_is_stills() -> None:
    batches = picture_batches(drawn(5, 50), 10, np.random.default_rng(0), still_share=0.4)
    for _ in range(5):
        assert int((next(batches)["motion"][:, 0] < 5).sum()) == 4


@pytest.mark.parametrize(("n_still", "n_talking"), [(0, 6), (6, 0)])
def test_one_kind_of_picture_is_enough(n_still: int, n_talking: int) -> None:
    batch = next(picture_batches(drawn(n_still, n_talking), 8, np.random.default_rng(0)))
    assert len(batch["motion"]) == 8
