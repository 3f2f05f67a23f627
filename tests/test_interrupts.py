"""Ctrl-C, SIGTERM and SIGHUP end a command at any moment, with its exit code and without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SENT = "import os, signal; os.kill(os.getpid(), signal.{name})\n"

# A command whose import sends the signal: it comes while the loader runs, and the command's own lines come after it.
COMMAND = """
import sys, time
from s2v import cli
from s2v.commands.command import Command

def run(args):
    try:
        {body}
        time.sleep(60)
        return 0
    finally:
        print("cleaned up", flush=True)

cli.COMMANDS = [Command("try", "t", lambda parser: None, run)]
sys.argv = ["s2v", "try"]
sys.exit(cli.main())
"""


def ends(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    return done


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_an_import_is_obeyed_after_it(name: str, tmp_path: Path) -> None:
    """In the middle, an import that swallows everything would swallow it, too."""
    module = f"try:\n    {SENT.format(name=name)}except BaseException:\n    pass\nprint(1)\n"
    (tmp_path / "slow.py").write_text(module)
    done = ends(COMMAND.format(body="import slow"), tmp_path)
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stdout == "1\ncleaned up\n"


def test_one_that_comes_inside_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(
        f"class Dying:\n    def __del__(self):\n        {SENT.format(name='SIGINT')}        len('')\n"
    )
    done = ends(COMMAND.format(body="import dying; dying.Dying()"), tmp_path)
    assert (done.returncode, done.stdout) == (130, "cleaned up\n")


def test_one_that_a_library_takes_for_its_own_failure_still_counts(tmp_path: Path) -> None:
    (tmp_path / "wrapping.py").write_text(
        "import os, signal\ndef work():\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n        len('')\n"
        "    except BaseException as error:\n        raise RuntimeError('driver') from error\n"
    )
    done = ends(COMMAND.format(body="import wrapping; wrapping.work()"), tmp_path)
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")


def test_the_second_of_a_closing_terminal_does_not_stop_the_clean_up(tmp_path: Path) -> None:
    body = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)"
    code = COMMAND.format(body=body).replace("    finally:\n", f"    finally:\n        {SENT.format(name='SIGHUP')}")
    done = ends(code, tmp_path)
    assert (done.returncode, done.stdout) == (129, "cleaned up\n")


def test_what_is_to_be_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMMAND.format(
        body=f"{SENT.format(name='SIGHUP').strip()}; return 7"
    )
    done = ends(code, tmp_path)
    assert (done.returncode, done.stdout) == (7, "cleaned up\n")


def test_ctrl_c_while_the_command_itself_is_imported(tmp_path: Path) -> None:
    """`s2v.errors` stands for all that the entry point imports."""
    code = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "s2v.errors":
            {SENT.format(name="SIGINT").strip()}
sys.meta_path.insert(0, Finder())
from s2v.__main__ import start
sys.exit(start())
"""
    done = ends(code, tmp_path)
    assert (done.returncode, done.stdout) == (130, "")


def test_what_a_library_forks_ends_without_a_word(tmp_path: Path) -> None:
    """OpenVINO does so, and its child would tell a traceback."""
    body = "import os, signal; child = os.fork(); child or (os.kill(os.getpid(), signal.SIGTERM), time.sleep(60))"
    done = ends(COMMAND.format(body=f"{body}; return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"), tmp_path)
    assert (done.returncode, done.stdout) == (143, "cleaned up\n"), "the parent's words, once"
