"""`s2v live`: whose voice drives the face."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from s2v.cli import main

ROOT = Path(__file__).parents[3]
WITHOUT_PYAUDIO = """
import sys
sys.modules["pyaudio"] = None
from s2v.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "argv",
    [["--mic", "--audio", "a.wav"], ["--mic", "1", "--push"], ["--push", "--audio", "a.wav"], ["--mic", "1", "2"]],
)
def test_one_voice_drives_one_face(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["live", *argv])
    assert end.value.code == 2
    assert re.fullmatch(r"s2v: .+ --help\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--loop"], "--audio FILE"),
        (["--loop", "--mic"], "--audio FILE"),
        (["--json"], "--list-mics"),
        (["--listen", "--no-idle"], "--listen has nothing to move with --no-idle"),
        (["--liveliness", "0", "--no-idle"], "--liveliness has nothing to move with --no-idle"),
        (["--mood", "serious", "--no-idle", "--push"], "--mood has nothing to move with --no-idle"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"s2v: .+\n", err) and says in err


@pytest.mark.parametrize("argv", [["--list-mics"], ["--list-mics", "--json"], ["--mic"], ["--mic", "3"]])
def test_without_pyaudio_one_line_says_what_to_install(argv: list[str]) -> None:
    command = [sys.executable, "-c", WITHOUT_PYAUDIO, "live", *argv]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"s2v: PyAudio.+is not installed: pip install 'speech2vid\[mic\]'.+\n", done.stderr)
