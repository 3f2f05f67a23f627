"""A Ray cluster, started here or reached, without its banners, dashboard, usage statistics and log."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2v.errors import DataError
from s2v.interrupts import ENDING
from s2v.machine import core_count

LOCAL, AUTO = "local", "auto"
REACH_TIMEOUT_S = 10.0  # for a machine that does not answer
_OBJECT_STORE_BYTES = 100 * 2**20  # rows are small, and features go through files; Ray would take a third of the memory
_STARTS = 3  # Ray waits 30 s for itself, which a crowded machine may need more than once
_HOST = re.compile(r"(?:ray://)?(?P<host>[^\s/:]+):(?P<port>\d{1,5})")
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of a cluster that is started here: as our own processes; Ray's are at 15
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns about GPUs
}
_log = logging.getLogger("s2v")


class _Nowhere(io.TextIOBase):
    """Takes whatever is printed, also by a thread of Ray's that comes too late."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def ray_connection(address: str, workers: int | None = None) -> Iterator[None]:
    """Ray is ready inside. Where this process is connected already it stays so, whatever the address.

    Args:
        address: "local", "auto" or HOST:PORT.
        workers: processes of a local cluster; None, as many as there are cores.
    Raises: DataError, there is no cluster, or it does not let us in; ImportError, Ray is not installed.
    """
    _check(address)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" not in os.environ and (address == LOCAL or _has_token()):
        os.environ["RAY_AUTH_MODE"] = "token"  # what Ray takes by itself for some addresses, with a line about it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
    if ray.is_initialized():
        yield
        return
    try:
        _connect(address, workers)
        if ray.cluster_resources().get("CPU", 0) < 1:  # type: ignore[no-untyped-call]
            _log.warning("the Ray cluster at %s has no processor yet: waiting for one", address)
        # Ray prints to standard output, where a program may wait for JSON, when a process dies.
        with contextlib.redirect_stdout(_Nowhere()):
            yield
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Raises: DataError, no address; nobody listens there."""
    if address in (LOCAL, AUTO):
        return
    found = _HOST.fullmatch(address)
    if found is None:
        raise DataError(f"{address!r} is no Ray address: local, auto, or HOST:PORT as `ray start` prints it")
    if address.startswith("ray://"):
        raise DataError(
            f"{address} is for Ray's Client, and Ray Data does not work through it: run the command on a machine of "
            "the cluster with --ray auto (`ray job submit` does)"
        )
    try:
        socket.create_connection((found["host"], int(found["port"])), REACH_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise DataError(f"no Ray cluster at {address} ({error}): `ray start --head` prints its address") from None


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser().exists()


def _connect(address: str, workers: int | None) -> None:
    import ray

    try:
        with _handlers_kept(), _nothing_printed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if address == LOCAL:
                _start(workers or core_count())
            else:
                ray.init(address, log_to_driver=False, configure_logging=False)
            import ray.data  # sets up a log of its own

            ray.data.DataContext.get_current().enable_progress_bars = False
    except ImportError:
        raise
    except Exception as error:
        raise DataError(f"no Ray cluster at {address}: {_reason(error)}") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong we say ourselves


def _start(processes: int) -> None:
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(
                LOCAL,
                num_cpus=processes,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
            return
        except Exception as error:
            if not left or "timed out" not in str(error):
                raise
            ray.shutdown()


def _reason(error: Exception) -> str:
    text = f"{error} {error.__cause__ or ''}"
    if "token" in text.lower():
        return "RAY_AUTH_MODE=token, and its token in RAY_AUTH_TOKEN or ~/.ray/auth_token, let you in"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__}"[:200]


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Ray's C++ side writes its log to standard error, a line a second while it tries to connect."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
