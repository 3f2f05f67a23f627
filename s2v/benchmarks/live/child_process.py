"""Processes of their own for the two ends of a benchmark's calls, so that neither takes the other's interpreter."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from s2v.errors import S2vError, StreamError

STOP_WITHIN_S = 10.0


@contextmanager
def child(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run `target(*arguments, pipe)` in another process while the caller's block runs; yields our end of the pipe.

    Args:
        target: a function of a module; SIGTERM shall end it.
    """
    context = multiprocessing.get_context("spawn")  # a fork would carry threads and locks along
    ours, theirs = context.Pipe()
    # no daemon: a server has a process of its own that draws
    process = context.Process(target=_run, args=(target, *arguments, theirs), name="s2v-bench")
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.terminate()
        process.join(STOP_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        ours.close()


def next_word(pipe: Connection, within_s: float, late: str) -> Any:
    """What the process says next.

    Raises: the S2vError that it said. StreamError with the text `late`, nothing was said in time; or it has ended.
    """
    try:
        if not pipe.poll(within_s):
            raise StreamError(late)
        word = pipe.recv()
    except (EOFError, ConnectionError):
        raise StreamError("a process of the benchmark ended at once: see its message above") from None
    if isinstance(word, S2vError):
        raise word
    return word


def _run(target: Callable[..., None], *arguments: Any) -> None:
    """The process: what goes wrong is said through the pipe, which is the last argument."""
    from s2v.benchmarks.live.network_emulation import loopback_only

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    loopback_only()
    try:
        target(*arguments)
    except S2vError as error:
        arguments[-1].send(error)
