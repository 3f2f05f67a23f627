from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s2v.errors import DataError
from s2v.training.train.config import TrainConfig, changed_settings, read_config, stored_settings


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "motion.toml"
    file.write_text('network = "s2v"\nepochs = 7\nlearning_rate = 1\nlook_ahead_s = 0.04\n')
    settings = read_config(file)
    assert settings == {"network": "s2v", "epochs": 7, "learning_rate": 1.0, "look_ahead_s": 0.04}
    config = TrainConfig(Path("shards"), Path("out"), **settings)
    assert (config.epochs, config.batch_size, config.network, config.look_ahead) == (7, 64, "s2v", 0.04)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 7", "no use for epoch: it may set batch_size, early_stopping, ema, epochs"),
        ("shards = 'here'", "no use for shards"),
        ("epochs = 'many'", "epochs is 'many'; wanted a value like"),
        ("epochs = true", "epochs is True"),
        ("epochs = 1.5", "epochs is 1.5"),
        ("epochs = [7]", "epochs is \\[7\\]"),
        ("epochs =", "not a TOML file"),
        ("batch = 8", "no use for batch: batch is now batch_size"),
        ("rows = 8", "rows is now batch_size, 4 for each row"),
        ("bfloat16 = true", 'bfloat16 is now precision = "bf16"'),
        ("precision = 16", "precision is 16; wanted a value like 'bf16'"),
    ],
)
def test_what_a_run_cannot_be_asked_for_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_config(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.toml is not a TOML file"):
        read_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs is 0; wanted a whole number above 0"),
        ({"ema": 1.0}, "ema is 1.0; wanted a decay"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"look_ahead_s": 3.0}, "look_ahead_s is 3.0"),
        ({"precision": "fp8"}, "precision is fp8; wanted bf16, fp16 or fp32"),
        ({"network": "wav2lip"}, "network is wav2lip"),
        ({"gradient_clip": -1.0}, "gradient_clip is -1.0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TrainConfig(Path(), Path(), **setting)


def test_a_checkpoint_tells_its_settings_and_what_of_them_was_changed() -> None:
    before = TrainConfig(Path("a"), Path("b"), batch_size=8, look_ahead_s=0.04, no_of_workers=3)
    stored = stored_settings({"config": before.settings() | {"colour": 3, "epochs": "many"}})
    assert stored == {name: value for name, value in before.settings().items() if name != "epochs"}
    again = TrainConfig(Path("c"), Path("d"), **stored)
    assert changed_settings(stored, again) == []
    now = replace(again, batch_size=16, no_of_workers=1)
    assert changed_settings(stored, now) == ["batch_size 16 instead of 8"]
    assert stored_settings({}) == {} == stored_settings({"config": "lost"})
