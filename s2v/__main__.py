"""The process that `s2v` and `python -m s2v` start. Nothing is imported above what catches Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys


def start() -> int:
    """Run the command that the process was started with; returns its exit code."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: os._exit(128 + number))  # until `interrupts` has its own
    from s2v.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
