from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.training.train.picture_batches import PICTURE_ARRAYS, Pictures, picture_batch


def drawn(n: int) -> Pictures:
    """Pictures with a bright left side."""
    arrays = {}
    for name in PICTURE_ARRAYS:
        arrays[name] = np.full((n, 16, 24, 3), 60, np.uint8)
        arrays[name][:, :, :12] = 180
    return Pictures(arrays, [("s1/a", i) for i in range(n)])


def test_pictures_become_tensors_unchanged() -> None:
    pictures = drawn(4)
    pictures.arrays["target"][3] += 7
    batch = picture_batch(pictures, np.array([3, 0]), rng=None)
    assert batch["target"].shape == (2, 3, 16, 24)
    for name in PICTURE_ARRAYS:
        back = (batch[name] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(back, pictures.arrays[name][[3, 0]])


def test_all_pictures_of_a_sample_are_mirrored_together() -> None:
    batch = picture_batch(drawn(40), np.arange(40), np.random.default_rng(0))
    bright_left = {name: batch[name].mean(1)[:, :, :12].mean((1, 2)) > batch[name].mean(1)[:, :, 12:].mean((1, 2))
                   for name in PICTURE_ARRAYS}  # fmt: skip
    assert torch.equal(bright_left["target"], bright_left["reference"])
    assert 8 < int(bright_left["target"].sum()) < 32  # some are, some are not


def test_all_pictures_of_a_sample_are_in_the_same_light() -> None:
    batch = picture_batch(drawn(40), np.arange(40), np.random.default_rng(0))
    torch.testing.assert_close(batch["reference"], batch["target"])
    assert batch["target"].std(0).mean() > 0.05  # samples differ
    assert 0 <= batch["target"].min() <= batch["target"].max() <= 1
