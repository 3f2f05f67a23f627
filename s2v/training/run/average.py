"""The exponential moving average of a network's weights: mostly a better network than any step's own.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); Izmailov et al. (2018).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """Follows a network; `network` is the averaged one, with averaged statistics of its norms."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        def averaged(mean: Tensor, new: Tensor, n: Tensor | int) -> Tensor:
            if not mean.is_floating_point():  # counters
                return new
            # Young averages forget faster: else they would be the beginning's for a thousand steps.
            keep = min(decay, (1 + int(n)) / (10 + int(n)))
            return mean * keep + new * (1 - keep)

        self._model = AveragedModel(network, avg_fn=averaged, use_buffers=True)
        self._model.requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        return self._model.module

    def update(self, network: nn.Module) -> None:
        """After every step."""
        self._model.update_parameters(network)

    def state(self) -> dict[str, Any]:
        """What `restore` takes: it is to be stored."""
        return self._model.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Raises: what `load_state_dict` raises."""
        self._model.load_state_dict(state)
