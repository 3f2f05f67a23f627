"""What each of torchrun's processes does in `test_processes`; also run by the test itself, alone."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionTract
from s2v.training.networks.motion_network import MotionNet
from s2v.training.run.precision import Arithmetic, autocast
from s2v.training.run.processes import Processes, joined
from s2v.training.train.batch_source import Share, motion_batches
from s2v.training.train.config import TrainConfig
from s2v.training.train.loop import train
from s2v.training.train.objectives import objective_of

STEPS, ROWS = 4, 4


def small_training(shards: Path, processes: Processes) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of a few steps of a small network without dropout, and the gradients of the first."""
    spec = LipSyncSpec.of("s2v")
    torch.manual_seed(0)
    network = MotionTract(spec)
    network.frame_decoder = MotionNet(spec, width=16, dropout=0.0)
    network.train()
    objective = objective_of(network, processes, autocast(processes.device, "fp32"))
    objective = processes.together(network, objective)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    arithmetic = Arithmetic(processes.device, "fp32", optimiser)
    share, losses = Share(processes.rank, processes.world), []
    batches = motion_batches(shards, spec, ROWS, 0, 0, share, 0)
    gradients: dict[str, torch.Tensor] = {}
    for _ in range(STEPS):
        loss = objective(next(batches))["loss"]
        arithmetic.step(loss, list(network.parameters()), 1.0)
        losses.append(float(loss.detach()))
        named = [(name, weight.grad) for name, weight in network.named_parameters() if weight.grad is not None]
        gradients = gradients or {name: gradient.clone() for name, gradient in named}
    return losses, gradients


def sum_of_ranks(first: int) -> int:
    """What `launch` gives each of its processes to do: (first + 0) + (first + 1) with two of them."""
    if first < 0:
        raise DataError(f"{first} is too low")
    with joined(0) as processes:
        return int(processes.whole(torch.tensor([first + processes.rank])).sum())


def main(shards: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with joined(0) as processes:
        found = small_training(shards, processes)
        if processes.first:
            torch.save(found, out / "small.pt")
        assert processes.broadcast(processes.rank) == 0
        whole = TrainConfig(
            shards, out / "run", epochs=2, steps_per_epoch=1, batch_size=8, no_of_workers=0, no_of_gpus=0, ema=0.9
        )
        train(whole, progress=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
