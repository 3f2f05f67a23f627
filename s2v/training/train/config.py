"""What a training run is asked for: `s2v train`'s options, or a file of them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from s2v.errors import DataError
from s2v.spec import Network
from s2v.training.train.defaults import BATCH, EPOCHS, LEARNING_RATE, LOOK_AHEAD_MS, ROWS, SAVE_EVERY_STEPS

_NOT_IN_A_FILE = ("shards", "out", "resume", "start", "gpu")  # paths and machines differ from one run to the next


@dataclass(frozen=True)
class TrainConfig:
    """What `s2v train` was asked for; stored in the checkpoint."""

    shards: Path
    out: Path
    network: Network = "s2v"
    epochs: int = EPOCHS
    batch: int = BATCH  # pictures
    rows: int = ROWS  # of speech, 6 s each
    save_every_steps: int = SAVE_EVERY_STEPS
    learning_rate: float = LEARNING_RATE
    look_ahead_s: float = LOOK_AHEAD_MS / 1000
    seed: int = 0
    gpu: int | None = None
    resume: Path | None = None
    start: Path | None = None  # begin with the weights of this checkpoint, and nothing else of it
    width: float = 1.0  # of network "speech2vid", times its paper's channels
    targets_per_face: int = 1  # pictures of a batch that share a face, encoded once; see `train.shared_faces`
    bfloat16: bool = False  # the network's arithmetic, where the machine is quicker at it


def read_config(path: Path) -> dict[str, Any]:
    """Fields of `TrainConfig` from a TOML file.

    Raises: DataError, no such file, not TOML, a name or a type that `TrainConfig` does not have.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} is not a TOML file of training options ({error})") from None
    defaults = {field.name: field.default for field in fields(TrainConfig) if field.name not in _NOT_IN_A_FILE}
    if unknown := set(found) - set(defaults):
        raise DataError(f"{path} has no use for {', '.join(sorted(unknown))}; it may set {', '.join(sorted(defaults))}")
    settings: dict[str, Any] = {}
    for name, value in found.items():
        wanted: type = type(defaults[name])
        given = float(value) if wanted is float and type(value) is int else value
        if type(given) is not wanted:
            raise DataError(f"{path}: {name} is {value!r}; wanted a value like {defaults[name]!r}")
        settings[name] = given
    return settings
