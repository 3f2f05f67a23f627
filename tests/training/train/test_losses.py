from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2v.engine.compositor.lips import light_between as engine_light
from s2v.engine.compositor.lips import paint_cover as engine_cover
from s2v.spec import LipSyncSpec
from s2v.training.train.losses import MotionLoss, light_between, mouth_loss, paint_cover, pixel_loss

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
    said = true.clone()
    said[10:, 0] = 1.0
    one, two = in_one_clip(20), in_one_clip(20)
    two[10] = False
    jump = wanted.weights[0] / 19
    assert float(wanted(said, true, one)) > float(wanted(said, true, two)) + 0.5 * float(jump)


def test_lips_that_should_be_closed_count_most(wanted: MotionLoss) -> None:
    follows = in_one_clip(20)
    closed, opened = torch.zeros(20, SPEC.n_motion), torch.zeros(20, SPEC.n_motion)
    opened[:, 0] = 2.0
    ajar = torch.zeros(SPEC.n_motion)
    ajar[0] = 0.3
    assert float(wanted(closed + ajar, closed, follows)) > 1.3 * float(wanted(opened + ajar, opened, follows))


def test_the_motion_loss_has_a_gradient(wanted: MotionLoss) -> None:
    said = motion(seed=3).requires_grad_()
    wanted(said, motion(), in_one_clip(50)).backward()
    assert said.grad is not None
    assert torch.isfinite(said.grad).all()
    assert (said.grad.abs().sum(1) > 0).all()


# --- pictures ------------------------------------------------------------------------------------------


def pictures() -> dict[str, Tensor]:
    """A grey mouth patch whose opening, 12 x 40 px, is dark in truth and grey in the warped reference."""
    opening = torch.zeros(2, 1, 64, 96)
    opening[:, :, 26:38, 28:68] = 1
    warped = torch.full((2, 3, 64, 96), 0.6)
    blocks = torch.ones(2, dtype=torch.long)
    patches = {"opening": opening, "gate": opening, "mouth_warped": warped, "mouth_target": warped - 0.5 * opening}
    return {**patches, "blocks": blocks}


def painted(batch: dict[str, Tensor], alpha: float, brightness: float = 0.0) -> Tensor:
    colour = batch["mouth_target"] + brightness
    return torch.cat([colour, torch.full_like(colour[:, :1], alpha)], 1)


def test_the_true_mouth_costs_nothing() -> None:
    batch = pictures()
    assert float(mouth_loss(painted(batch, alpha=1), batch)) == pytest.approx(0, abs=1e-6)


def test_wrong_paint_and_no_paint_cost() -> None:
    batch = pictures()
    right = float(mouth_loss(painted(batch, 1), batch))
    off = [float(mouth_loss(painted(batch, 1, brightness), batch)) for brightness in (0.05, 0.2)]
    assert right < off[0] < off[1]
    # At the soft edge, where alpha decides, leaving the reference's lips unpainted costs too.
    batch["gate"] = 0.5 * batch["gate"]
    assert float(mouth_loss(painted(batch, 0), batch)) > float(mouth_loss(painted(batch, 1), batch)) + 0.05


def test_inside_the_opening_paint_is_opaque_whatever_its_alpha() -> None:
    gate = torch.tensor([0.0, 0.3, 0.5, 0.75, 1.0])
    assert paint_cover(torch.zeros(5), gate).tolist() == [0, 0, 0, 0.375, 1]
    assert torch.equal(paint_cover(torch.ones(5), gate), gate)


def test_engine_and_training_cover_alike() -> None:
    alpha, gate = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(paint_cover(alpha, gate).numpy(), engine_cover(alpha.numpy(), gate.numpy()), atol=1e-6)


def test_a_magnified_picture_is_compared_at_its_own_resolution() -> None:
    batch = pictures()
    grain = 0.1 * (torch.arange(96) % 2 * 2 - 1).float()  # finer than a source of half the resolution can show
    mouth = painted(batch, 1)
    mouth[:, :3] += grain
    costs = {}
    for block in (1, 2):
        batch["blocks"] = torch.full((2,), block)
        costs[block] = float(mouth_loss(mouth, batch))
    assert costs[1] > 0.1
    assert costs[2] < 0.2 * costs[1]


def test_what_paint_does_outside_the_opening_teaches_it_nothing() -> None:
    batch = pictures()
    batch["gate"] = torch.ones_like(batch["gate"])
    mouth = painted(batch, 1, 0.1).requires_grad_()
    mouth_loss(mouth, batch).backward()
    outside = (batch["opening"] == 0).expand(-1, 3, -1, -1)
    assert mouth.grad is not None
    assert (mouth.grad[:, :3][outside] == 0).all()
    assert (mouth.grad[:, :3][~outside] != 0).any()


def test_paint_outside_the_gate_is_not_seen() -> None:
    batch = pictures()
    mouth = painted(batch, 1)
    mouth[:, :, :20] = 0.9
    assert float(mouth_loss(mouth, batch)) == pytest.approx(0, abs=1e-6)


def test_what_is_far_from_the_mouth_does_not_count() -> None:
    batch = pictures()
    batch["mouth_target"] = batch["mouth_target"].clone()
    batch["mouth_target"][:, :, :15] = 0
    assert float(mouth_loss(painted(pictures(), 1), batch)) == pytest.approx(0, abs=1e-6)


def test_a_closed_mouth_costs_nothing_and_is_no_error() -> None:
    batch = {key: torch.zeros_like(value) for key, value in pictures().items()}
    batch["blocks"] += 1
    mouth = painted(batch, 1, 0.5).requires_grad_()
    loss = mouth_loss(mouth, batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert mouth.grad is not None and torch.isfinite(mouth.grad).all()


def test_pixels_of_the_mouth_count_four_times() -> None:
    target = torch.zeros(1, 3, 112, 112)
    mouth, forehead = target.clone(), target.clone()
    mouth[..., 70:80, 50:60] = 1
    forehead[..., 10:20, 50:60] = 1
    assert float(pixel_loss(target, target)) == 0
    assert float(pixel_loss(mouth, target)) == pytest.approx(4 * float(pixel_loss(forehead, target)))


@given(st.floats(0.0, 60.0), st.floats(40.0, 200.0))
@settings(max_examples=20, deadline=None)
def test_light_between_the_lips_is_the_engines(height: float, unit_px: float) -> None:
    rows, columns = np.mgrid[:96, :160].astype(np.float32)
    gate = np.clip(height / 2 - np.hypot((columns - 80) * height / 120, rows - 40) + 0.5, 0, 1).astype(np.float32)
    ours = light_between(torch.from_numpy(gate)[None, None], unit_px)[0, 0].numpy()
    # The engine's blur cuts its kernel off a little earlier.
    np.testing.assert_allclose(ours, engine_light(gate, unit_px), atol=0.01)
