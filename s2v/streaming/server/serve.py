"""Serve the application until somebody ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from aiohttp import web

from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.http_runner import allow_many_files, listening, make_runner
from s2v.streaming.webrtc.aiortc_internals import host_addresses
from s2v.streaming.webrtc.ice import offer_loopback_when_alone

log = logging.getLogger(__name__)

ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def run_live(
    options: LiveOptions,
    host: str = "127.0.0.1",
    port: int = 8080,
    on_ready: Callable[[str], None] | None = None,
    tls: ssl.SSLContext | None = None,
    bound: Sequence[socket.socket] | None = None,
) -> signal.Signals:
    """Serve the page and its calls until SIGINT, SIGTERM or SIGHUP; call it from the main thread.

    Args:
        options: what is shown, and to whom; a host that other machines reach needs a token.
        port: 0 takes any free one.
        on_ready: called with the page's address, the token in it, once it can be opened.
        tls: serve https with this certificate.
        bound: what `listening` gave for host and port, where it was called before.
    Returns: the signal that ended it; by then every call, task and thread has been joined.
    Raises: StreamError, host and port cannot be bound.
    """
    return asyncio.run(serve(options, host, port, on_ready, tls, bound))


async def serve(
    options: LiveOptions,
    host: str,
    port: int,
    on_ready: Callable[[str], None] | None,
    tls: ssl.SSLContext | None = None,
    bound: Sequence[socket.socket] | None = None,
) -> signal.Signals:
    """What `run_live` runs, for callers with an event loop of their own."""
    options.access.refuse_open_host(host)
    ended: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    if offer_loopback_when_alone():
        log.warning(
            "this machine has no network address but its own loopback: start Chromium with "
            "--allow-loopback-in-peer-connection, or connect any network"
        )
    allow_many_files()
    runner = make_runner(create_app(options))
    with ExitStack() as stack:
        sockets = stack.enter_context(listening(host, port)) if bound is None else bound
        stack.enter_context(_handling(ENDING, partial(_end, ended)))
        try:
            await runner.setup()
            for each in sockets:
                await web.SockSite(runner, each, ssl_context=tls).start()
            if on_ready is not None:
                on_ready(_address(runner, tls) + options.access.entrance)
            return await ended
        finally:
            await runner.cleanup()


@contextmanager
def _handling(signals: Sequence[signal.Signals], handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `handle` on the event loop whenever one of these signals comes."""
    loop = asyncio.get_running_loop()

    def pass_on(number: int, _: object) -> None:
        loop.call_soon_threadsafe(handle, signal.Signals(number))

    with ExitStack() as undo:
        for number in signals:
            if number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            try:
                loop.add_signal_handler(number, handle, number)
                undo.callback(loop.remove_signal_handler, number)
            except NotImplementedError:  # Windows: its loops know no signals, but wake up for them
                undo.callback(signal.signal, number, signal.signal(number, pass_on))
        yield


def _end(ended: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not ended.done():
        ended.set_result(number)


def _address(runner: web.AppRunner, tls: ssl.SSLContext | None) -> str:
    """Where a browser finds the page; of a server on all addresses, one that other machines can use."""
    host, port = runner.addresses[0][:2]
    if host in ("0.0.0.0", "::"):
        host = next(iter(host_addresses(ipv6=host == "::")), "127.0.0.1" if host == "0.0.0.0" else "::1")
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
