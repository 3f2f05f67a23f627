"""One line for each thing that happens, with the session it belongs to, as text or as JSON.

Whatever comes from outside (names, SDP, messages, other people's exceptions) stays within its line: line ends and
control characters are written as escapes. A message that comes again and again from one session is said once and then
counted.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Style = Literal["text", "json"]
WINDOW_S = 10.0
SERVED_BURST = 20.0  # lines from one place of the code in WINDOW_S, whatever they say, while strangers can cause them

# Line ends and controls of every kind, and what turns the direction of writing; joiners, which scripts need, stay.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_session: ContextVar[str] = ContextVar("s2v_session", default="")


@dataclass(frozen=True)
class LogSettings:
    """How a process and those that it starts write their log.

    Args:
        level: of what s2v says; libraries are heard from WARNING on.
        burst: lines from one place of the code in WINDOW_S.
    """

    level: int = logging.INFO
    style: Style = "text"
    burst: float = math.inf


_settings = LogSettings()


def start_logging(settings: LogSettings) -> None:
    """To be called once in a process. Handlers that somebody else has set up stay as they are."""
    global _settings
    _settings = settings
    logging.getLogger("s2v").setLevel(settings.level)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # mediapipe loads it; nobody needs its cache
    if not logging.getLogger().handlers:
        logging.basicConfig(handlers=[LineHandler(settings)], level=logging.WARNING)
        logging.captureWarnings(True)
        threading.excepthook = _thread_failed


def log_settings() -> LogSettings:
    """For a process that this one starts."""
    return _settings


def session_id() -> str:
    """Of the session that this task or thread works for; "" outside of any."""
    return _session.get()


def new_session_id() -> str:
    return secrets.token_hex(4)


def enter_session(name: str) -> None:
    """The rest of this task's or thread's life is this session's."""
    _session.set(name)


@contextmanager
def in_session(name: str) -> Iterator[None]:
    """What is logged inside, and in tasks that begin there, is this session's."""
    before = _session.set(name)
    try:
        yield
    finally:
        _session.reset(before)


def tell(level: int, message: str) -> None:
    """A line of the command itself, such as why it failed: written even where nobody listens to the log."""
    record = logging.LogRecord("s2v", level, __file__, 0, "%s", (" ".join(message.split()),), None)
    print(_format(record, _settings.style), file=sys.stderr)


def escaped(text: str) -> str:
    """The text within one line: what would leave it, or write over what stands there, as escapes."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class Flood:
    """Lets a session's message through once in WINDOW_S, each place of the code `burst` times; counts the others."""

    def __init__(self, burst: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._now = now
        self._seen: dict[object, _Seen] = {}  # in the order of `since_s`

    def admit(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """What is to be written now: counts that are due, and the record unless it is one too many."""
        now_s = self._now()
        lines = self.counts(now_s - WINDOW_S)
        message = record.getMessage()
        keys = (record.name, message, getattr(record, "session", "")), (record.pathname, record.lineno)
        for key, most in zip(keys, (1.0, self._burst), strict=True):
            if (seen := self._seen.get(key)) is not None and seen.passed >= most:
                seen.more += 1
                return lines
        for key in keys:
            self._seen.setdefault(key, _Seen(now_s, _line(record, message))).passed += 1
        return [*lines, record]

    def counts(self, until_s: float = math.inf) -> list[logging.LogRecord]:
        """How often what was first said until then has come since, one record for each; they are forgotten."""
        lines = []
        for key, seen in list(self._seen.items()):
            if seen.since_s > until_s:
                break
            del self._seen[key]
            if seen.more:
                lines.append(_line(seen.line, f"{seen.line.getMessage()} ... {seen.more} more"))
        return lines


@dataclass
class _Seen:
    since_s: float
    line: logging.LogRecord
    passed: int = 0
    more: int = 0


def _line(record: logging.LogRecord, message: str) -> logging.LogRecord:
    """Of the same place, level and session; without arguments and exception, whose frames keep a session alive."""
    line = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, "%s", (message,), None)
    line.session = getattr(record, "session", "")
    return line


class LineHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment."""

    def __init__(self, settings: LogSettings, flood: Flood | None = None) -> None:
        super().__init__()
        self._style = settings.style
        self._flood = flood or Flood(settings.burst)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.session = session_id()
            self._write(self._flood.admit(record))
        except Exception:  # as every handler of the standard library
            self.handleError(record)

    def close(self) -> None:
        self._write(self._flood.counts())
        super().close()

    def _write(self, records: list[logging.LogRecord]) -> None:
        if sys.stderr is not None:
            sys.stderr.write("".join(f"{_format(record, self._style)}\n" for record in records))


def _format(record: logging.LogRecord, style: Style) -> str:
    message, session = record.getMessage(), getattr(record, "session", "")
    failure = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    if style == "text":
        where = f"[{session}] " if session else ""
        return escaped(f"s2v: {where}{message}" + (f": {failure}" if failure else ""))
    fields = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "process": os.getpid(),
        "session": session,
        "message": message,
        "exception": failure,
    }
    return json.dumps({name: value for name, value in fields.items() if value != ""})


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        name = failed.thread.name if failed.thread is not None else "unknown"
        what = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logging.getLogger("s2v").error("thread %s has failed", name, exc_info=what)
