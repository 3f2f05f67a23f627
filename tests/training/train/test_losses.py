from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.spec import LipSyncSpec
from s2v.training.train.losses import MotionLoss, ShapeLoss, _uncorrelated, pixel_loss, tract_loss

SPEC = LipSyncSpec()


@pytest.fixture(scope="module")
def wanted() -> MotionLoss:
    return MotionLoss(SPEC)


def motion(rows: int = 50, seed: int = 0) -> Tensor:
    return torch.randn(rows, SPEC.n_motion, generator=torch.Generator().manual_seed(seed))


def in_one_clip(rows: int) -> Tensor:
    follows = torch.ones(rows, dtype=torch.bool)
    follows[0] = False
    return follows


def test_the_truth_costs_nothing_and_errors_cost_more_the_larger_they_are(wanted: MotionLoss) -> None:
    true, follows = motion(), in_one_clip(50)
    costs = [float(wanted(true + size * motion(seed=1), true, follows)) for size in (0.0, 0.1, 0.5, 2.0)]
    assert costs[0] == 0
    assert costs == sorted(set(costs))


def test_the_jaw_counts_more_than_the_last_component(wanted: MotionLoss) -> None:
    true, follows = torch.zeros(20, SPEC.n_motion), in_one_clip(20)
    jaw, last = true.clone(), true.clone()
    jaw[:, 0], last[:, -1] = 1, 1
    assert float(wanted(jaw, true, follows)) > 5 * float(wanted(last, true, follows))
    assert wanted.weights.sum() == pytest.approx(1)


def test_trembling_costs_more_than_standing_beside_the_truth(wanted: MotionLoss) -> None:
    true, follows = torch.zeros(40, SPEC.n_motion), in_one_clip(40)
    beside, trembling = true.clone(), true.clone()
    beside[:, 0] = 0.5
    trembling[:, 0] = 0.5 * (-1.0) ** torch.arange(40)
    assert float(wanted(trembling, true, follows)) > 1.5 * float(wanted(beside, true, follows))


def test_a_jump_between_clips_is_no_motion(wanted: MotionLoss) -> None:
    true = torch.zeros(20, SPEC.n_motion)
    predicted = true.clone()
    predicted[10:, 0] = 1.0
    one, two = in_one_clip(20), in_one_clip(20)
    two[10] = False
    jump = wanted.weights[0] / 19
    assert float(wanted(predicted, true, one)) > float(wanted(predicted, true, two)) + 0.5 * float(jump)


def test_lips_that_should_be_closed_count_most(wanted: MotionLoss) -> None:
    follows = in_one_clip(20)
    closed, opened = torch.zeros(20, SPEC.n_motion), torch.zeros(20, SPEC.n_motion)
    opened[:, 0] = 2.0
    ajar = torch.zeros(SPEC.n_motion)
    ajar[0] = 0.3
    assert float(wanted(closed + ajar, closed, follows)) > 1.3 * float(wanted(opened + ajar, opened, follows))


def test_the_motion_loss_has_a_gradient(wanted: MotionLoss) -> None:
    predicted = motion(seed=3).requires_grad_()
    wanted(predicted, motion(), in_one_clip(50)).backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad.abs().sum(1) > 0).all()


def spoken(opening: Tensor) -> Tensor:
    """(1, n, n_motion): a jaw that goes up and down."""
    predicted = torch.zeros(1, len(opening), SPEC.n_motion)
    predicted[0, :, 0] = opening
    return predicted


def test_a_mouth_that_moves_out_of_step_costs_and_one_that_nobody_moved_does_not() -> None:
    at = torch.arange(150) / 25
    up, late = 1 + torch.sin(6.28 * 3 * at), 1 + torch.sin(6.28 * 3 * at + 3.14)
    curves = [torch.stack([row, row], -1)[None] * 0.02 for row in (up, late, torch.zeros(150))]
    in_step, against, unasked = (
        _uncorrelated(curves[0], other, torch.ones(1, 150, dtype=torch.bool)) for other in curves
    )
    torch.testing.assert_close(in_step, torch.zeros(2), atol=0.05, rtol=0)
    assert (against > 1.5).all() and (unasked == 0).all()
    shapes, follows = ShapeLoss(SPEC), torch.ones(1, 150, dtype=torch.bool)
    costs = [float(shapes(spoken(predicted), spoken(up), follows)) for predicted in (up, late)]
    assert costs[0] < 0.05 < 0.3 < costs[1]


def test_tract_variables_cost_only_where_they_are_known() -> None:
    target = torch.full((2, 5, 5), float("nan"))
    prediction = torch.full((2, 5, 5), 0.5, requires_grad=True)
    nothing = tract_loss(prediction, target)
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert prediction.grad is not None and (prediction.grad == 0).all()
    target[0, :2, 1] = 0.7
    known = torch.zeros(2, 5, 5, dtype=torch.bool)
    known[0, :2, 1] = True
    prediction.grad = None
    loss = tract_loss(prediction, target)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.04)  # the mean over what is known
    assert prediction.grad is not None
    assert torch.equal(torch.ne(prediction.grad, 0), known)


def test_pixels_of_the_mouth_count_four_times() -> None:
    target = torch.zeros(1, 3, 112, 112)
    mouth, forehead = target.clone(), target.clone()
    mouth[..., 70:80, 50:60] = 1
    forehead[..., 10:20, 50:60] = 1
    assert float(pixel_loss(target, target)) == 0
    assert float(pixel_loss(mouth, target)) == pytest.approx(4 * float(pixel_loss(forehead, target)))


def test_a_motion_that_nobody_knows_costs_nothing_and_pulls_nowhere(wanted: MotionLoss) -> None:
    true, predicted, follows = motion(), motion(seed=1), in_one_clip(50)
    unknown = true.clone()
    unknown[10:13, 2] = float("nan")  # one coefficient is enough
    prediction = predicted.clone().requires_grad_()
    loss = wanted(prediction, unknown, follows)
    loss.backward()
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()
    assert torch.equal((prediction.grad == 0).all(1), unknown.isnan().any(1))
    apart = follows.clone()
    apart[10] = False  # the steps into and out of what was taken out are no motion either
    kept = torch.arange(50) // 10 != 1
    kept[13:20] = True
    without = wanted(predicted[kept], true[kept], apart[[*range(10), 10, *range(14, 50)]])
    assert float(loss.detach()) == pytest.approx(float(without), rel=1e-5)


def test_rows_of_which_nothing_is_known_cost_nothing(wanted: MotionLoss) -> None:
    predicted = motion()[None].requires_grad_()
    unknown = torch.full((1, 50, SPEC.n_motion), float("nan"))
    follows = torch.ones(1, 50, dtype=torch.bool)
    loss = wanted(predicted, unknown, follows) + ShapeLoss(SPEC)(predicted, unknown, follows)
    loss.backward()
    assert float(loss.detach()) == 0
    assert predicted.grad is not None and (predicted.grad == 0).all()


def test_a_label_far_off_pulls_no_harder_than_one_two_deviations_off(wanted: MotionLoss) -> None:
    true, follows = torch.zeros(20, SPEC.n_motion), in_one_clip(20)
    pulls = []
    for off in (0.5, 2.0, 17.0):
        predicted = torch.zeros(20, SPEC.n_motion, requires_grad=True)
        wrong = true.clone()
        wrong[5, 3] = off  # not the jaw, whose opening costs its size already
        wanted(predicted, wrong, follows).backward()
        assert predicted.grad is not None
        pulls.append(float(predicted.grad[5, 3].abs()))
    assert pulls[1] > 2 * pulls[0]
    assert pulls[2] < 1.2 * pulls[1]
