"""What the networks are asked for."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from s2v.engine.compositor.lips import DARKEST, FULLY_LIT, LIGHT_REACH
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


_RIM_PX = 7  # of the mouth patch: an opening is drawn that much larger than it is, in all


def paint_cover(alpha: Tensor, gate: Tensor) -> Tensor:
    """How far paint covers the warp, as `paint_cover` of the compositor's lips: alpha decides only at the soft edge."""
    return gate * torch.maximum(alpha, (2 * gate - 1).clamp(0, 1))


def light_between(gate: Tensor, unit_px: float) -> Tensor:
    """How much light falls between lips, (b, 1, h, w) in [0, 1], as `light_between` of the compositor's lips."""
    sigma = LIGHT_REACH * unit_px
    reach = math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=gate.device, dtype=gate.dtype)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    across = functional.conv2d(gate, kernel[None, None, None], padding=(0, reach))
    open_share = functional.conv2d(across, kernel[None, None, :, None], padding=(reach, 0))
    return DARKEST + (1 - DARKEST) * (open_share / FULLY_LIT).clamp(0, 1)


def mouth_loss(mouth: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """The patch laid over the warped reference must give the target mouth, and be true inside the opening.

    A picture is compared at its own resolution: where the source was magnified into blocks, their means are.

    Args:
        mouth: (b, 4, h, w) BGR and alpha. batch: of `picture_batch`.
    """
    total = mouth.new_zeros(())
    for block in sorted(set(batch["blocks"].tolist())):
        those = batch["blocks"] == block
        warped, target = batch["mouth_warped"][those], batch["mouth_target"][those]
        cost = _mouth_cost(mouth[those], warped, target, batch["opening"][those], batch["gate"][those], int(block))
        total = total + cost * (those.sum() / len(those))
    return total


def _mouth_cost(mouth: Tensor, warped: Tensor, target: Tensor, inside: Tensor, gate: Tensor, block: int) -> Tensor:
    colour, alpha = mouth[:, :3], paint_cover(mouth[:, 3:], gate)
    near = functional.max_pool2d(torch.maximum(inside, gate), 5, 1, 2)
    well_inside = shrunk(inside)
    # Where the target mouth shows lips, paint is to give way, not to learn what lips look like.
    inside = (inside > 0.5).to(colour.dtype)
    colour = colour * inside + colour.detach() * (1 - inside)
    wrong, shown = colour - target, warped * (1 - alpha) + colour * alpha - target
    loss = _weighed(_blocks(shown, block).abs(), _blocks(near, block))
    loss = loss + 0.7 * _weighed(_blocks(wrong, block).abs(), _blocks(inside, block))
    for error, seen, weight in ((shown, near, 0.2), (wrong * well_inside, well_inside, 0.5)):
        for scale in (1, 2, 4):
            at_scale, there = _blocks(_blocks(error, block), scale), _blocks(_blocks(seen, block), scale)
            for axis in (2, 3):
                edges = at_scale.diff(dim=axis).abs()
                loss = loss + weight * _weighed(edges, there.narrow(axis, 1, there.shape[axis] - 1))
    return loss


def shrunk(opening: Tensor) -> Tensor:
    """Where a soft opening (b, 1, h, w) is well inside the lips, 0 or 1: it is drawn with their edges."""
    return -functional.max_pool2d(-(opening > 0.5).to(opening.dtype), _RIM_PX, 1, _RIM_PX // 2)


def _blocks(x: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(x, side) if side > 1 else x


def pixel_loss(pixels: Tensor, target: Tensor) -> Tensor:
    """The paper's L1, with the mouth counted four times: (b, 3, h, w) twice -> scalar."""
    height, width = target.shape[2:]
    weight = torch.ones(1, 1, height, width, device=target.device)
    weight[..., height // 2 : round(height * 0.85), round(width * 0.25) : round(width * 0.75)] = 4
    return ((pixels - target).abs() * weight).mean()


def _weighed(error: Tensor, weight: Tensor) -> Tensor:
    return (error * weight).sum() / (weight.sum() * error.shape[1] + 1e-3)
