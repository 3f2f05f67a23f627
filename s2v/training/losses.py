"""What the networks are asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from s2v.engine.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP
from s2v.engine.motion import MotionBasis
from s2v.spec import LipSyncSpec


class MotionLoss(torch.nn.Module):
    """Coefficients weighed by how far they move the face, their velocity, and the lips' opening.

    Closed lips count more than open ones: a viewer forgives a wide vowel, not an open "m".
    """

    weights: Tensor
    gaps: Tensor

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        basis = MotionBasis.load(spec.motion_basis)
        size = torch.tensor((basis.components**2).sum((1, 2)) ** 0.5, dtype=torch.float32)[: spec.n_motion]
        self.register_buffer("weights", size / size.sum())
        whole = {int(point): i for i, point in enumerate(basis.points)}
        lower = basis.components[:, [whole[p] for p in LOWER_INNER_LIP[2:-2]], 1]
        upper = basis.components[:, [whole[p] for p in UPPER_INNER_LIP[2:-2]], 1]
        self.register_buffer("gaps", torch.tensor((lower - upper)[: spec.n_motion], dtype=torch.float32))

    def forward(self, said: Tensor, true: Tensor, follows: Tensor) -> Tensor:
        """(..., n, n_motion) twice and (..., n) bool, whether a frame follows the one before it -> scalar."""
        position = ((said - true) ** 2 @ self.weights).mean()
        velocity = ((said.diff(dim=-2) - true.diff(dim=-2)) ** 2 @ self.weights)[follows[..., 1:]].mean()
        gap_said, gap_true = said @ self.gaps, true @ self.gaps
        closed = 1 + 2 * (gap_true < 0.01).float()
        opening = (closed * (gap_said - gap_true).abs()).mean()
        return position + velocity + 5 * opening


def mouth_loss(mouth: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """The patch laid over the warped reference must give the true mouth, and be true inside the opening.

    Args:
        mouth: (b, 4, h, w) BGR and alpha. batch: `data.picture_batches`.
    """
    colour, alpha = mouth[:, :3], mouth[:, 3:] * batch["gate"]
    shown = batch["mouth_warped"] * (1 - alpha) + colour * alpha
    inside = batch["opening"]
    near = functional.max_pool2d(torch.maximum(inside, batch["gate"]), 5, 1, 2)
    true = batch["mouth_target"]
    loss = _weighed((shown - true).abs(), near) + 0.5 * _weighed((colour - true).abs(), inside)
    for scale in (1, 2, 4):
        a, b, w = (functional.avg_pool2d(x, scale) if scale > 1 else x for x in (shown, true, near))
        for axis in (2, 3):
            edges = (a.diff(dim=axis) - b.diff(dim=axis)).abs()
            loss = loss + 0.5 * _weighed(edges, w.narrow(axis, 1, w.shape[axis] - 1))
    return loss


def pixel_loss(pixels: Tensor, target: Tensor) -> Tensor:
    """The paper's L1, with the mouth counted four times: (b, 3, h, w) twice -> scalar."""
    height, width = target.shape[2:]
    weight = torch.ones(1, 1, height, width, device=target.device)
    weight[..., height // 2 : round(height * 0.85), round(width * 0.25) : round(width * 0.75)] = 4
    return ((pixels - target).abs() * weight).mean()


def _weighed(error: Tensor, weight: Tensor) -> Tensor:
    return (error * weight).sum() / (weight.sum() * error.shape[1] + 1e-3)
