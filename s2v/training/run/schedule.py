"""What a step of a training depends on besides its batch: its learning rate and its dice."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import torch

_LEAST = 0.01  # of the peak, at the end


@dataclass(frozen=True)
class Schedule:
    """Up over the first steps, then down along a cosine to a hundredth of the peak."""

    peak: float
    total: int  # steps of the whole training
    warmup: int

    def learning_rate(self, step: int) -> float:
        """Of step number `step`, the first of which is 0."""
        warm = min(1.0, (step + 1) / max(1, min(self.warmup, self.total // 10)))
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.total) / max(1, self.total)))
        return self.peak * warm * (_LEAST + (1 - _LEAST) * cosine)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Set the random state of Python, NumPy and torch to what it is in this step, whatever went before.

    So dropout is the same in a training that has gone on from a checkpoint as in an unbroken one.
    """
    state = np.random.SeedSequence([seed, step, rank]).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))
    torch.manual_seed(int(state[2]))
