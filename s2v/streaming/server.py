"""Serve the application until somebody ends it."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace

import aioice.ice
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from s2v.errors import StreamError
from s2v.streaming.access import LOOPBACK_ONLY, Access
from s2v.streaming.app import LiveOptions, create_app
from s2v.streaming.audio_file import AudioClip
from s2v.streaming.avatar import OwnVoice
from s2v.streaming.face_store import ONE_FACE, FaceOptions
from s2v.streaming.ice import IceServer, offer_loopback_when_alone
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
    own_voice: OwnVoice | None = None,
    access: Access = LOOPBACK_ONLY,
    ice_servers: Sequence[IceServer] = (),
    tls: ssl.SSLContext | None = None,
    max_sessions: int = 4,
    faces: FaceOptions = ONE_FACE,
) -> signal.Signals:
    """Serve the page and its calls until SIGINT or SIGTERM; call it from the main thread.

    Args:
        make_engine: called once per session, on that session's thread.
        clip: the voice that drives the one face that everybody sees; `own_voice` is the same, of a microphone or
            a program. Without both, each visitor talks, or plays `sample_clip`, and sees a face of their own.
        still_bgr: (h, w, 3) uint8, the face at rest: the page's poster and the first frame of every call.
        port: 0 takes any free one.
        on_ready: called with the page's address, the token in it, once it can be opened.
        access: who may use it; a host that other machines reach needs a token.
        tls: serve https with this certificate.
        max_sessions: callers at a time; whoever comes then is asked to come back.
        faces: what callers can choose beside this face.
    Returns: the signal that ended it; by then every call, task and thread has been joined.
    Raises: StreamError, host and port cannot be bound.
    """
    options = LiveOptions(
        make_engine,
        still_bgr,
        clip,
        sample_clip,
        loop,
        access=access,
        ice_servers=tuple(ice_servers),
        own_voice=own_voice,
    )
    options = replace(options, max_sessions=max_sessions, faces=faces)
    return asyncio.run(serve(options, host, port, on_ready, tls))


async def serve(
    options: LiveOptions,
    host: str,
    port: int,
    on_ready: Callable[[str], None] | None,
    tls: ssl.SSLContext | None = None,
) -> signal.Signals:
    """What `run_live` runs, for callers with an event loop of their own."""
    options.access.refuse_open_host(host)
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
        await _bind(runner, host, port, tls)
        if on_ready is not None:
            on_ready(_address(runner, tls) + options.access.entrance)
        return await ended
    finally:
        await runner.cleanup()
        for number in ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)


def _end(ended: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not ended.done():
        ended.set_result(number)


async def _bind(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
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


def _address(runner: web.AppRunner, tls: ssl.SSLContext | None) -> str:
    """Where a browser finds the page; of a server on all addresses, one that other machines can use."""
    host, port = runner.addresses[0][:2]
    if host in ("0.0.0.0", "::"):
        ours = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=host == "::")
        host = next(iter(ours), "127.0.0.1" if host == "0.0.0.0" else "::1")
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
