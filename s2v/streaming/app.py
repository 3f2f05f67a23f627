"""The web application: one page, its offers, and the calls that come of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from s2v.errors import S2vError, StreamError
from s2v.streaming.access import LOOPBACK_ONLY, STATIC, Access, guard
from s2v.streaming.audio_file import AudioClip
from s2v.streaming.audio_socket import AudioSocket
from s2v.streaming.avatar import Avatar, OwnVoice
from s2v.streaming.call import Call, Offer
from s2v.streaming.face_store import ONE_FACE, FaceOptions, FaceStore, FixedPortrait, UnknownFaceError
from s2v.streaming.faces import STORE, config_of, tend
from s2v.streaming.faces import routes as face_routes
from s2v.streaming.ice import IceServer
from s2v.streaming.metrics import Metrics
from s2v.streaming.painter import Engine
from s2v.streaming.session import Session
from s2v.streaming.sources import AudioSource, FileSource

log = logging.getLogger(__name__)

OFFER_BYTES = 64 * 1024  # a browser's offer is 2-8 KiB
CONTENT_POLICY = (
    "default-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class LiveOptions:
    """What one server shows. `make_engine` is called once per session, on the session's engine thread."""

    make_engine: Callable[[], Engine]
    still_bgr: NDArray[np.uint8]  # (h, w, 3), the face at rest, as large as the engine's frames
    clip: AudioClip | None = None  # this voice drives the one face that every caller sees
    sample_clip: AudioClip | None = None  # what the page offers beside the caller's microphone
    loop: bool = False  # begin `clip` again when it ends
    max_sessions: int = 4
    connect_within_s: float = 8.0  # half a second is usual; whoever closes the page meanwhile holds a place
    silent_after_s: float = 8.0  # a living peer sends receiver reports about every second, also from a hidden page
    access: Access = LOOPBACK_ONLY
    ice_servers: tuple[IceServer, ...] = ()  # for both ends of every call
    faces: FaceOptions = ONE_FACE  # beside this one
    own_voice: OwnVoice | None = None  # the same as `clip`, of a microphone or a program

    @property
    def shared(self) -> OwnVoice | None:
        """What drives the one face that everybody sees; None on a server where each caller has a session."""
        if (clip := self.clip) is None:
            return self.own_voice
        return OwnVoice("file", lambda: FileSource(clip, self.loop), waits_for_viewers=not self.loop)

    @property
    def inputs(self) -> list[str]:
        """What an offer may ask for."""
        if self.shared is not None:
            return ["shared"]
        return ["mic", *(["voice"] if self.sample_clip is not None else [])]


class Switchboard:
    """All calls of one server: opens them, counts them, joins them at the end."""

    def __init__(self, options: LiveOptions, faces: FaceStore) -> None:
        self.options = options
        self.metrics = Metrics()
        self._faces = faces
        self.avatar = self._make_avatar(options.shared) if options.shared is not None else None
        self.served = 0  # calls answered so far
        self._calls: set[Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    async def answer(self, offer: Offer) -> dict[str, str]:
        """Open a call; returns the answer for the browser.

        Raises: UnknownFaceError. StreamError, the offer is unusable. S2vError, the engine cannot be opened.
        """
        if (offer.input == "shared") != (self.avatar is not None):
            raise StreamError(f"this server has no input {offer.input!r}: ask for {' or '.join(self.options.inputs)}")
        voice = self._sample_source() if offer.input == "voice" else None
        options, face = self.options, self._faces.hold(offer.face)

        def make_session(source: AudioSource) -> Session:
            return Session(source, face.portrait.make_engine, face.portrait.still_bgr, monitor=self.metrics)

        def end(call: Call) -> None:
            self._calls.discard(call)
            self._faces.release(face)

        call = Call(
            make_session,
            end,
            options.connect_within_s,
            options.silent_after_s,
            options.ice_servers,
        )
        self._calls.add(call)  # before anything is awaited
        try:
            answer = await call.answer(offer, voice, self.avatar.watch if self.avatar is not None else None)
        except BaseException:
            end(call)
            raise
        self.served += 1
        return {"sdp": answer.sdp, "type": answer.type}

    @property
    def full(self) -> bool:
        return len(self._calls) >= self.options.max_sessions

    def state(self) -> dict[str, Any]:
        calls = [{"state": call.state, **call.session.stats()} for call in self._calls if call.session is not None]
        avatar = {} if self.avatar is None else {"avatar": self.avatar.state()}
        return {"sessions": len(self), "served": self.served, "calls": calls, **avatar}

    async def close(self) -> None:
        await asyncio.gather(*(call.close() for call in list(self._calls)))
        if self.avatar is not None:
            await self.avatar.close()

    def _make_avatar(self, voice: OwnVoice) -> Avatar:
        options = self.options

        def make_session(source: AudioSource) -> Session:
            return Session(source, options.make_engine, options.still_bgr, monitor=self.metrics)

        return Avatar(voice, make_session)

    def _sample_source(self) -> FileSource:
        if self.options.sample_clip is None:
            raise StreamError("this server has no voice to play: use the microphone, or start it with --audio FILE")
        return FileSource(self.options.sample_clip)


SWITCHBOARD = web.AppKey("switchboard", Switchboard)


def create_app(options: LiveOptions) -> web.Application:
    """The application, ready to be served; its shutdown closes all calls."""
    others = options.faces if options.shared is None else ONE_FACE  # all see the one face
    store = FaceStore(FixedPortrait(options.make_engine, options.still_bgr), others)
    switchboard = Switchboard(options, store)
    middlewares = [switchboard.metrics.middleware(), _one_line_errors, guard(options.access)]
    app = web.Application(client_max_size=OFFER_BYTES, middlewares=middlewares)
    app[STORE], app[SWITCHBOARD] = store, switchboard
    app.cleanup_ctx.append(tend)
    app.on_response_prepare.append(_add_headers)
    speech = AudioSocket(app[SWITCHBOARD].avatar if options.shared and options.shared.kind == "push" else None)
    app.on_startup.append(_start_avatar)
    app.on_shutdown.extend([speech.close, _close_calls])
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/favicon.ico", _icon),
            web.get("/still.jpg", _still),
            web.get("/config", _config),
            web.get("/health", _health),
            web.get("/state", _state),
            web.post("/offer", _offer),
            *face_routes(),
            *speech.routes(),
            *switchboard.metrics.routes(),
            web.static("/static", STATIC),
        ]
    )
    return app


async def _page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _icon(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "icon.svg")


async def _still(request: web.Request) -> web.Response:
    return web.Response(body=request.app[STORE].default.portrait.still_jpeg, content_type="image/jpeg")


async def _config(request: web.Request) -> web.Response:
    """What the page needs to know before the first call."""
    options = request.app[SWITCHBOARD].options
    height, width = options.still_bgr.shape[:2]
    ice_servers = [server.as_json() for server in options.ice_servers]
    size = {"width": width, "height": height}
    own, faces = options.clip is not None, config_of(request.app[STORE])
    return web.json_response({"inputs": options.inputs, "own_clip": own, **size, **faces, "ice_servers": ice_servers})


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
    except UnknownFaceError as error:
        return web.json_response({"error": str(error)}, status=404)
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
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"  # an updated page must not meet an old script


async def _start_avatar(app: web.Application) -> None:
    if (avatar := app[SWITCHBOARD].avatar) is not None:
        await avatar.start_if_it_need_not_wait()


async def _close_calls(app: web.Application) -> None:
    await app[SWITCHBOARD].close()
