"""Batch norms that see the batch of all processes, so that two processes train as one with twice the batch does."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm(nn.BatchNorm2d):
    """`torch.nn.SyncBatchNorm` for the CPU, which that one refuses; every process has equally many samples."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> the same shape."""
        if not self.training:
            return super().forward(x)
        whole = x.float()
        moments = torch.cat([whole.mean((0, 2, 3)), whole.square().mean((0, 2, 3))])
        shared: Tensor = all_reduce(moments) / distributed.get_world_size()
        mean, square = shared.chunk(2)
        variance = (square - mean**2).clamp(min=0)
        self._follow(mean, variance, x.numel() // x.shape[1] * distributed.get_world_size())
        scale = self.weight / (variance + self.eps).sqrt()
        normed: Tensor = whole * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
        return normed.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, n: int) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (n / max(1, n - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def share_norms(network: nn.Module, device: torch.device) -> None:
    """Replace, in place, the batch norms of a network by ones that see all processes' samples."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                shared.load_state_dict(child.state_dict())
                setattr(module, name, shared.to(device).train(child.training))
