"""What one system has and another has not: `generate` and `live` must load and run without it.

No other system is at hand: names are looked for in the syntax tree, and taken away from a process of its own.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEECH = Path(__file__).parent / "data" / "speech.flac"
FILES = sorted((ROOT / "s2v").rglob("*.py"))

NOT_EVERYWHERE = {
    "os": (
        r"sched_\w+|SCHED_\w+|posix_\w+|PRIO_\w+|[gs]et(priority|e?[ug]id|groups|pgid|sid|pgrp)|getloadavg|statvfs|fstatvfs"
        r"|sysconf|confstr|uname|nice|fork|forkpty|killpg|wait|wait[34]|l?chown|fchown|fchmod|mkfifo|mknod|pipe2|sendfile"
        r"|O_(CLOEXEC|NOFOLLOW|DIRECTORY|NONBLOCK|SYNC|DSYNC|DIRECT|NOATIME|NOCTTY|TMPFILE|PATH)|memfd_create|eventfd"
    ),
    "signal": (
        r"SIG(HUP|PIPE|KILL|USR[12]|ALRM|CHLD|QUIT|STOP|TSTP|CONT|WINCH|TTIN|TTOU|IO|PROF|VTALRM)|pthread_\w+|alarm"
        r"|setitimer|getitimer|ITIMER_\w+|sigwait\w*|sigpending|siginterrupt|pause|SIG_(UN)?BLOCK|SIG_SETMASK"
    ),
    "socket": r"AF_(UNIX|NETLINK|PACKET)|SO_REUSEPORT|SOCK_(CLOEXEC|NONBLOCK)|sethostname|send_fds|recv_fds",
    "multiprocessing": r"AF_UNIX",
}
OF_EVENT_LOOPS = {"add_signal_handler", "remove_signal_handler", "add_reader", "remove_reader", "add_writer"}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "winreg", "msvcrt"}
# A benchmark's server talks to its parent through a pipe; Windows' event loops cannot watch one.
LEFT = {("s2v/benchmarks/live/server_process.py", name) for name in ("add_reader", "remove_reader")}
ASKS = re.compile(r"hasattr\(|sys\.platform|os\.name")
EXCUSES = {"AttributeError", "NotImplementedError", "ImportError", "Exception"}


def _parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def _is_guarded(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether something asks for the system first, or expects that the name is not there."""
    child, parent = node, parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.If | ast.IfExp | ast.While) and ASKS.search(ast.unparse(parent.test)):
            return True
        if isinstance(parent, ast.BoolOp) and ASKS.search(ast.unparse(parent)):
            return True
        if isinstance(parent, ast.Try) and child in parent.body:
            caught = " ".join(ast.unparse(handler.type) for handler in parent.handlers if handler.type)
            if EXCUSES & set(re.findall(r"\w+", caught)):
                return True
        for body in (getattr(parent, field, []) for field in ("body", "orelse", "finalbody")):
            if isinstance(body, list) and child in body and any(map(_turns_back, body[: body.index(child)])):
                return True
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return False
        child, parent = parent, parents.get(parent)
    return False


def _turns_back(statement: ast.AST) -> bool:
    """An `if` that leaves the function on a system that has not got it."""
    return (
        isinstance(statement, ast.If)
        and ASKS.search(ast.unparse(statement.test)) is not None
        and isinstance(statement.body[-1], ast.Return | ast.Raise | ast.Continue)
    )


def _of_one_system(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in OF_EVENT_LOOPS or re.fullmatch(NOT_EVERYWHERE.get(owner, "(?!)"), node.attr):
                yield node, node.attr
        elif isinstance(node, ast.Constant) and node.value in ("AF_UNIX", "AF_PIPE"):
            yield node, node.value
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.split(".")[0] in MODULES:
                yield node, node.module
            names = NOT_EVERYWHERE.get(node.module, "(?!)")
            yield from ((node, alias.name) for alias in node.names if re.fullmatch(names, alias.name))


def unguarded(source: str) -> list[str]:
    tree = ast.parse(source)
    parents = _parents(tree)
    return [name for node, name in _of_one_system(tree) if not _is_guarded(node, parents)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_other_systems_lack_is_asked_for_first(path: Path) -> None:
    file = path.relative_to(ROOT).as_posix()
    assert [name for name in unguarded(path.read_text(encoding="utf-8")) if (file, name) not in LEFT] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import signal\nsignal.signal(signal.SIGHUP, f)", ["SIGHUP"]),
        ("from signal import SIGPIPE", ["SIGPIPE"]),
        ("import resource", ["resource"]),
        ("def f():\n if sys.platform != 'win32':\n  import resource", []),
        ("def f():\n if not hasattr(signal, 'pthread_sigmask'):\n  return\n signal.pthread_sigmask(1, 2)", []),
        (
            "def f():\n if not hasattr(signal, 'pthread_sigmask'):\n  pass\n signal.pthread_sigmask(1, 2)",
            ["pthread_sigmask"],
        ),
        ("cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1", []),
        ("try:\n os.getloadavg()\nexcept OSError:\n pass", ["getloadavg"]),
        ("try:\n os.getloadavg()\nexcept (OSError, AttributeError):\n pass", []),
        ("try:\n pass\nexcept AttributeError:\n os.getloadavg()", ["getloadavg"]),
        ("loop.add_signal_handler(1, f)", ["add_signal_handler"]),
        ("Listener(address, 'AF_UNIX')", ["AF_UNIX"]),
        ("os.getpid(); signal.SIGTERM; os.replace; os.O_CREAT", []),
    ],
)
def test_the_search_finds_what_it_should(source: str, found: list[str]) -> None:
    assert unguarded(source) == found


ELSEWHERE = """
import asyncio, os, signal, sys

for module, names in ((signal, "SIGHUP SIGPIPE SIGUSR1 pthread_sigmask"),
                      (os, "getloadavg getuid sched_getaffinity statvfs sysconf")):
    for name in names.split():
        delattr(module, name)
sys.modules["fcntl"] = sys.modules["pwd"] = sys.modules["grp"] = None

def refuse(*_):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = asyncio.SelectorEventLoop.remove_signal_handler = refuse
from s2v.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_generate_runs_where_signals_and_limits_have_no_names(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-c", ELSEWHERE, "generate", "--audio", str(SPEECH), "-o", str(out), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_live_begins_and_ends_where_the_event_loop_knows_no_signals(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", ELSEWHERE, "live", "--port", "0", "--max-side", "256"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as server:
        assert server.stdout is not None
        try:
            ready = server.stdout.readline()
            address = re.search(r"http://\S+", ready)
            assert address is not None, server.communicate(timeout=60)[1]
            with urllib.request.urlopen(address[0], timeout=30) as page:
                assert page.status == 200
            server.send_signal(number)
            _, err = server.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == code, err
    assert "Traceback" not in err
