"""A training that was broken off and went on ends where an unbroken one ends, to the bit."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from s2v.errors import DataError, OutputError
from s2v.training.networks.model import read_checkpoint
from s2v.training.train.config import TrainConfig
from s2v.training.train.loop import train


class BreaksOff(logging.Handler):
    """Ctrl-C when the figures of this step are logged: they have not been stored yet."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        if f'"step": {self.step},' in record.getMessage():
            raise KeyboardInterrupt


def broken_off(config: TrainConfig, step: int) -> None:
    handler, log = BreaksOff(step), logging.getLogger("s2v")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(config, progress=False)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture
def config(shards: Path, tmp_path: Path) -> TrainConfig:
    """Four steps, looked at after every second one, stored after each."""
    return TrainConfig(
        shards, tmp_path / "whole", epochs=2, steps_per_epoch=2, batch_size=4, no_of_workers=0, save_every_steps=1,
        tensorboard=False, no_of_gpus=0, warmup_steps=3,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.9, "precision": "bf16"},
        {"early_stopping": 3, "precision": "fp16"},
        {"network": "speech2vid", "batch_size": 2, "steps_per_epoch": 1, "precision": "fp32", "width": 0.25},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_resumed_equals_unbroken_to_the_bit(config: TrainConfig, settings: dict[str, Any], tmp_path: Path) -> None:
    whole = replace(config, **settings)
    train(whole, progress=False)
    parts = replace(whole, out=tmp_path / "parts")
    broken_off(parts, step=2)
    last = parts.out / "last.pt"
    assert read_checkpoint(last)["steps"] == 1
    train(replace(parts, resume=last), progress=False)
    for name in ("last.pt", "best.pt"):
        one, other = (read_checkpoint(run.out / name) for run in (whole, parts))
        assert one.keys() == other.keys() > {"weights", "moments", "history", "best", "mean_loss", "epochs_since_best"}
        assert [key for key in one if not same(one[key], other[key])] == []
    assert (whole.out / "history.json").read_text() == (parts.out / "history.json").read_text()


def test_one_that_began_with_weights_ends_with_the_same_mean(config: TrainConfig, tmp_path: Path) -> None:
    begun = replace(config, out=tmp_path / "begun", epochs=1, steps_per_epoch=1)
    whole = replace(config, init=train(begun, progress=False))
    train(whole, progress=False)
    parts = replace(whole, out=tmp_path / "parts")
    broken_off(parts, step=4)
    elsewhere = replace(parts, out=tmp_path / "elsewhere", resume=parts.out / "last.pt", init=None)
    assert train(elsewhere, progress=False) == tmp_path / "elsewhere" / "mean.pt"
    one, other = (read_checkpoint(run.out / "mean.pt") for run in (whole, elsewhere))
    assert same(one["weights"], other["weights"])
    (parts.out / "start.pt").unlink()  # without it there would be no mean
    with pytest.raises(DataError, match=r"start\.pt, with which this training began .*put it back, or begin another"):
        train(replace(parts, resume=parts.out / "last.pt", init=None), progress=False)
    with pytest.raises(DataError, match=r"start\.pt, with which this training began"):
        train(replace(elsewhere, out=tmp_path / "third", resume=parts.out / "last.pt"), progress=False)
    assert not (tmp_path / "third").exists()


def test_a_training_is_never_written_over_unasked(config: TrainConfig, tmp_path: Path) -> None:
    short = replace(config, epochs=1, steps_per_epoch=1)
    last = train(short, progress=False)
    before = last.read_bytes()
    with pytest.raises(OutputError, match=r"whole holds a training already \(last\.pt\): go on with it with --resume"):
        train(short, progress=False)
    assert last.read_bytes() == before
    other = replace(short, out=tmp_path / "other")
    train(other, progress=False)
    with pytest.raises(OutputError, match="holds a training already"):
        train(replace(short, resume=tmp_path / "other" / "last.pt"), progress=False)
    assert last.read_bytes() == before
    train(replace(short, seed=1, force=True), progress=False)
    assert last.read_bytes() != before


def test_a_checkpoint_that_is_no_trainings_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    last = train(replace(config, epochs=1, steps_per_epoch=1), progress=False)
    state = torch.load(last, weights_only=True)
    going_on = replace(config, out=tmp_path / "out", resume=tmp_path / "odd.pt")
    for name, value, message in (
        ("moments", {"state": {}, "param_groups": []}, "optimiser is not this training's"),
        ("mean_loss", "low", "its mean_loss is 'low'"),
    ):
        torch.save(state | {name: value}, tmp_path / "odd.pt")
        with pytest.raises(DataError, match=message):
            train(going_on, progress=False)
    torch.save({name: state[name] for name in ("format", "spec", "weights")}, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"odd\.pt lacks best, history, moments, steps: go on from last\.pt"):
        train(going_on, progress=False)
    assert not (tmp_path / "out").exists()


def test_it_ends_early_where_validation_talkers_gain_nothing(config: TrainConfig) -> None:
    still = replace(config, epochs=9, steps_per_epoch=1, learning_rate=0.0, early_stopping=2)
    state = read_checkpoint(train(still, progress=False))
    scores = [record["score"] for record in state["history"]]
    assert 2 < len(scores) == state["steps"] < 9
    assert scores.index(max(scores)) == len(scores) - 3 or scores[-3] >= max(scores[-2:])


def test_another_number_of_processes_is_warned_of(config: TrainConfig, caplog: pytest.LogCaptureFixture) -> None:
    last = train(replace(config, epochs=1, steps_per_epoch=1), progress=False)
    state = torch.load(last, weights_only=True)
    assert state["processes"] == 1
    again = replace(config, epochs=1, steps_per_epoch=1, resume=last)
    train(again, progress=False)
    assert "no longer the training" not in caplog.text
    train(replace(again, init=Path("default")), progress=False)
    assert "--init default is left out, as it has begun already" in caplog.text
    torch.save(state | {"processes": 2}, last)
    train(again, progress=False)
    assert f"this is no longer the training that {last} is of: 1 processes instead of 2" in caplog.text


def test_an_average_that_is_asked_for_at_the_end_is_of_the_weights_that_are_there(config: TrainConfig) -> None:
    config = replace(config, epochs=1)
    train(config, progress=False)
    last = config.out / "last.pt"
    before = read_checkpoint(last)["weights"]
    train(replace(config, resume=last, ema=0.9), progress=False)
    assert same(read_checkpoint(last)["weights"], before)
