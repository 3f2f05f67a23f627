"""The web application: one page, its offers, and the calls that come of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from s2v.errors import S2vError, StreamError
from s2v.streaming.audio_file import AudioClip
from s2v.streaming.call import Call, Offer
from s2v.streaming.painter import Engine
from s2v.streaming.session import Session
from s2v.streaming.sources import AudioSource, FileSource

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
OFFER_BYTES = 64 * 1024  # a browser's offer is 2-8 KiB
CONTENT_POLICY = "default-src 'self'; media-src 'self' blob:; frame-ancestors 'none'"


@dataclass(frozen=True)
class LiveOptions:
    """What one server shows. `make_engine` is called once per session, on the session's engine thread."""

    make_engine: Callable[[], Engine]
    still_bgr: NDArray[np.uint8]  # (h, w, 3), the face at rest, as large as the engine's frames
    clip: AudioClip | None = None  # this voice, and no microphone, drives the face
    sample_clip: AudioClip | None = None  # without `clip`: what the page offers beside the microphone
    loop: bool = False  # begin `clip` again when it ends
    max_sessions: int = 4
    connect_within_s: float = 15.0
    silent_after_s: float = 8.0  # a living peer sends receiver reports about every second, also from a hidden page

    @property
    def voice(self) -> AudioClip | None:
        return self.clip if self.clip is not None else self.sample_clip


class Switchboard:
    """All calls of one server: opens them, counts them, joins them at the end."""

    def __init__(self, options: LiveOptions) -> None:
        self.options = options
        self.served = 0  # calls answered so far
        self._calls: set[Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    async def answer(self, offer: Offer) -> dict[str, str]:
        """Open a call; returns the answer for the browser.

        Raises: StreamError, the offer is unusable. S2vError, the engine cannot be opened.
        """
        voice = self._voice_source() if offer.input == "voice" else None
        options = self.options
        call = Call(self._make_session, self._calls.discard, options.connect_within_s, options.silent_after_s)
        self._calls.add(call)  # before anything is awaited
        try:
            answer = await call.answer(offer, voice)
        except BaseException:
            self._calls.discard(call)
            raise
        self.served += 1
        return {"sdp": answer.sdp, "type": answer.type}

    @property
    def full(self) -> bool:
        return len(self._calls) >= self.options.max_sessions

    def state(self) -> dict[str, Any]:
        calls = [{"state": call.state, **call.session.stats()} for call in self._calls if call.session is not None]
        return {"sessions": len(self), "served": self.served, "calls": calls}

    async def close(self) -> None:
        await asyncio.gather(*(call.close() for call in list(self._calls)))

    def _make_session(self, source: AudioSource) -> Session:
        return Session(source, self.options.make_engine, self.options.still_bgr)

    def _voice_source(self) -> FileSource:
        if self.options.voice is None:
            raise StreamError("this server has no voice to play: use the microphone, or start it with --audio FILE")
        return FileSource(self.options.voice, self.options.loop and self.options.clip is not None)


SWITCHBOARD = web.AppKey("switchboard", Switchboard)


def create_app(options: LiveOptions) -> web.Application:
    """The application, ready to be served; its shutdown closes all calls."""
    app = web.Application(client_max_size=OFFER_BYTES, middlewares=[_one_line_errors])
    app[SWITCHBOARD] = Switchboard(options)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(_close_calls)
    still = cv2.imencode(".jpg", options.still_bgr)[1].tobytes()

    async def still_jpg(_: web.Request) -> web.Response:
        return web.Response(body=still, content_type="image/jpeg")

    app.add_routes(
        [
            web.get("/", _page),
            web.get("/favicon.ico", _icon),
            web.get("/still.jpg", still_jpg),
            web.get("/config", _config),
            web.get("/health", _health),
            web.get("/state", _state),
            web.post("/offer", _offer),
            web.static("/static", STATIC),
        ]
    )
    return app


async def _page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _icon(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "icon.svg")


async def _config(request: web.Request) -> web.Response:
    """What the page needs to know before the first call."""
    options = request.app[SWITCHBOARD].options
    height, width = options.still_bgr.shape[:2]
    inputs = (["mic"] if options.clip is None else []) + (["voice"] if options.voice is not None else [])
    return web.json_response({"inputs": inputs, "own_clip": options.clip is not None, "width": width, "height": height})


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "sessions": len(request.app[SWITCHBOARD])})


async def _state(request: web.Request) -> web.Response:
    return web.json_response(request.app[SWITCHBOARD].state())


async def _offer(request: web.Request) -> web.Response:
    if request.content_type != "application/json":  # a foreign page cannot send this type without asking first
        raise StreamError(f"the offer came as {request.content_type}: send application/json")
    try:
        offer = Offer.from_json(await request.text())
    except (UnicodeDecodeError, LookupError):
        raise StreamError("the offer is not text: send JSON in UTF-8") from None
    switchboard = request.app[SWITCHBOARD]
    if switchboard.full:  # nothing is awaited from here until the call is counted: two cannot share the last place
        text = f"{len(switchboard)} people are talking here already: try again in a minute"
        return web.json_response({"error": text}, status=503, headers={"Retry-After": "60"})
    return web.json_response(await switchboard.answer(offer))


@web.middleware
async def _one_line_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal is one line of JSON: 400 for a bad request, 500 when our own engine cannot be used."""
    try:
        return await handler(request)
    except StreamError as error:
        return web.json_response({"error": str(error)}, status=400)
    except S2vError as error:
        log.warning("%s", error)
        return web.json_response({"error": str(error)}, status=500)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.reason}, status=error.status)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"  # an updated page must not meet an old script


async def _close_calls(app: web.Application) -> None:
    await app[SWITCHBOARD].close()
