"""The WebSocket through which a program speaks with the shared face: GET /audio?rate=24000.

    in   binary  16-bit little-endian mono PCM at that rate, cut anywhere, ahead of time or not
    in   text    {"type": "flush"}  the utterance is complete    {"type": "clear"}  forget what is not heard yet
    out  text    {"type": "ready", ...}   {"type": "played", "utterance": n, "heard_ms": n}
                 {"type": "cleared", "forgotten_ms": n, "heard_ms": n}   {"type": "error", "error": one line}

One program at a time. When it leaves, what it has sent is still said to whoever is watching.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web
from numpy.typing import NDArray

from s2v.errors import S2vError, StreamError
from s2v.logs import enter_session, new_session_id
from s2v.streaming.broadcast.broadcast import Broadcast
from s2v.streaming.sources.push import DeliveredUtterance, PushSource
from s2v.streaming.sources.speech_buffer import MAX_BUFFERED_S, MAX_RATE_HZ, MIN_RATE_HZ

log = logging.getLogger(__name__)

PING_EVERY_S = 10.0  # a program that has vanished must not keep the place
MAX_FRAME_BYTES = int(MAX_BUFFERED_S * MAX_RATE_HZ * 2)  # more than may wait cannot be one frame
MAX_COMMAND_CHARACTERS = 1000


class PushSocket:
    """The one place for a speaking program."""

    def __init__(self, broadcast: Broadcast | None) -> None:
        """None: this server takes no pushed speech."""
        self._broadcast = broadcast
        self._socket: web.WebSocketResponse | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/audio", self._serve)]

    async def close(self, _: web.Application) -> None:
        if self._socket is not None:
            await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        if self._broadcast is None:
            raise StreamError("this server takes no pushed speech: start it with s2v live --push")
        rate_hz = _rate_of(request.query.get("rate", ""))
        if "session" in request.query:
            raise StreamError("sessions cannot be addressed: leave session out, the shared face speaks")
        socket = web.WebSocketResponse(heartbeat=PING_EVERY_S, max_msg_size=MAX_FRAME_BYTES)
        if not socket.can_prepare(request):
            raise StreamError("/audio is a WebSocket and this is a plain request: open ws://, with a WebSocket client")
        await socket.prepare(request)
        if self._socket is not None:
            await socket.send_json(_error("another program is speaking here: wait until it has left"))
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"taken")
            return socket
        self._socket = socket
        enter_session(new_session_id())  # to the end of this connection
        try:
            await _Speaker(self._broadcast, socket, rate_hz).listen()
        except S2vError as error:  # an HTTP answer would be noise on a socket that has been opened
            log.warning("%s", error)
            with suppress(ConnectionError):
                await socket.send_json(_error(str(error)))
                await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"failed")
        finally:
            self._socket = None
        return socket


class _Speaker:
    """One connection."""

    def __init__(self, broadcast: Broadcast, socket: web.WebSocketResponse, rate_hz: int) -> None:
        self._broadcast = broadcast
        self._socket = socket
        self._rate_hz = rate_hz
        self._flushed = 0  # utterances of this connection
        self._half = b""  # of a sample, whose other half comes with the next frame
        self._telling: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        present = self._broadcast.subscribe()  # while it speaks, the broadcast is there, also with nobody looking
        try:
            await self._source()
            await self._socket.send_json({"type": "ready", "rate": self._rate_hz, "max_buffered_s": MAX_BUFFERED_S})
            async for message in self._socket:
                try:
                    if message.type == WSMsgType.BINARY:
                        pcm = self._pcm_of(message.data)
                        (await self._source()).push(pcm, self._rate_hz)
                    elif message.type == WSMsgType.TEXT:
                        await self._obey(message.data)
                except S2vError as error:
                    await self._socket.send_json(_error(str(error)))
        except ConnectionError:  # it left while we were answering
            pass
        finally:
            for task in self._telling:
                task.cancel()
            on = self._broadcast.on
            if on is not None and isinstance(on.source, PushSource):
                on.source.flush()  # what was sent is all of it
            await present.close()

    async def _source(self) -> PushSource:
        """The source of what is on now: a performance that failed has been followed by another.

        Raises: S2vError, the engine cannot be opened.
        """
        source = (await self._broadcast.start()).source
        assert isinstance(source, PushSource)
        return source

    async def _obey(self, text: str) -> None:
        commands: dict[str, Callable[[PushSource], object]] = {"flush": self._flush, "clear": self._clear}
        try:
            body = json.loads(text) if len(text) <= MAX_COMMAND_CHARACTERS else None
        except (json.JSONDecodeError, RecursionError):
            body = None
        kind = body.get("type") if isinstance(body, dict) else None
        if not isinstance(kind, str) or kind not in commands:
            raise StreamError(f'{text[:60]!r} is no command: send {{"type": "flush"}} or {{"type": "clear"}}')
        commands[kind](await self._source())

    def _flush(self, source: PushSource) -> None:
        end = source.flush()
        self._flushed += 1
        self._begin(self._tell_when_played(self._flushed, end))
        if self._half:
            self._half = b""
            raise StreamError("the utterance ends in half a sample: send two bytes a sample; one byte was left out")

    def _clear(self, source: PushSource) -> None:
        self._half = b""
        self._begin(self._tell_when_cleared(*source.clear()))

    async def _tell_when_played(self, utterance: int, end: asyncio.Future[DeliveredUtterance]) -> None:
        delivered = await end  # cancelled by clear: then nothing is sent
        if await self._is_heard(delivered):
            await self._socket.send_json({"type": "played", "utterance": utterance, "heard_ms": _ms(delivered.seconds)})

    async def _tell_when_cleared(self, forgotten_s: float, delivered: DeliveredUtterance) -> None:
        """When what was on its way has been heard, so that no later message is of something said before."""
        await self._is_heard(delivered)
        message = {"type": "cleared", "forgotten_ms": _ms(forgotten_s), "heard_ms": _ms(delivered.seconds)}
        await self._socket.send_json(message)

    async def _is_heard(self, delivered: DeliveredUtterance) -> bool:
        """Wait for it; False where the broadcast has ended."""
        if (on := self._broadcast.on) is None:
            return False
        if delivered.seconds:
            await on.session.wait_until_heard(delivered.end_sample)
        return True

    def _pcm_of(self, data: bytes) -> NDArray[np.int16]:
        """The whole samples of what has come; a frame may end in the middle of one."""
        data = self._half + data
        whole = len(data) // 2 * 2
        self._half = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            log.debug("the speaking program was not told: %s", error)  # it has left


def _rate_of(text: str) -> int:
    if not text.isdecimal() or len(text) > 6 or not MIN_RATE_HZ <= int(text) <= MAX_RATE_HZ:
        raise StreamError(
            f"rate is {text[:20]!r}: give the samples per second of what you send, {MIN_RATE_HZ} to {MAX_RATE_HZ}, "
            "as in /audio?rate=24000"
        )
    return int(text)


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _error(text: str) -> dict[str, str]:
    return {"type": "error", "error": text}
