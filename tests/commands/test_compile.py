"""`s2v compile`, as typed."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from s2v.cli import main
from s2v.commands.compile import COMMAND

HAS_RTX = find_spec("tensorrt_rtx") is not None


def run(*argv: str) -> int:
    return main(["compile", *argv], (COMMAND,))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["{tmp}/none.onnx"], "no model file"),
        (["{tmp}/text.onnx"], "is not an ONNX model"),
        (["--precision", "int8"], "int8 is not built"),
        pytest.param(
            ["--runtime", "tensorrt_rtx"], "pip install 'speech2vid[gpu]'",
            marks=pytest.mark.skipif(HAS_RTX, reason="tensorrt_rtx is installed"),
        ),
        pytest.param(
            ["--runtime", "tensorrt", "--gpu", "sm_89"], "tensorrt",
            marks=pytest.mark.skipif(find_spec("tensorrt") is not None, reason="tensorrt is installed"),
        ),
        pytest.param(
            ["--gpu", "sm_37"], "does not build for sm_37",
            marks=pytest.mark.skipif(not HAS_RTX, reason="tensorrt_rtx is not installed"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_exit_code_2(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.onnx").write_text("words")
    assert run(*(argument.format(tmp=tmp_path) for argument in argv), "-o", str(tmp_path / "engines")) == 2
    shown = capsys.readouterr()
    assert not shown.out
    error = shown.err.strip().splitlines()[-1]
    assert error.startswith("s2v: ") and said in error
    assert not (tmp_path / "engines").exists()


WRONG = "--max-batch 0, --max-batch 257, --max-batch x, --gpu 89, --gpu sm_89;, --precision bf16, --runtime cuda"


@pytest.mark.parametrize("argv", [words.split() for words in WRONG.split(", ")])
def test_wrong_usage_exits_with_2_and_no_traceback(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(*argv)
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not HAS_RTX, reason="tensorrt_rtx is not installed: it builds without a GPU")
def test_the_bundled_model_is_built_once_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--runtime", "tensorrt_rtx", "--gpu", "sm_86,sm_89", "--max-batch", "2", "-o", str(tmp_path)]
    assert run(*argv, "--json") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert len(shown.out.strip().splitlines()) == 1
    assert Path(told["engine"]).stat().st_size == told["bytes"] > 1_000_000
    assert (told["target"], told["precision"], told["max_batch"]) == ("sm_86+sm_89", "fp16", 2)
    assert (told["reused"], told["parity"]) == (False, None)
    kept = json.loads(Path(told["report"]).read_text())
    assert kept["key"]["model_sha256"] == told["model_sha256"]

    assert run(*argv) == 0
    text = capsys.readouterr().out
    assert "found" in text and "parity not checked: no GPU" in text
    assert run(*argv, "--force") == 0
    assert "built in" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.engine"))) == 1


@pytest.mark.skipif(not HAS_RTX, reason="tensorrt_rtx is not installed: it builds without a GPU")
def test_the_same_model_under_another_name_needs_no_new_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from s2v.engine.backends import bundled_model

    copy = tmp_path / "copy.onnx"
    shutil.copy(bundled_model().path, copy)
    found = []
    for model in ([], [str(copy)]):
        assert run(*model, "--gpu", "sm_89", "--max-batch", "1", "-o", str(tmp_path / "engines"), "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["engine"] == found[1]["engine"]
    assert [one["reused"] for one in found] == [False, True]
