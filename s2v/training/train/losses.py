"""What the networks are asked for.

A frame of motion whose coefficients are not numbers (NaN) is unknown: what is said there costs nothing, and neither
do the steps into it and out of it. `training.prepare.labels` says which frames are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP
from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec

_HUBER = 2.0  # standard deviations of the basis talker


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
        """(..., n, n_motion) twice, NaN in the second is unknown, and (..., n) bool, whether a frame follows the one
        before it -> scalar, the means over what is known."""
        known, target = known_motion(target)
        position = _mean_where(_huber(prediction - target) @ self.weights, known)
        both = follows[..., 1:] & known[..., 1:] & known[..., :-1]
        velocity = _mean_where(_huber(prediction.diff(dim=-2) - target.diff(dim=-2)) @ self.weights, both)
        gap_prediction, gap_target = prediction @ self.gaps, target @ self.gaps
        closed = 1 + 2 * (gap_target < 0.01).float()
        opening = _mean_where((closed * (gap_prediction - gap_target).abs()).mean(-1), known)
        return position + velocity + 5 * opening


def known_motion(target: Tensor) -> tuple[Tensor, Tensor]:
    """Motion (..., n, n_motion) -> (..., n) bool, which of its frames are known, and itself with 0 in the others."""
    known = target.isfinite().all(-1)
    return known, torch.where(known[..., None], target, 0)


def _huber(error: Tensor) -> Tensor:
    """The square of an error, but a straight line beyond _HUBER, so that a wrong label does not outweigh many right
    ones. Source: Huber, "Robust estimation of a location parameter" (1964)."""
    size = error.abs()
    return torch.where(size <= _HUBER, error**2, _HUBER * (2 * size - _HUBER))


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """The mean of those values that count, 0 if none does; `where` is bool of the same shape."""
    return (values * where).sum() / where.sum().clamp(min=1)


class ShapeLoss(torch.nn.Module):
    """What a mean of squares forgets: how wide the mouth is, how far and how fast it moves, and that it rests.

    A network that is not sure says the mean, and its mouth moves too little and too slowly. So a second in which
    opening, width or chin vary less than the target's, or move slower, costs; more than the target's costs nothing
    here. Where the target's lips are shut, ours are to be, and still where it rests; where they are open, not less so:
    without that, lips that must meet on p, b and m meet on every t, d and n as well (docs/LOG.md). And over a row,
    opening and width are to go up and down together with the target's.
    """

    shapes: Tensor

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        moves = MotionBasis.load(spec.motion_basis).displacement(np.array([*MOUTH_CORNERS, *_MIDDLE_OF_LIPS, _CHIN]))
        left, right, upper, lower, chin = moves[: spec.n_motion].transpose(1, 0, 2)
        curves = np.stack([lower[:, 1] - upper[:, 1], right[:, 0] - left[:, 0], chin[:, 1]], axis=1)
        self.register_buffer("shapes", torch.tensor(curves, dtype=torch.float32))

    def forward(self, prediction: Tensor, target: Tensor, follows: Tensor) -> Tensor:
        """(b, n, n_motion) twice and (b, n) bool, as `MotionLoss` takes them, n at least a second -> scalar."""
        known, target = known_motion(target)
        ours, theirs = prediction @ self.shapes, target @ self.shapes  # opening, width, chin in face units
        width = _mean_where((ours - theirs)[..., 1].abs(), known)
        whole = _seconds(known[..., None])[:, :, 0].all(-1)  # a second that is known in part has no deviation
        sd = _mean_where(functional.relu(_seconds(theirs).std(-1) - _seconds(ours).std(-1)).sum(-1), whole)
        within = (follows[:, 1:] & known[:, 1:] & known[:, :-1])[..., None]
        steps, wanted = ours.diff(dim=1).abs() * within, theirs.diff(dim=1).abs() * within
        slow = functional.relu(_seconds(wanted).mean(-1) - _seconds(steps).mean(-1)).sum(-1).mean()
        shut = functional.relu(ours[..., 0] - _SHUT) * (theirs[..., 0] < _SHUT)
        narrow = functional.relu((theirs - ours)[..., 0]) * (theirs[..., 0] > _OPEN)
        still = (wanted[..., :2].sum(-1) < _STILL) & (theirs[:, 1:, 0] < _SHUT) & within[..., 0]
        unrest = 1.5 * ours[:, 1:, 0].abs() + 6 * steps[..., :2].sum(-1)
        quiet = (unrest * still).sum() / still.sum().clamp(min=1)
        out_of_step = (_uncorrelated(ours[..., :2], theirs[..., :2], known) * ours.new_tensor(_IN_STEP)).sum()
        parted = 8 * _mean_where(shut, known) + 4 * _mean_where(narrow, known)
        return 5 * width + 3.5 * sd + 10 * slow + parted + quiet + out_of_step


_MIDDLE_OF_LIPS = (UPPER_INNER_LIP[5], LOWER_INNER_LIP[5])
_CHIN = 152
_SECOND_FRAMES = 25
_SHUT, _OPEN = 0.01, 0.03  # face units of opening
_STILL = 0.002  # face units of opening and width from frame to frame
_IN_STEP = (0.15, 0.3)  # how much opening and width count that go their own ways
_LEAST_SD = 0.004  # face units: with less there is nothing to follow


def _seconds(curves: Tensor) -> Tensor:
    """(b, n, k) -> (b, n_seconds, k, 25): stretches of a second, half of each in the next."""
    return curves.unfold(1, _SECOND_FRAMES, _SECOND_FRAMES // 2)


def _uncorrelated(ours: Tensor, theirs: Tensor, known: Tensor) -> Tensor:
    """1 - correlation over the known frames (b, n) of a row of curves (b, n, k) twice, mean over rows in which theirs
    move -> (k,)."""
    share = (known / known.sum(1, keepdim=True).clamp(min=1))[..., None]
    ours, theirs = (curves - (curves * share).sum(1, keepdim=True) for curves in (ours, theirs))
    ours_squared, theirs_squared, together = (
        (a * b * share).sum(1) for a, b in ((ours, ours), (theirs, theirs), (ours, theirs))
    )
    moving = theirs_squared > _LEAST_SD**2
    alone = (ours_squared.clamp(min=_LEAST_SD**2) * theirs_squared.clamp(min=_LEAST_SD**2)).sqrt()
    return ((1 - together / alone) * moving).sum(0) / moving.sum(0).clamp(min=1)


def tract_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of tract variables (..., 5), where they are known: NaN is unknown -> scalar."""
    known = ~target.isnan()
    error = torch.where(known, prediction - target.nan_to_num(), 0)
    return (error**2).sum() / known.sum().clamp(min=1)


def pixel_loss(pixels: Tensor, target: Tensor) -> Tensor:
    """The paper's L1, with the mouth counted four times: (b, 3, h, w) twice -> scalar."""
    height, width = target.shape[2:]
    weight = torch.ones(1, 1, height, width, device=target.device)
    weight[..., height // 2 : round(height * 0.85), round(width * 0.25) : round(width * 0.75)] = 4
    return ((pixels - target).abs() * weight).mean()
