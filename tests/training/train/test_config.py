from __future__ import annotations

from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.training.train.config import TrainConfig, read_config


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "motion.toml"
    file.write_text('network = "s2v"\nepochs = 7\nlearning_rate = 1\nlook_ahead_s = 0.04\n')
    settings = read_config(file)
    assert settings == {"network": "s2v", "epochs": 7, "learning_rate": 1.0, "look_ahead_s": 0.04}
    config = TrainConfig(Path("shards"), Path("out"), **settings)
    assert (config.epochs, config.batch, config.network) == (7, TrainConfig(Path(), Path()).batch, "s2v")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 7", "no use for epoch; it may set batch, bfloat16, epochs"),
        ("shards = 'here'", "no use for shards"),
        ("epochs = 'many'", "epochs is 'many'; wanted a value like"),
        ("epochs = true", "epochs is True"),
        ("epochs = 1.5", "epochs is 1.5"),
        ("epochs = [7]", "epochs is \\[7\\]"),
        ("epochs =", "not a TOML file"),
    ],
)
def test_what_a_run_cannot_be_asked_for_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(DataError, match=told):
        read_config(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.toml is not a TOML file"):
        read_config(tmp_path / "nothing.toml")
