"""Inputs by the thousand, in a process that is replaced when one of them ends it or makes it stand still."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzzing.worker import Outcome, work

KEPT = Path(__file__).parents[1] / "data" / "fuzz"  # inputs that were found, a folder for each target
START_WITHIN_S = 180.0
GRACE_S = 5.0  # after a deadline, to write down where it stands
MOST_FINDS = 20


@dataclass
class Find:
    """Something that must not be, and the first input that led to it."""

    what: str
    data: bytes
    details: str
    times: int = 1

    @property
    def name(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:16]


@dataclass
class Run:
    """What a target took."""

    target: str
    inputs: int = 0
    worked: int = 0
    refused: int = 0
    seconds: float = 0.0
    restarts: int = 0
    finds: dict[str, Find] = field(default_factory=dict)

    def line(self) -> str:
        return (
            f"{self.target:<11}{self.inputs:>8} inputs{self.worked:>8} taken{self.refused:>8} refused"
            f"{self.seconds:>8.1f} s{len(self.finds):>4} finds"
        )


def kept_inputs(target: str) -> list[bytes]:
    """What was found before, to be tried again."""
    return [path.read_bytes() for path in sorted((KEPT / target).glob("*")) if path.is_file()]


def fuzz(
    target: str,
    seed: int = 0,
    seconds: float = float("inf"),
    most: int | None = None,
    replay: bool = False,
    on_find: Callable[[Run, Find], object] = lambda run, find: None,
) -> Run:
    """Try inputs until time or number is over, or, to replay, those that were found before.

    Args: seconds: from when libraries are loaded on. on_find: called once for each cause.
    """
    run, began_s = Run(target), float("nan")
    with TemporaryDirectory(prefix="s2v-fuzz-") as name:
        folder = Path(name)
        while len(run.finds) < MOST_FINDS:
            with _worker(target, seed, run.inputs, folder, replay) as (process, pipe):
                if not _ready(run, folder, pipe, on_find):
                    _found(
                        run,
                        Outcome(-1, "find", "a seed ends the process or takes too long", _stderr_of(folder)),
                        folder,
                        on_find,
                    )
                    return run
                began_s = time.monotonic() if began_s != began_s else began_s
                if _listen(run, folder, process, pipe, began_s + seconds, most, on_find):
                    break
                run.restarts += 1
        run.seconds = time.monotonic() - began_s
    return run


@contextmanager
def _worker(
    target: str, seed: int, first: int, folder: Path, replay: bool
) -> Iterator[tuple[SpawnProcess, Connection]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (target, kept_inputs(target), seed, first, folder, replay, theirs)
    process = context.Process(target=work, args=arguments, name=f"fuzz-{target}", daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def _ready(run: Run, folder: Path, pipe: Connection, on_find: Callable[[Run, Find], object]) -> bool:
    """Wait until all seeds were taken."""
    try:
        while pipe.poll(START_WITHIN_S):
            if (outcome := pipe.recv()) == "ready":
                return True
            _found(run, outcome, folder, on_find)
    except (EOFError, ConnectionError):
        pass
    return False


def _listen(
    run: Run,
    folder: Path,
    process: SpawnProcess,
    pipe: Connection,
    until_s: float,
    most: int | None,
    on_find: Callable[[Run, Find], object],
) -> bool:
    """Count what the process tells. Returns: whether it is over, or else another process must go on."""
    from fuzzing.worker import targets

    deadline_s = targets()[run.target].deadline_s + GRACE_S
    while time.monotonic() < until_s and (most is None or run.inputs < most) and len(run.finds) < MOST_FINDS:
        try:
            if not pipe.poll(deadline_s):
                what = f"no answer within {deadline_s:g} s {_at(folder)}"
                _found(run, Outcome(run.inputs, "find", what, _stderr_of(folder)), folder, on_find)
                run.inputs += 1
                return False
            outcome = pipe.recv()
        except (EOFError, ConnectionError):
            process.join(GRACE_S)
            what = f"the process ends with {process.exitcode} {_at(folder)}"
            _found(run, Outcome(run.inputs, "find", what, _stderr_of(folder)), folder, on_find)
            run.inputs += 1
            return False
        if outcome == "done":
            return True
        run.inputs += 1
        run.worked += outcome.kind == "worked"
        run.refused += outcome.kind == "refused"
        if outcome.kind == "find":
            _found(run, outcome, folder, on_find)
    return True


def _found(run: Run, outcome: Outcome, folder: Path, on_find: Callable[[Run, Find], object]) -> None:
    if outcome.what in run.finds:
        run.finds[outcome.what].times += 1
        return
    ended = folder / "input"  # of a process that could say nothing any more
    data = outcome.data or (ended.read_bytes() if ended.exists() else b"")
    run.finds[outcome.what] = find = Find(outcome.what, data, outcome.details)
    on_find(run, find)


def _stderr_of(folder: Path) -> str:
    return (folder / "stderr").read_text(errors="replace")[-4000:] if (folder / "stderr").exists() else ""


def _at(folder: Path) -> str:
    """Where a stack that was dumped is within our package."""
    lines = [line for line in _stderr_of(folder).splitlines() if line.startswith("  File") and "/s2v/" in line]
    return "in " + lines[0].split("/s2v/")[1].replace('"', "") if lines else ""
