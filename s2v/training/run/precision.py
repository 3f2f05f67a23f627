"""In which arithmetic a network is trained: autocast, and the scaling of gradients that half precision needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from s2v.errors import DataError

Precision = Literal["bf16", "fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86's and ARM's, in /proc/cpuinfo


def best_precision(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> Precision:
    """bf16 where the processor multiplies it itself, else fp32: emulated it is slower and no more exact."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return "fp32"
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return "bf16" if _BF16_FLAGS & set(flags) else "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Around a network's forward pass; the weights stay float32."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


class Arithmetic:
    """One optimiser's steps after forward passes in one precision."""

    def __init__(self, device: torch.device, precision: Precision, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def step(self, loss: Tensor, weights: Sequence[torch.nn.Parameter], most_norm: float) -> None:
        """One step down the loss's gradient, whose norm is cut to `most_norm` (0: as it is).

        With fp16 a step whose gradients overflow is left out, and the next ones are scaled less.
        """
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if most_norm > 0:
            self._scaler.unscale_(self._optimiser)
            torch.nn.utils.clip_grad_norm_(weights, most_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """What `restore` takes; nothing unless the gradients are scaled."""
        return self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Raises: DataError, not such a state."""
        if state and self._scaler.is_enabled():
            try:
                self._scaler.load_state_dict(state)
            except (KeyError, TypeError, AttributeError, RuntimeError):
                raise DataError("the checkpoint's gradient scale is damaged: begin with --init instead") from None
