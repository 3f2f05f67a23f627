"""A batch -> what is to be small: the networks with their losses, as modules that several processes can share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2v.training.networks.model import MotionTract, Speech2Vid, TalkingNet
from s2v.training.run.processes import Processes
from s2v.training.train.batch_source import PictureBatch
from s2v.training.train.batches import MotionBatch
from s2v.training.train.losses import MotionLoss, ShapeLoss, pixel_loss, tract_loss
from s2v.training.train.picture_batches import face_input

_TRACT = 1.0  # of the motion's loss


class MotionObjective(nn.Module):
    """Network "s2v". Its losses have means over what is in a batch, so they are taken over the whole batch."""

    def __init__(self, network: MotionTract, processes: Processes, autocast: torch.autocast) -> None:
        super().__init__()
        self.network = network
        self.motion, self.shape = MotionLoss(network.spec), ShapeLoss(network.spec)
        self._processes, self._autocast = processes, autocast

    def forward(self, batch: MotionBatch) -> dict[str, Tensor]:
        """-> "loss", and the parts that it is the sum of; scalars."""
        with self._autocast:
            prediction, tract = self.network.frame_decoder.over(batch.columns)
        whole = self._processes.whole
        motion, tract = whole(prediction.float()), whole(tract.float())
        target, follows = whole(batch.motion), whole(batch.follows)
        parts = {
            "motion": self.motion(motion, target, follows),
            "shape": self.shape(motion, target, follows),
            "tract": _TRACT * tract_loss(tract, whole(batch.tract)),
        }
        return parts | {"loss": torch.stack(list(parts.values())).sum()}


class PixelObjective(nn.Module):
    """Network "speech2vid". A mean over pictures of equally many in each process is the mean over all."""

    def __init__(self, network: Speech2Vid, autocast: torch.autocast) -> None:
        super().__init__()
        self.network = network
        self._autocast = autocast

    def forward(self, batch: PictureBatch) -> dict[str, Tensor]:
        """-> "loss", a scalar."""
        with self._autocast:
            per_face = len(batch.target) // len(batch.reference)
            pixels = self.network(batch.windows, face_input(batch.target[::per_face], batch.reference))
        return {"loss": pixel_loss(pixels.float(), batch.target)}


def objective_of(network: TalkingNet, processes: Processes, autocast: torch.autocast) -> nn.Module:
    """What this network is trained by."""
    if isinstance(network, MotionTract):
        return MotionObjective(network, processes, autocast)
    assert isinstance(network, Speech2Vid)
    return PixelObjective(network, autocast)
