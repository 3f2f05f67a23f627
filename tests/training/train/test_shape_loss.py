"""What a mean of squares forgets."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.spec import LipSyncSpec
from s2v.training.train.losses import ShapeLoss

SPEC = LipSyncSpec()


@pytest.fixture(scope="module")
def shapes() -> ShapeLoss:
    return ShapeLoss(SPEC)


def talk(seconds: int = 4, scale: float = 1.0, seed: int = 0) -> Tensor:
    """Smooth motion about an open mouth, (1, n, n_motion)."""
    rough = torch.randn(25 * seconds + 4, SPEC.n_motion, generator=torch.Generator().manual_seed(seed))
    smooth = rough.unfold(0, 5, 1).mean(-1)
    return (scale * smooth + torch.eye(SPEC.n_motion)[0] * 4)[None]


def all_follow(true: Tensor) -> Tensor:
    return torch.ones(true.shape[:2], dtype=torch.bool)


def test_the_truth_has_the_right_shapes(shapes: ShapeLoss) -> None:
    assert float(shapes(talk(), talk(), all_follow(talk()))) == pytest.approx(0, abs=1e-6)


def test_half_the_motion_costs_and_so_does_the_mean(shapes: ShapeLoss) -> None:
    true, follows = talk(), all_follow(talk())
    lively = true.mean(1, keepdim=True) + 1.5 * (true - true.mean(1, keepdim=True))
    half = true.mean(1, keepdim=True) + 0.5 * (true - true.mean(1, keepdim=True))
    mean = true.mean(1, keepdim=True).expand_as(true)
    assert float(shapes(half, true, follows)) > float(shapes(lively, true, follows))
    assert float(shapes(mean, true, follows)) > float(shapes(half, true, follows))


def test_opening_further_costs_nothing(shapes: ShapeLoss) -> None:
    """Shortfalls are one-sided: what is off in the opening alone, in step and livelier, is `MotionLoss`'s business."""
    true = talk()
    direction = torch.linalg.pinv(shapes.shapes.T)[:, 0]  # opens the lips, leaves width and chin
    opening = (true @ shapes.shapes)[..., 0]
    lively = true + 0.5 * (opening - opening.min())[..., None] * direction
    assert float(shapes(lively, true, all_follow(true))) == pytest.approx(0, abs=1e-4)


def test_an_opening_that_goes_its_own_way_costs_though_it_is_as_lively(shapes: ShapeLoss) -> None:
    true, other = talk(), talk(seed=1)
    direction = torch.linalg.pinv(shapes.shapes.T)[:, 0]
    mine, theirs = ((motion @ shapes.shapes)[..., 0] for motion in (true, other))
    astray = true + (theirs - mine)[..., None] * direction
    with_it = float(shapes(astray, true, all_follow(true)))
    narrow = 4 * torch.relu(mine - theirs).mean()
    assert with_it > float(narrow) + 0.1  # 0.15 for curves that have nothing to do with each other


def test_a_mouth_too_wide_costs_five_times_how_much(shapes: ShapeLoss) -> None:
    true = talk()
    direction = torch.linalg.pinv(shapes.shapes.T)[:, 1]
    assert float(shapes(true + 0.03 * direction, true, all_follow(true))) == pytest.approx(5 * 0.03, rel=1e-3)


def test_where_the_target_rests_lips_are_to_be_shut_and_still(shapes: ShapeLoss) -> None:
    rest = torch.zeros(1, 50, SPEC.n_motion)
    opens = torch.linalg.pinv(shapes.shapes.T)[:, 0]
    ajar = rest + 0.02 * opens
    trembling = rest + 0.005 * (-1.0) ** torch.arange(50)[None, :, None] * opens
    assert float(shapes(ajar, rest, all_follow(rest))) == pytest.approx(1.5 * 0.02 + 8 * 0.01, rel=1e-3)
    assert float(shapes(trembling, rest, all_follow(rest))) == pytest.approx(1.5 * 0.005 + 6 * 0.01, rel=0.02)


def test_a_jump_between_clips_is_no_speed(shapes: ShapeLoss) -> None:
    """Following a target's jump by half is too slow only where it is a movement."""
    true = torch.zeros(1, 50, SPEC.n_motion)
    true[:, 25:, 0] = 2
    predicted = true / 2 + true.mean() / 2
    two = all_follow(true)
    two[:, 25] = False
    assert float(shapes(predicted, true, all_follow(true))) > float(shapes(predicted, true, two)) + 0.001


def test_lips_open_where_the_target_closes_cost_more_than_shut_where_it_opens(shapes: ShapeLoss) -> None:
    true, opens = talk(scale=0.0), torch.linalg.pinv(shapes.shapes.T)[:, 0]
    closing, opening = true.clone(), true.clone()
    closing[:, 40:43] -= (true[0, 0] @ shapes.shapes[:, 0]) * opens
    opening[:, 43:46] -= (true[0, 0] @ shapes.shapes[:, 0]) * opens
    missed, pressed = shapes(true, closing, all_follow(true)), shapes(closing, true, all_follow(true))
    assert float(missed) > float(pressed) + 0.01
    assert float(pressed) > 0.02


def test_shapes_of_frames_that_nobody_knows_cost_nothing(shapes: ShapeLoss) -> None:
    true, predicted = talk(), talk(seed=1)
    unknown = true.clone()
    unknown[0, 30:40] = float("nan")
    true[0, 30:40] = 50.0
    predicted = predicted.requires_grad_()
    shapes(predicted, unknown, all_follow(true)).backward()
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()
    assert (predicted.grad[0, 30:40] == 0).all()
    predicted = predicted.detach()
    assert float(shapes(predicted, unknown, all_follow(true))) < float(shapes(predicted, true, all_follow(true))) / 5
    rest_right = unknown.nan_to_num(40.0)
    assert float(shapes(rest_right, unknown, all_follow(true))) == pytest.approx(0, abs=1e-5)
