"""A training's state in its checkpoint: all that the steps to come depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from s2v.errors import DataError
from s2v.training.networks.model import TalkingNet, read_checkpoint, save_checkpoint, take_weights
from s2v.training.run.average import WeightAverage
from s2v.training.run.precision import Arithmetic

_FOLLOW = 0.02  # of the mean loss towards each new one
_NEEDED = ("steps", "moments", "history", "best")
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError)


@dataclass
class Progress:
    """How far a training is, beside its weights."""

    init: str = ""  # the file whose weights it began with; "": random ones
    steps: int = 0  # done
    mean_loss: float = 0.0  # of the last steps; 0: none yet
    best: float = float("-inf")  # score so far
    epochs_since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)  # asked when training has ended

    def advance(self, loss: float) -> None:
        """After a step."""
        self.steps += 1
        self.mean_loss += _FOLLOW * (loss - self.mean_loss) if self.mean_loss else loss


@dataclass
class Trained:
    """What a step changes."""

    network: TalkingNet
    optimiser: torch.optim.Optimizer
    arithmetic: Arithmetic
    average: WeightAverage | None

    @property
    def judged(self) -> TalkingNet:
        """The network that is looked at and exported: the average, where there is one."""
        if self.average is None:
            return self.network
        network = self.average.network
        assert isinstance(network, TalkingNet)
        return network


def save_progress(path: Path, trained: Trained, progress: Progress, settings: dict[str, Any], n_processes: int) -> None:
    """Write a checkpoint, whole or not at all. Its "weights" are those of `Trained.judged`."""
    state: dict[str, Any] = vars(progress) | {"moments": trained.optimiser.state_dict(), "config": settings}
    state["processes"] = n_processes
    state["gradient_scale"] = trained.arithmetic.state()
    if trained.average is not None:
        state |= {"training_weights": trained.network.state_dict(), "average": trained.average.state()}
    save_checkpoint(trained.judged, path, **state)


def read_progress(path: Path) -> dict[str, Any]:
    """The state of a checkpoint that can be gone on with. Raises: DataError, it cannot."""
    state = read_checkpoint(path)
    if missing := sorted(set(_NEEDED) - state.keys()):
        raise DataError(f"{path} lacks {', '.join(missing)}: go on from last.pt, or begin with this one by --init")
    return state


def take_progress(state: dict[str, Any], trained: Trained) -> Progress:
    """Put the state of `read_progress` into the parts of a training.

    Raises: DataError, it was another network's, or another optimiser's.
    """
    own = state.get("training_weights")
    take_weights(trained.network, state | {"weights": state["weights"] if own is None else own})
    if trained.average is not None:  # until its first update, or what is stored
        trained.average.network.load_state_dict(trained.network.state_dict())
    try:
        trained.optimiser.load_state_dict(state["moments"])
        if trained.average is not None and "average" in state:
            trained.average.restore(state["average"])
    except _DAMAGED:
        raise DataError("the checkpoint's optimiser is not this training's: begin with --init instead") from None
    trained.arithmetic.restore(state.get("gradient_scale", {}))
    known = {name: state[name] for name in vars(Progress()) if name in state and name != "probes"}
    for name, usual in vars(Progress()).items():
        if not isinstance(known.get(name, usual), type(usual)):
            raise DataError(f"the checkpoint is damaged, its {name} is {known[name]!r}: go on from another one")
    return Progress(**known)
