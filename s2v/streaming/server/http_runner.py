"""How HTTP is spoken, whatever the application: what a peer may hold open, and what is worth a line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from s2v.errors import StreamError

IDLE_S = 30.0  # a connection that has no request, or not all of its head, is cut then; aiohttp waits an hour
LINGER_S = 10.0  # after a refusal before the body is there, or a browser that still sends would not see the answer
OPEN_FILES = 65_536  # more than one address can have connections
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
