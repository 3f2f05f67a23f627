"""What ends a command from outside: Ctrl-C, SIGTERM and SIGHUP, the same for every command.

Before a command works there is nothing to clean up, and the process ends at once. Later the main thread raises
`Interrupted`, so that half-written files go; never in the middle of an import, whose machinery swallows it or ends
with a traceback of its own, nor in a library that it would break: then a moment later.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
RETRY_AFTER_S = 0.05
CLEAN_UP_TIMEOUT_S = 5.0  # a signal after as long ends at once; but a closing terminal sends two together
# Modules, or packages, that an exception from outside leaves broken: the loader; and mediapipe, which waits in Python
# for a thread of its own that goes on with memory of ours, so that the process hangs or crashes.
_FRAGILE = ("importlib._bootstrap", "importlib._bootstrap_external", "mediapipe")

_watched_pid = 0  # the process that called `watch`; what a library forks from it inherits its handlers
_working = False
_received = 0  # the signal that came first
_raised_s: float | None = None


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end."""


def watch() -> None:
    """Let these signals end this process; to be called from the main thread. What it was told to ignore stays so."""
    global _watched_pid
    _watched_pid = os.getpid()
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup; a shell's `&`
            signal.signal(number, _end)
    sys.unraisablehook = _keep_interrupt


def ignore_ending() -> None:
    """For a process whose parent hears of these signals too, and ends it."""
    for name in ENDING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


@contextmanager
def working() -> Iterator[None]:
    """Around what leaves something behind if it is not ended in order."""
    global _working
    _working = True
    try:
        yield
    finally:
        _working = False


def received_signal() -> int:
    """The signal that asked this process to end; 0, none did."""
    return _received


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Ctrl-C goes to a whole group: one that comes while a child begins must not end it with a traceback.

    What begins meanwhile inherits the block, until it lifts it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in ENDING])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(number: int, frame: FrameType | None) -> None:
    global _received, _raised_s
    _received = _received or number
    overdue = _raised_s is not None and time.monotonic() - _raised_s > CLEAN_UP_TIMEOUT_S
    if not _working or os.getpid() != _watched_pid or overdue:
        os._exit(128 + number)
    if _raised_s is not None:
        return
    if _is_fragile(frame):
        _send_again(number)
    else:
        _raised_s = time.monotonic()
        raise Interrupted(number)


def _is_fragile(frame: FrameType | None) -> bool:
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in _FRAGILE or name.partition(".")[0] in _FRAGILE:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    timer = threading.Timer(RETRY_AFTER_S, _send_to_ourselves, (number,))
    timer.daemon = True
    timer.start()


def _send_to_ourselves(number: int) -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:  # wakes it up where it waits
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def _keep_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
    """An interrupt that came inside a finalizer or a library's callback would be lost, with a traceback."""
    global _raised_s
    if isinstance(unraisable.exc_value, Interrupted):
        _raised_s = None
        _send_again(_received)
    else:
        sys.__unraisablehook__(unraisable)
