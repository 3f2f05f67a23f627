"""How HTTP is spoken, whatever the application: what a peer may hold open, and what is worth a line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from s2v.errors import StreamError

IDLE_S = 30.0  # a connection that has no request, or not all of its head, is cut then; aiohttp waits an hour
LINGER_S = 10.0  # after a refusal before the body is there, or a browser that still sends would not see the answer
OPEN_FILES = 65_536  # more than one address can have connections
WAITING = 128  # connections that nobody has taken yet
SHUTDOWN_S = 2.0  # for requests under way when the server ends


class _OurFaults(logging.Filter):
    """A malformed request is answered; a traceback of each would fill the disk of whoever is scanned."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def make_runner(app: web.Application, idle_s: float = IDLE_S, linger_s: float = LINGER_S) -> web.AppRunner:
    """To be set up and cleaned up by the caller.

    Compressed bodies are not unpacked: no page of ours sends any, and 200 kB can stand for 200 MB.
    """
    logger = logging.getLogger("s2v.http")
    logger.filters = [_OurFaults()]
    return web.AppRunner(
        app,
        access_log=None,
        logger=logger,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=idle_s,
        lingering_time=linger_s,
        auto_decompress=False,
    )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Every address of this host, to be taken before anything is loaded; who connects early waits until it is served.

    Args: port: 0 takes any free one, the same for all addresses.
    Raises: StreamError, host and port cannot be bound.
    """
    found: list[socket.socket] = []
    try:
        _bind(host, port, found)
        yield found
    finally:
        for each in found:
            each.close()


def _bind(host: str, port: int, found: list[socket.socket]) -> None:
    missing: OSError | None = None
    try:
        addresses = _addresses(host, port)
        for family, kind, protocol, _, address in addresses:
            place = (address[0], found[0].getsockname()[1] if found else port, *address[2:])
            try:
                found.append(_listener((family, kind, protocol), place, alone=len(addresses) == 1))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # "localhost" is ::1 too, also where there is no IPv6
        if not found and missing is not None:
            raise missing
    except OverflowError:
        reason = f"port {port} does not exist: pass --port with 0 (any free one) to 65535"
    except UnicodeError:
        reason = f"{host!r} is not a host name: check --host"
    except OSError as error:
        reason = f"cannot listen on {host}, port {port} ({error.strerror}): check --host"
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} on {host} is in use: stop the other server or pass --port"
        elif error.errno == errno.EACCES:
            reason = f"port {port} needs administrator rights: pass --port with 1024 or more"
    else:
        return
    raise StreamError(reason)


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
    """What `socket.getaddrinfo` finds, each once."""
    flags = socket.AI_PASSIVE
    return list(dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)))


def _listener(kind: tuple[int, int, int], address: tuple[Any, ...], alone: bool) -> socket.socket:
    """Args: kind: family, type and protocol. alone: the host has no other address. Raises: OSError."""
    wanted = socket.socket(*kind)
    try:
        _listen(wanted, address, alone)
    except BaseException:
        wanted.close()
        raise
    return wanted


def _listen(wanted: socket.socket, address: tuple[Any, ...], alone: bool) -> None:
    if sys.platform != "win32":  # there it would let two servers have one port
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if wanted.family == socket.AF_INET6:
        wanted.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not alone)  # "::" is for IPv4 as well
    wanted.bind(address)
    wanted.listen(WAITING)  # at once: until somebody listens, others may bind the same


def allow_many_files() -> None:
    """Let this process open as many sockets as the system lets it ask for: 1024, what most begin with, is soon full."""
    if sys.platform != "win32":
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
        if now != resource.RLIM_INFINITY and now < wanted:
            with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own beside it
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def text_of(request: web.Request, within_s: float) -> str:
    """The whole body. Raises: StreamError, it comes too slowly, or is no text. HTTPException 413."""
    try:
        async with asyncio.timeout(within_s):
            return await request.text()
    except TimeoutError:
        raise StreamError(f"the request did not come within {within_s:g} s: send it at once") from None
    except (UnicodeDecodeError, LookupError):
        raise StreamError("the offer is not text: send JSON in UTF-8") from None
