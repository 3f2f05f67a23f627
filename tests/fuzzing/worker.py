"""The process that takes inputs: it says how each went, and may die of one."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from fuzzing.mutation import Mutator
from fuzzing.target import Target, wav

from s2v.errors import S2vError

ROOT = Path(__file__).parents[2]
MEMORY_BYTES = 1 << 30  # that one input may take while it is read
ADDRESSES_BYTES = 4 << 30  # beyond what is mapped when the first one comes
FOREVER_S = 3600.0
READABLE = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", sys.prefix, sys.base_prefix, str(ROOT))
_IN_OPEN, _IN_ACCESS, _IN_NONBLOCK = 0x20, 0x01, 0o4000  # sys/inotify.h

Kind = Literal["worked", "refused", "find"]


@dataclass(frozen=True)
class Outcome:
    """How one input went."""

    index: int
    kind: Kind
    what: str = ""  # of a find: what it is and where, the same for all inputs that have the same cause
    details: str = ""
    data: bytes = b""  # of a find


def targets() -> dict[str, Target]:
    """All of them by name; imports what they take."""
    from fuzzing.call_targets import CALL_TARGETS
    from fuzzing.file_targets import FILE_TARGETS
    from fuzzing.training_targets import TRAINING_TARGETS

    return {target.name: target for target in (*FILE_TARGETS, *TRAINING_TARGETS, *CALL_TARGETS)}


def inputs(target: Target, seeds: list[bytes], seed: int, first: int) -> Iterator[tuple[int, bytes]]:
    """Endless inputs: each depends on its number, the seed and the target's seeds only."""
    index = first
    while True:
        dice = random.Random(f"{seed} {target.name} {index}")
        data, mutator = dice.choice(seeds), Mutator(dice, target.tokens)
        for _ in range(dice.choice((1, 1, 2))):
            data = target.change(mutator, data, seeds)
        yield index, data
        index += 1


def work(name: str, kept: list[bytes], seed: int, first: int, folder: Path, replay: bool, pipe: Connection) -> None:
    """Take inputs from number `first` on until killed; or, to replay, only those that were kept.

    Args: folder: holds `input`, the one that is being taken, and `stderr`.
    """
    log = os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()
    target = targets()[name]
    taker = _Taker(target, folder)
    seeds = target.seeds()
    for index, data in enumerate(seeds):  # loads libraries, which takes its time
        (folder / "input").write_bytes(data)
        outcome = taker.take(-1 - index, data)
        if outcome.kind == "find":
            pipe.send(outcome)
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ADDRESSES_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send("ready")
    source = enumerate(kept) if replay else inputs(target, seeds + kept, seed, first)
    for index, data in source:
        (folder / "input").write_bytes(data)
        os.ftruncate(log, 0)
        os.lseek(log, 0, os.SEEK_SET)
        faulthandler.dump_traceback_later(target.deadline_s)
        outcome = taker.take(index, data)
        faulthandler.cancel_dump_traceback_later()
        pipe.send(outcome)
    pipe.send("done")


class _Taker:
    """Gives inputs to a target and looks at what comes of it."""

    def __init__(self, target: Target, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._target = target
        self._memory_bytes = memory_bytes
        self._cases = folder / "case"
        self._elsewhere = folder / "elsewhere"  # which no input may reach
        self._elsewhere.mkdir(exist_ok=True)
        (self._elsewhere / "voice.wav").write_bytes(wav())
        self._opened: list[str] = []
        self._watching = False
        self._watch = _watch(self._elsewhere)
        sys.addaudithook(self._audit)

    def take(self, index: int, data: bytes) -> Outcome:
        shutil.rmtree(self._cases, ignore_errors=True)
        self._cases.mkdir()
        _events(self._watch)
        self._opened.clear()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _status_bytes("VmRSS")
        kind, what, details = self._attempt(data)
        took = _status_bytes("VmHWM") - before
        if kind != "find" and took > self._memory_bytes:
            kind, what, details = "find", "memory", f"{took >> 20} MiB for {len(data)} bytes"
        if kind != "find" and (self._opened or (_events(self._watch) and self._reaches_out_again(data))):
            kind, what, details = "find", "opened a file outside of its folder", ", ".join(self._opened)
        left = {path.relative_to(self._cases).as_posix() for path in self._cases.rglob("*") if path.is_file()}
        if kind != "find" and (odd := left - set(self._target.names)):
            kind, what, details = "find", "left a file behind", ", ".join(sorted(odd))
        return Outcome(index, kind, what, details, data if kind == "find" else b"")

    def _reaches_out_again(self, data: bytes) -> bool:
        """Another process, such as a search over all files, may have opened it the first time."""
        shutil.rmtree(self._cases)
        self._cases.mkdir()
        _events(self._watch)
        self._attempt(data)
        return _events(self._watch)

    def _attempt(self, data: bytes) -> tuple[Kind, str, str]:
        self._watching = True
        try:
            self._target.attempt(data, self._cases)
        except S2vError as error:
            if "\n" in str(error) or not str(error):
                return "find", f"{type(error).__name__} of more than one line", repr(str(error))
            return "refused", "", str(error)
        except Exception as error:
            return "find", f"{type(error).__name__} {_where(error)}", traceback.format_exc()
        finally:
            self._watching = False
        return "worked", "", ""

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not self._watching or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - of a file that may have any name
        allowed = (str(self._cases), *READABLE)
        if not any(path == one or path.startswith(f"{one}/") for one in allowed):
            self._opened.append(path)


def _where(error: BaseException) -> str:
    """The innermost line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/s2v/" in frame.filename] or frames[-1:]
    return f"in {Path(ours[-1].filename).name}:{ours[-1].name}" if ours else ""


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(field)


def _watch(folder: Path) -> int:
    """A descriptor that has something to read when anybody has opened what is in a folder."""
    library = ctypes.CDLL(None, use_errno=True)
    watch = int(library.inotify_init1(_IN_NONBLOCK))
    if watch >= 0:
        library.inotify_add_watch(watch, os.fsencode(folder), _IN_OPEN | _IN_ACCESS)
    return watch


def _events(watch: int) -> bool:
    try:
        return watch >= 0 and bool(os.read(watch, 65_536))
    except BlockingIOError:
        return False
