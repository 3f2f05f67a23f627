"""For whoever watches over the process: whether it lives, and whether a caller can be taken now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from s2v.streaming.server.call_manager import BUSY_FOR_S, CALL_MANAGER


def routes() -> list[web.RouteDef]:
    return [web.get("/health", _health), web.get("/ready", _ready)]


async def watch(app: web.Application) -> AsyncIterator[None]:
    """For `app.cleanup_ctx`: look at the machine, and tell callers who are in when it is busy."""
    call_manager = app[CALL_MANAGER]
    watching = asyncio.create_task(call_manager.load.watch(call_manager.tell_who_is_behind))
    yield
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def _health(request: web.Request) -> web.Response:
    call_manager = request.app[CALL_MANAGER]
    if (runtime := call_manager.options.runtime) is not None and runtime.restart_failed:
        return refused((runtime.trouble or "the process that draws does not start", BUSY_FOR_S))
    return web.json_response({"status": "ok", "sessions": len(call_manager)})


async def _ready(request: web.Request) -> web.Response:
    call_manager = request.app[CALL_MANAGER]
    if refusal := call_manager.refusal():
        return refused(refusal)
    return web.json_response({"status": "ready", "sessions": len(call_manager)})


def refused(refusal: tuple[str, int]) -> web.Response:
    """What `CallManager.refusal` says, as an answer."""
    text, retry_after_s = refusal
    return web.json_response({"error": text}, status=503, headers={"Retry-After": str(retry_after_s)})
