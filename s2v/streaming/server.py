"""Serve the application until somebody ends it."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
from collections.abc import Callable

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from s2v.errors import StreamError
from s2v.streaming.app import LiveOptions, create_app
from s2v.streaming.audio_file import AudioClip
from s2v.streaming.ice import offer_loopback_when_alone
from s2v.streaming.painter import Engine

log = logging.getLogger(__name__)

ENDING = (signal.SIGINT, signal.SIGTERM)


def run_live(
    make_engine: Callable[[], Engine],
    clip: AudioClip | None,
    still_bgr: NDArray[np.uint8],
    host: str = "127.0.0.1",
    port: int = 8080,
    loop: bool = False,
    on_ready: Callable[[str], None] | None = None,
    sample_clip: AudioClip | None = None,
) -> signal.Signals:
    """Serve the page and its calls until SIGINT or SIGTERM; call it from the main thread.

    Args:
        make_engine: called once per session, on that session's thread.
        clip: the voice that drives the face; None lets the visitor talk, or play `sample_clip`.
        still_bgr: (h, w, 3) uint8, the face at rest: the page's poster and the first frame of every call.
        port: 0 takes any free one.
        on_ready: called with the page's address once it can be opened.
    Returns: the signal that ended it; by then every call, task and thread has been joined.
    Raises: StreamError, host and port cannot be bound.
    """
    options = LiveOptions(make_engine, still_bgr, clip, sample_clip, loop)
    return asyncio.run(serve(options, host, port, on_ready))


async def serve(options: LiveOptions, host: str, port: int, on_ready: Callable[[str], None] | None) -> signal.Signals:
    """What `run_live` runs, for callers with an event loop of their own."""
    ended: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, _end, ended, number)
    if offer_loopback_when_alone():
        log.warning(
            "this machine has no network address but its own loopback: start Chromium with "
            "--allow-loopback-in-peer-connection, or connect any network"
        )
    runner = web.AppRunner(create_app(options), access_log=None, shutdown_timeout=2.0)
    try:
        await runner.setup()
        await _bind(runner, host, port)
        if on_ready is not None:
            on_ready(_address(runner))
        return await ended
    finally:
        await runner.cleanup()
        for number in ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)


def _end(ended: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not ended.done():
        ended.set_result(number)


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OverflowError:
        raise StreamError(f"port {port} does not exist: pass --port with 0 (any free one) to 65535") from None
    except UnicodeError:
        raise StreamError(f"{host!r} is not a host name: check --host") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StreamError(f"port {port} on {host} is in use: stop the other server or pass --port") from None
        if error.errno == errno.EACCES:
            raise StreamError(f"port {port} needs administrator rights: pass --port with 1024 or more") from None
        raise StreamError(f"cannot listen on {host}, port {port} ({error.strerror}): check --host") from None


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
