"""A closed, full or narrow terminal loses words, never the work; the exit code tells which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2v.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
FULL = Path("/dev/full")

# A command as they all are: it writes a file, says so, and logs; the exit code goes to a file that no stream touches.
TRY = """
import logging, os, sys
from pathlib import Path
from s2v import cli
from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, report_done
from s2v.terminal import print_result

def write(args):
    logging.getLogger("s2v").warning("\u984f")
    print("to stderr", file=sys.stderr, flush=True)
    out = Path(os.environ["OUT"])
    out.write_text("whole")
    return report_done(args, f"{out}: \u984f", {"out": str(out)})

def show(args):
    print_result("word " * 100_000)
    return 0

cli.COMMANDS = [Command("write", "w", add_json_option, write), Command("show", "s", add_json_option, show)]
code = cli.main()
Path(os.environ["OUT"] + ".code").write_text(str(code))
sys.exit(code)
"""


def ends(tmp_path: Path, how: str, *arguments: str, ascii_only: bool = False) -> tuple[int, str, str, bool]:
    """(exit code, stdout, stderr, whether the file is whole) of the command TRY. Args: how: redirections of a shell."""
    out = tmp_path / "out"
    environment = {**os.environ, "OUT": str(out), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    if ascii_only:
        environment["PYTHONIOENCODING"] = "ascii:strict"
    command = ["sh", "-c", f'"$0" "$@" {how}', sys.executable, "-c", TRY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    code = int((tmp_path / "out.code").read_text())
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == code or "|" in how, "not Python's own complaint at its end, 120"
    return code, done.stdout, done.stderr, out.exists() and out.read_text() == "whole"


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    code, out, err, whole = ends(tmp_path, "", "write", ascii_only=True)
    assert (code, whole) == (0, True)
    assert out.endswith(": \\u984f\n") and "s2v: \\u984f\n" in err


def test_closed_streams_are_no_ones_file(tmp_path: Path) -> None:
    """Without a stand-in, the file would get the number of a stream, and what is said to that would land in it."""
    assert ends(tmp_path, "<&- >&- 2>&-", "write") == (0, "", "", True)
    code, out, err, _ = ends(tmp_path, ">&-", "write", "--json")
    assert (code, out) == (2, "") and "s2v: the result cannot be written" in err


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_costs_the_words_alone(tmp_path: Path) -> None:
    code, _, err, whole = ends(tmp_path, f"> {FULL}", "write")
    assert (code, whole) == (0, True) and err.count("s2v: done, but the standard output") == 1
    assert ends(tmp_path, f"2> {FULL}", "write")[::3] == (0, True)
    code, _, err, whole = ends(tmp_path, f"> {FULL}", "write", "--json")
    assert (code, whole) == (2, True) and err.count("s2v: the result cannot be written") == 1
    assert ends(tmp_path, f"> {FULL} 2> {FULL}", "write", "--json")[0] == 2
    code, _, err, _ = ends(tmp_path, f"> {FULL}", "show")
    assert code == 2 and err.count("\n") == 1


def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path: Path) -> None:
    assert ends(tmp_path, "| true", "show")[0] == 141
    assert ends(tmp_path, "| true", "write")[::3] == (0, True)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_help_that_could_not_be_shown_is_a_failure() -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "s2v", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("s2v: the result cannot be written")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("columns", ["1", "20"])
def test_help_fits_into_any_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([command.name, "--help"])
        assert end.value.code == 0 and "usage:" in capsys.readouterr().out
