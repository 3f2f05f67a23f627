"""The log: one line for each event, with its session, and no flood."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s2v.logs import Flood, LineHandler, LogSettings, enter_session, escaped, in_session, session_id

ROOT = Path(__file__).parents[1]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.Logger("s2v.test")
    yield made
    for handler in made.handlers:
        handler.close()


def test_what_comes_from_outside_stays_in_its_line(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.addHandler(LineHandler(LogSettings()))
    logger.warning("photo %s", "a\ns2v: [b] forged\r\x1b[2K\x85\u2028\u202e.jpg")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("a session failed")
    lines = capsys.readouterr().err.split("\n")
    assert lines[0] == "s2v: photo a\\ns2v: [b] forged\\r\\x1b[2K\\x85\\u2028\\u202e.jpg"
    assert lines[1].startswith("s2v: a session failed: Traceback") and lines[1].endswith("ValueError: two\\nlines")
    assert lines[2:] == [""]
    assert escaped("顔 \u200d é") == "顔 \u200d é", "other scripts and their joiners stay as they are"


def test_json_is_an_object_a_line(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.addHandler(LineHandler(LogSettings(style="json")))
    with in_session("1234"):
        logger.error("a\n%s", "\udcff")
    logger.info("outside")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], first["session"], first["level"], first["logger"]) == (
        "a\n\udcff",
        "1234",
        "error",
        "s2v.test",
    )
    assert "session" not in second and "exception" not in second and second["time"].endswith("+00:00")


def test_a_session_is_known_to_its_tasks_and_threads_and_to_no_others() -> None:
    async def task() -> str:
        await asyncio.sleep(0)
        return session_id()

    async def serve() -> list[str]:
        with in_session("one"):
            one = asyncio.create_task(task())
            with ThreadPoolExecutor(1, "t", enter_session, (session_id(),)) as thread:
                in_thread = await asyncio.get_running_loop().run_in_executor(thread, session_id)
        with in_session("two"):
            two = asyncio.create_task(task())
        return [await one, await two, in_thread, session_id()]

    assert asyncio.run(serve()) == ["one", "two", "one", ""]


def record(message: str, line: int = 1, session: str = "") -> logging.LogRecord:
    made = logging.LogRecord("s2v", logging.WARNING, "file.py", line, "%s", (message,), None)
    made.session = session
    return made


def test_a_message_that_repeats_is_said_once_and_counted() -> None:
    now_s = 0.0
    flood = Flood(now=lambda: now_s)
    said = [one.getMessage() for _ in range(58) for one in flood.admit(record("gone"))]
    said += [one.getMessage() for one in flood.admit(record("other"))]
    assert said == ["gone", "other"]
    now_s = 10.0
    assert [one.getMessage() for one in flood.admit(record("gone"))] == ["gone ... 57 more", "gone"]
    now_s = 20.0
    assert [one.getMessage() for one in flood.counts(now_s - 10)] == [], "once more is not a count"


def test_sessions_that_fail_alike_each_have_their_line() -> None:
    flood = Flood(now=lambda: 0.0)
    said = [one for name in ("a", "b", "b", "a", "b") for one in flood.admit(record("failed", session=name))]
    assert [vars(one)["session"] for one in said] == ["a", "b"]
    counts = [(vars(one)["session"], one.getMessage()) for one in flood.counts()]
    assert counts == [("a", "failed ... 1 more"), ("b", "failed ... 2 more")]


def test_one_place_does_not_flood_with_ever_new_words_while_it_serves() -> None:
    served, batch = Flood(burst=3, now=lambda: 0.0), Flood(now=lambda: 0.0)
    assert sum(len(served.admit(record(f"caller {n}"))) for n in range(50)) == 3
    assert len(served.admit(record("elsewhere", line=2))) == 1
    assert [one.getMessage() for one in served.counts()] == ["caller 0 ... 47 more"]
    assert sum(len(batch.admit(record(f"skipped {n}"))) for n in range(50)) == 50


def test_words_that_were_held_back_are_not_counted_one_by_one_either() -> None:
    now_s = 0.0
    flood = Flood(burst=3, now=lambda: now_s)
    for n in range(100):
        flood.admit(record(f"caller {n // 2}"))
    now_s = 10.0
    counted = [one.getMessage() for one in flood.counts()]
    assert sorted(counted) == [
        "caller 0 ... 1 more",
        "caller 0 ... 94 more",
        "caller 1 ... 1 more",
        "caller 2 ... 1 more",
    ]


def test_a_failure_that_was_written_does_not_stay_in_memory(logger: logging.Logger) -> None:
    class Photo:
        pass

    def fail(photo: Photo) -> None:
        try:
            raise ValueError(photo)
        except ValueError as error:
            logger.exception("it failed: %s", error)

    logger.addHandler(LineHandler(LogSettings()))
    photo = Photo()
    kept = weakref.ref(photo)
    fail(photo)
    del photo
    gc.collect()
    assert kept() is None


SERVER = """
import logging, sys, threading, warnings
from s2v import cli
from s2v.commands.command import Command
from s2v.errors import S2vError

def fail():
    raise ValueError("in a\\nthread")

def run(args):
    for _ in range(5):
        logging.getLogger("s2v.streaming").warning("gone")
    warnings.warn("old")
    thread = threading.Thread(target=fail, name="t1")
    thread.start()
    thread.join()
    raise S2vError("it hums:\\n use another")

cli.COMMANDS = [Command("try", "t", lambda parser: None, run)]
sys.argv = ["s2v", "try", "--log-format", "json"]
sys.exit(cli.main())
"""


def test_everything_a_process_says_is_json_then() -> None:
    """Warnings, threads that fail, why it ends, and what was counted but not said yet."""
    done = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, cwd=ROOT, timeout=60)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 2
    assert [one["message"] for one in said if "UserWarning: old" not in one["message"]] == [
        "gone",
        "thread t1 has failed",
        "it hums: use another",
        "gone ... 4 more",
    ]
    assert len(said) == 5 and "in a\nthread" in said[2]["exception"]


def test_nobody_hears_where_matplotlib_cannot_keep_its_cache() -> None:
    program = "from s2v import logs; logs.start_logging(logs.LogSettings()); import matplotlib as m; m.get_configdir()"
    nowhere = {**os.environ, "MPLCONFIGDIR": f"{os.devnull}/none"}
    done = subprocess.run([sys.executable, "-c", program], env=nowhere, cwd=ROOT, capture_output=True, check=True)
    assert done.stderr == b""
