"""What the networks are asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP
from s2v.engine.face.motion_basis import MotionBasis
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

    def forward(self, prediction: Tensor, target: Tensor, follows: Tensor) -> Tensor:
        """(..., n, n_motion) twice and (..., n) bool, whether a frame follows the one before it -> scalar."""
        position = ((prediction - target) ** 2 @ self.weights).mean()
        velocity = ((prediction.diff(dim=-2) - target.diff(dim=-2)) ** 2 @ self.weights)[follows[..., 1:]].mean()
        gap_prediction, gap_target = prediction @ self.gaps, target @ self.gaps
        closed = 1 + 2 * (gap_target < 0.01).float()
        opening = (closed * (gap_prediction - gap_target).abs()).mean()
        return position + velocity + 5 * opening


def tract_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of tract variables (..., 4), where they are known: NaN is unknown -> scalar."""
    known = ~target.isnan()
    error = torch.where(known, prediction - target.nan_to_num(), 0)
    return (error**2).sum() / known.sum().clamp(min=1)


def pixel_loss(pixels: Tensor, target: Tensor) -> Tensor:
    """The paper's L1, with the mouth counted four times: (b, 3, h, w) twice -> scalar."""
    height, width = target.shape[2:]
    weight = torch.ones(1, 1, height, width, device=target.device)
    weight[..., height // 2 : round(height * 0.85), round(width * 0.25) : round(width * 0.75)] = 4
    return ((pixels - target).abs() * weight).mean()
