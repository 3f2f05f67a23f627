"""The training commands, as typed."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from s2v.cli import build_parser, main

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["extract-features", "-d", "{tmp}", "-o", "{tmp}/out"], "no videos or photos"),
        (["prepare-data", "-f", "{tmp}", "-o", "{tmp}/out"], "extract-features first"),
        (["make-voices", "-o", "{tmp}/out", "--texts", "{tmp}/no.txt"], "a sentence a line"),
        (["train", "-i", "{tmp}", "-o", "{tmp}/out"], "meta.json"),
        (["train", "-o", "{tmp}/out"], "give -i SHARDS of prepare-data, or --face-video FILM"),
        (["train", "--face-video", "{tmp}/no.mp4", "-o", "{tmp}/out"], "there is no film"),
        (["train", "--face-video", "{tmp}/no.mp4", "-i", "{tmp}"], "--face-video does not go with shards"),
        (["train", "--face-video", "{tmp}/no.mp4", "-e", "3"], "--face-video does not go with epochs"),
        (["export", "{tmp}/no.pt", "-o", "{tmp}/model.onnx"], "no checkpoint"),
    ],
)
def test_missing_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("s2v: ") and said in error
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["prepare-data", "-f", "a", "-o", "b", "--pictures", "-1"],
        ["make-voices", "--minutes", "0"],
        ["train", "-i", "a", "--seed", "-1"],
        ["train", "-i", "a", "-gpu", "-1"],
        ["train", "-i", "a", "-se", "0"],
        ["train", "-i", "a", "--early-stopping", "0"],
        ["train", "-i", "a", "-b", "0"],
    ],
)
def test_a_number_that_cannot_be_is_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "is not a whole number" in capsys.readouterr().err


def test_the_command_line_and_the_library_train_the_same_way_by_default() -> None:
    pytest.importorskip("torch")
    from s2v.training.prepare.make_shard import PrepareSettings
    from s2v.training.train.config import TrainConfig

    typed = vars(build_parser().parse_args(["train", "-i", "a"]))
    # What is not typed is not set, so that it comes from --config or from TrainConfig itself.
    assert not {field.name for field in fields(TrainConfig)} & set(typed) - {
        "shards",
        "no_of_gpus",
        "resume",
        "init",
        "force",
    }
    given = build_parser().parse_args(["prepare-data", "-f", "a", "-o", "b"])
    usual = {field.name: field.default for field in fields(PrepareSettings)}
    assert (given.pictures, given.seed) == (usual["pictures_per_clip"], usual["seed"])


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        (["-b", "8"], "batch_size", 8),
        (["--batch_size", "8"], "batch_size", 8),
        (["--batch-size", "8"], "batch_size", 8),
        (["--batch", "8"], "batch_size", 8),
        (["-se", "7"], "steps_per_epoch", 7),
        (["--steps_per_epoch", "7"], "steps_per_epoch", 7),
        (["--steps-per-epoch", "7"], "steps_per_epoch", 7),
        (["-e", "3"], "epochs", 3),
        (["-w", "2"], "no_of_workers", 2),
        (["--no_of_workers", "2"], "no_of_workers", 2),
        (["--no-of-workers", "2"], "no_of_workers", 2),
        (["-gpu", "2"], "no_of_gpus", 2),
        (["--no_of_gpus", "2"], "no_of_gpus", 2),
        (["--save-every", "9"], "save_every_steps", 9),
        (["--start", "a.pt"], "init", Path("a.pt")),
        (["--ema"], "ema", 0.999),
        (["--ema", "0.9"], "ema", 0.9),
        (["--no-tensorboard"], "tensorboard", False),
    ],
)
def test_options_of_the_original_are_taken_in_every_spelling(typed: list[str], field: str, value: object) -> None:
    assert vars(build_parser().parse_args(["train", "-i", "a", *typed]))[field] == value


def test_defaults_are_those_of_the_original() -> None:
    pytest.importorskip("torch")
    from s2v.training.train.config import TrainConfig

    usual = TrainConfig(Path("a"), Path("b"))
    assert (usual.batch_size, usual.steps_per_epoch, usual.epochs, usual.no_of_workers) == (64, 1000, 20, 1)
    assert (usual.look_ahead, TrainConfig(Path("a"), Path("b"), network="speech2vid").look_ahead) == (0.08, 0.19)


def test_a_validation_speaker_that_does_not_exist_is_named(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare-data", "-f", str(features), "-o", str(tmp_path), "--validation", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_features_of_a_photo_are_extracted_and_reported_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "features"
    (data / "people").mkdir(parents=True)
    shutil.copy(DATA / "closed_lips.jpg", data / "people" / "a.jpg")
    (data / "people" / "broken.jpg").write_bytes(b"not a picture")
    assert main(["extract-features", "-d", str(data), "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["done"] == 1 and len(report["failed"]) == 1
    assert (out / "people" / "a.npz").exists() and not (out / "people" / "broken.npz").exists()


def test_train_then_export_gives_a_model_that_the_engine_opens(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from s2v.training.train.loop import failed_probes

    run, model = tmp_path / "run", tmp_path / "model.onnx"
    typed = ["train", "-i", str(shards), "-o", str(run), "-e", "1", "-se", "2", "-b", "4", "-w", "0", "-gpu", "0"]
    # Two clips teach nothing: the probes say so, and the checkpoint is kept.
    assert main(typed) == 0
    assert "is kept, but fails" in capsys.readouterr().err
    assert failed_probes(run / "last.pt")
    assert main(typed) == 2
    assert "holds a training already (last.pt): go on with it with --resume, replace it" in capsys.readouterr().err
    # Nothing is left to do, and no setting has to be typed again.
    assert main(["train", "-i", str(shards), "-o", str(run), "--resume", "--strict", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["out"] == str(run / "last.pt") and "no longer the training" not in err
    assert main(["export", str(run / "last.pt"), "-o", str(model), "--licence", "CC0", "--data", "two clips"]) == 0
    from s2v.engine.backends.model_file import read_model_file

    stored = read_model_file(model)
    assert stored.info == {"licence": "CC0", "train": "two clips"}
    assert stored.spec.mfcc_mean != (0.0,) * 13  # the shards' own statistics travel with the weights
    capsys.readouterr()
