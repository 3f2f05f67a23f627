from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.training.train.picture_batches import Pictures
from s2v.training.train.shared_faces import choose_shared, shared_faces

WHERE = [(clip, frame) for clip in ("a", "b") for frame in range(4)] + [("alone", 0)]


def numbered() -> Pictures:
    """Pictures whose grey is their number; the left side is brighter."""
    n = len(WHERE)
    grey = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, 8, 8, 3))
    grey[:, :, :4] += 100
    return Pictures({"target": grey, "reference": grey + 50}, WHERE)


def test_a_row_is_of_one_clip_and_holds_no_picture_twice() -> None:
    usable = [0, 1, 2, 4, 5, 6, 7]
    chosen = choose_shared(WHERE, usable, 60, 3, np.random.default_rng(0))
    assert chosen.shape == (60, 3)
    assert set(chosen.ravel()) == set(usable)
    assert set(chosen[:, 0]) == set(usable)
    for row in chosen:
        assert len({WHERE[i][0] for i in row}) == 1
        assert len(set(row)) == 3


def test_a_clip_with_too_few_pictures_gives_some_of_them_twice() -> None:
    rng = np.random.default_rng(0)
    assert choose_shared(WHERE, [8], 1, 3, rng).tolist() == [[8, 8, 8]]
    row = choose_shared(WHERE, [4, 5], 1, 4, rng)[0]
    assert set(row) == {4, 5}


def test_a_face_shows_the_first_targets_upper_half_and_its_reference() -> None:
    face, target = shared_faces(numbered(), np.array([[2, 1], [7, 4]]), None)
    assert (face.shape, target.shape) == ((2, 6, 8, 8), (4, 3, 8, 8))
    assert (255 * target[:, 0, 0, -1]).round().tolist() == [2, 1, 7, 4]
    assert (255 * face[:, 0, 0, -1]).round().tolist() == [2, 7]
    assert not face[:, :3, 4:].any()
    assert (255 * face[:, 3:, :, -1]).round().amax((1, 2)).tolist() == [52, 57]


def test_what_shares_a_face_is_mirrored_and_lit_alike() -> None:
    rows = np.tile([[0, 0, 0]], (40, 1))
    face, target = shared_faces(numbered(), rows, np.random.default_rng(0))
    of_face = target.unflatten(0, (40, 3))
    torch.testing.assert_close(of_face[:, 1:], of_face[:, :1].expand(-1, 2, -1, -1, -1))
    torch.testing.assert_close(face[:, :3, :4], of_face[:, 0, :, :4])
    assert len({round(float(value), 4) for value in of_face[:, 0].mean((1, 2, 3))}) > 30
    mirrored = of_face[:, 0].mean((1, 2))[:, 0] < of_face[:, 0].mean((1, 2))[:, -1]
    assert 8 < int(mirrored.sum()) < 32
