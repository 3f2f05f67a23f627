"""Printing that survives a closed, full or narrow terminal, and an exit code that tells the truth about it.

A *result* is what the command was asked for: where it cannot be written, the command has failed. A *note* tells of
something that is done already, such as a file: it is printed if it can be.
"""

from __future__ import annotations

import errno
import io
import os
import sys

from s2v.errors import OutputError

_closed: set[int] = set()  # of stdin, stdout and stderr, when the process began


def guard_streams() -> None:
    """To be called first in a process: give it all three streams, whatever it was started with.

    A closed one is opened on nothing: else the next file would get its number, and what libraries print would land in
    it. Characters that an encoding lacks are printed as escapes. stderr never fails.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)
            _closed.add(number)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = sys.stderr.encoding if isinstance(sys.stderr, io.TextIOWrapper) else "utf-8"
    raw = _RawStderr(2, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=True, write_through=True)


def print_result(text: str) -> None:
    """Print what was asked for. Raises: OutputError, it cannot be written. BrokenPipeError, its reader has left."""
    try:
        if 1 in _closed:
            raise OSError(errno.EBADF, "it is closed")
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up()
        raise OutputError(
            f"the result cannot be written to the standard output ({error.strerror}): send it elsewhere"
        ) from None


def print_note(text: str) -> None:
    """Say what has been done. Where nobody can be told, it is done all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _give_up()
    except OSError as error:
        _give_up()
        print(f"s2v: done, but the standard output cannot be written to ({error.strerror})", file=sys.stderr)


def flush() -> None:
    """Write out what others have printed, such as the text of --help. Raises: see `print_result`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up()
        raise OutputError(f"the standard output cannot be written to ({error.strerror}): send it elsewhere") from None


def reader_has_left() -> None:
    """After a BrokenPipeError: nothing more is written there, and Python's own last flush finds nothing wrong."""
    _give_up()


def _give_up() -> None:
    """What is still in the buffer goes nowhere; Python would try to write it once more at its end, and complain."""
    try:
        there = sys.stdout.fileno()
    except (OSError, ValueError):  # somebody's replacement without a file
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, there)
    os.close(nowhere)


class _RawStderr(io.FileIO):
    """Loses what cannot be written: there is nowhere to say so."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]
