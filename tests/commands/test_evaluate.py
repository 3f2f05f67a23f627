"""`s2v evaluate`, as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v.cli import main

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "kept back from training"),
        (["{tmp}"], "no talking videos"),
        (["{tmp}/no"], "there is no folder"),
        (["{tmp}", "-m", "{tmp}/b.pt"], "no checkpoint at"),
        (["{tmp}", "-m", "{tmp}/a.onnx"], "no model file"),
        (["{tmp}", "--backend", "abacus"], "abacus"),
        (["{tmp}", "--syncnet", "{tmp}/none"], "no SyncNet weights"),
        (["{tmp}", "--faces", "{tmp}"], "no photos"),
        (["--portraits", "{tmp}"], "-o FILE.jpg"),
        (["--portraits", "{tmp}", "-o", "{tmp}/sheet.jpg"], "no photos"),
        (["--portraits", str(DATA / "closed_lips.jpg"), "-o", "{tmp}/sheet.gif"], "jpg"),
        (["--languages", "{tmp}"], "s2v make-voices --languages"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert main(["evaluate", *(argument.format(tmp=tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("s2v: ") and said in error


@pytest.mark.parametrize("argv", [["--max-clips", "0"], ["--max-seconds", "nan"], ["-w", "0"], ["-n", "-3"]])
def test_a_number_that_cannot_be_is_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "data", *argv])
    assert end.value.code == 2
