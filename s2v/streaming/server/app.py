"""The web application: one page, its offers, and the calls that come of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import get_args

from aiohttp import web

from s2v.engine.behaviour.mood import Mood
from s2v.errors import S2vError, StreamError, UnavailableError
from s2v.streaming.server import health
from s2v.streaming.server.access import STATIC, guard
from s2v.streaming.server.call_manager import BUSY_FOR_S, CALL_MANAGER, CallManager, LiveOptions
from s2v.streaming.server.face_routes import STORE, config_of, tend
from s2v.streaming.server.face_routes import routes as face_routes
from s2v.streaming.server.face_store import ONE_FACE, FaceStore, UnknownFaceError
from s2v.streaming.server.http_runner import text_of
from s2v.streaming.server.push_socket import PushSocket
from s2v.streaming.webrtc.offer import Offer

log = logging.getLogger(__name__)

OFFER_BYTES = 64 * 1024  # a browser's offer is 2-8 KiB
CONTENT_POLICY = (
    "default-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def create_app(options: LiveOptions) -> web.Application:
    """The application, ready to be served; its shutdown closes all calls."""
    others = options.faces if options.shared is None else ONE_FACE  # all see the one face
    store = FaceStore(options.avatar, others)
    call_manager = CallManager(options, store)
    middlewares = [call_manager.metrics.middleware(), _one_line_errors, guard(options.access)]
    app = web.Application(client_max_size=OFFER_BYTES, middlewares=middlewares)
    app[STORE], app[CALL_MANAGER] = store, call_manager
    app.cleanup_ctx.extend([tend, health.watch])
    app.on_response_prepare.append(_add_headers)
    speech = PushSocket(app[CALL_MANAGER].broadcast if options.shared and options.shared.kind == "push" else None)
    app.on_startup.append(_start_broadcast)
    app.on_shutdown.extend([speech.close, _close_calls])
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/favicon.ico", _icon),
            web.get("/still.jpg", _still),
            web.get("/config", _config),
            web.get("/state", _state),
            web.post("/offer", _offer),
            *health.routes(),
            *face_routes(),
            *speech.routes(),
            *call_manager.metrics.routes(),
            web.static("/static", STATIC),
        ]
    )
    return app


async def _page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _icon(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "icon.svg")


async def _still(request: web.Request) -> web.Response:
    return web.Response(body=request.app[STORE].default.avatar.still_jpeg, content_type="image/jpeg")


async def _config(request: web.Request) -> web.Response:
    """What the page needs to know before the first call."""
    options = request.app[CALL_MANAGER].options
    width, height = options.avatar.frame_size
    ice_servers = [server.as_json() for server in options.ice_servers]
    size = {"width": width, "height": height}
    own, faces = options.clip is not None, config_of(request.app[STORE])
    # of the one face that everybody sees, nobody changes anything
    settings = options if options.shared is None else replace(options, articulation=None, liveliness=None, mood=None)
    return web.json_response(
        {"inputs": options.inputs, "own_clip": own, "listens": options.listens, **size, **faces}
        | {"articulation": settings.articulation, "liveliness": settings.liveliness, "mood": settings.mood}
        | {"moods": [] if settings.mood is None else list(get_args(Mood)), "ice_servers": ice_servers}
    )


async def _state(request: web.Request) -> web.Response:
    return web.json_response(request.app[CALL_MANAGER].state())


async def _offer(request: web.Request) -> web.Response:
    if request.content_type != "application/json":  # a foreign page cannot send this type without asking first
        raise StreamError(f"the offer came as {request.content_type}: send application/json")
    call_manager = request.app[CALL_MANAGER]
    offer = Offer.from_json(await text_of(request, call_manager.options.connect_within_s))
    if refusal := call_manager.refusal():  # nothing is awaited from here until the call is counted: two cannot share
        return health.refused(refusal)  # the last place
    return web.json_response(await call_manager.answer(offer))


@web.middleware
async def _one_line_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal is one line of JSON: 400 for a bad request, 500 when our own engine cannot be used, 503 not now."""
    try:
        return await handler(request)
    except UnknownFaceError as error:
        return web.json_response({"error": str(error)}, status=404)
    except StreamError as error:
        return web.json_response({"error": str(error)}, status=400)
    except UnavailableError as error:
        log.warning("%s", error)
        return health.refused((str(error), BUSY_FOR_S))
    except S2vError as error:
        log.warning("%s", error)
        return web.json_response({"error": str(error)}, status=500)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = web.json_response({"error": _reason(request, error)}, status=error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


def _reason(request: web.Request, error: web.HTTPException) -> str:
    """What aiohttp says in two words, as a line that helps; what we say ourselves, as it is."""
    if error.reason != HTTPStatus(error.status).phrase:
        return error.reason
    what = f"{request.method[:20]} {request.path[:60]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{what} is not answered: use {' or '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"{what} has a body of more than {OFFER_BYTES >> 10} KiB: send what the browser made, and no more"
    if error.status in (403, 404):
        return f"{what} is nothing that this server has: docs/http.md lists what it has"
    return f"{what}: {error.reason}"


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"  # an updated page must not meet an old script


async def _start_broadcast(app: web.Application) -> None:
    if (broadcast := app[CALL_MANAGER].broadcast) is not None:
        await broadcast.start_unless_it_waits()


async def _close_calls(app: web.Application) -> None:
    await app[CALL_MANAGER].close()
