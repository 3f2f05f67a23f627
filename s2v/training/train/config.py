"""What a training run is asked for: `s2v train`'s options, or a file of them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from s2v.errors import DataError
from s2v.spec import Network
from s2v.training.train import defaults as usual

_NOT_IN_A_FILE = ("shards", "out", "resume", "init", "force", "no_of_gpus")  # differ from one run to the next
_SCHEDULE_ONLY = ("no_of_workers", "save_every_steps", "tensorboard", "early_stopping")  # change no step
_EXAMPLES: Mapping[str, Any] = {"look_ahead_s": 0.08, "precision": "bf16"}  # of settings whose default is None
_RENAMED = {
    "model": "network",
    "batch": "batch_size",
    "rows": "batch_size, 4 for each row",
    "bfloat16": 'precision = "bf16"',
    "start": "the option --init",
    "save_every": "save_every_steps",
}


@dataclass(frozen=True)
class TrainConfig:
    """What `s2v train` was asked for; stored in the checkpoint. Raises: DataError, a setting that cannot be."""

    shards: str | Path  # folder, URL or pattern: see `shard_store`
    out: Path
    network: Network = "s2v"
    epochs: int = usual.EPOCHS
    steps_per_epoch: int = usual.STEPS_PER_EPOCH
    batch_size: int = usual.BATCH_SIZE  # of all processes together: pictures, or stretches of 1.5 s of speech
    no_of_workers: int = usual.WORKERS  # processes that make batches, for each that trains; 0: that one
    save_every_steps: int = usual.SAVE_EVERY_STEPS
    learning_rate: float = usual.LEARNING_RATE  # at its highest
    warmup_steps: int = usual.WARMUP_STEPS
    gradient_clip: float = usual.GRADIENT_CLIP  # norm; 0: as they are
    ema: float = 0.0  # decay of the average of the weights that is judged and kept; 0: the weights themselves
    early_stopping: int = 0  # epochs without a better score after which it ends; 0: never
    look_ahead_s: float | None = None  # None: usual.LOOK_AHEAD_MS
    width: float = 1.0  # of network "speech2vid", times its paper's channels
    targets_per_face: int = 1  # pictures of a batch in a row that share a face, which is then encoded once for them
    precision: str | None = None  # None: what this machine is best at
    tensorboard: bool = True
    seed: int = 0
    no_of_gpus: int | None = None  # None: what is there; 0: the CPU
    resume: Path | None = None  # go on with this checkpoint
    init: Path | None = None  # begin with the weights of this checkpoint or model file, and nothing else of it
    force: bool = False  # replace the training that is in `out`

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch_size", "save_every_steps", "targets_per_face"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "a whole number above 0")
        for name in ("no_of_workers", "warmup_steps", "early_stopping", "seed", "gradient_clip"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "0 or more")
        _check("seed", self.seed, self.seed < 2**63, "less than 2 ** 63")
        _check("learning_rate", self.learning_rate, 0 <= self.learning_rate < math.inf, "0 or more")
        _check("ema", self.ema, 0 <= self.ema < 1, "a decay from 0 to less than 1")
        _check("look_ahead_s", self.look_ahead_s, 0 <= self.look_ahead < 1, "0 to less than 1 s")
        _check("width", self.width, 0.1 <= self.width <= 2, "0.1 to 2")
        _check("network", self.network, self.network in usual.LOOK_AHEAD_MS, "s2v or speech2vid")
        _check("precision", self.precision, self.precision in (None, "bf16", "fp16", "fp32"), "bf16, fp16 or fp32")

    @property
    def look_ahead(self) -> float:
        """How far a window reaches past its frame, s."""
        usual_ms = usual.LOOK_AHEAD_MS.get(self.network, 0)
        return usual_ms / 1000 if self.look_ahead_s is None else self.look_ahead_s

    @property
    def rows(self) -> int:
        """Of 6 s of speech in a batch."""
        return max(1, self.batch_size // usual.STRETCHES_IN_A_ROW)

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def settings(self) -> dict[str, Any]:
        """What may stand in a file of settings, as plain values: what a checkpoint keeps."""
        return {name: getattr(self, name) for name in _examples()}


def read_config(path: Path) -> dict[str, Any]:
    """Fields of `TrainConfig` from a TOML file.

    Raises: DataError, no such file, not TOML, a name or a type that `TrainConfig` does not have.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} is not a TOML file of training options ({error})") from None
    examples = _examples()
    if unknown := sorted(set(found) - set(examples)):
        now = [f"{name} is now {_RENAMED[name]}" for name in unknown if name in _RENAMED]
        advice = "; ".join(now) or f"it may set {', '.join(sorted(examples))}"
        raise DataError(f"{path} has no use for {', '.join(unknown)}: {advice}")
    settings: dict[str, Any] = {}
    for name, value in found.items():
        if not _fits(value, examples[name]):
            raise DataError(f"{path}: {name} is {value!r}; wanted a value like {examples[name]!r}")
        settings[name] = float(value) if isinstance(examples[name], float) else value
    return settings


def stored_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint was made with: those that it has, and that this version knows."""
    stored, examples = state.get("config"), _examples()
    if not isinstance(stored, dict):
        return {}
    return {
        name: value
        for name, value in stored.items()
        if name in examples and (_fits(value, examples[name]) or (value is None and name in _EXAMPLES))
    }


def changed_settings(before: Mapping[str, Any], now: TrainConfig) -> list[str]:
    """In words, what steps from here on depend on and was otherwise before."""
    wanted = now.settings()
    return [
        f"{name} {wanted[name]} instead of {value}"
        for name, value in before.items()
        if name not in _SCHEDULE_ONLY and wanted[name] != value
    ]


def _examples() -> dict[str, Any]:
    """Names of the settings, each with a value like what it takes."""
    known = [field for field in fields(TrainConfig) if field.name not in _NOT_IN_A_FILE]
    return {**{field.name: field.default for field in known}, **_EXAMPLES}


def _fits(value: object, example: object) -> bool:
    return type(value) is type(example) or (isinstance(example, float) and type(value) is int)


def _check(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise DataError(f"{name} is {value}; wanted {wanted}")
