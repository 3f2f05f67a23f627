"""The faces over HTTP: uploading a photo, looking at it, forgetting it.

POST /faces                 body: the bytes of a photo -> 201 {id, name, width, height}
GET /faces/{id}/still.jpg   the face at rest
DELETE /faces/{id}          204
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from s2v.errors import FaceError, StreamError
from s2v.streaming.server.face_store import Face, FacesFullError, FaceStore, NoUploadsError, UnknownFaceError

STORE = web.AppKey("faces", FaceStore)
PHOTO_TYPES = tuple(f"image/{kind}" for kind in ("jpeg", "png", "webp", "avif", "heic", "heif", "gif", "bmp"))
FORGET_EVERY_S = 15.0
RETRY_AFTER_S = {"Retry-After": "10"}
MAX_NAME = 40  # characters


def routes() -> list[web.RouteDef]:
    return [
        web.post("/faces", _upload),
        web.get("/faces/{id}/still.jpg", _still),
        web.delete("/faces/{id}", _delete),
    ]


def config_of(store: FaceStore) -> dict[str, Any]:
    """What the page needs to know about faces, for GET /config."""
    limits = store.limits
    return {
        "faces": [{"id": face.id, "name": face.name} for face in store.listed()],
        "faces_coming": store.enrolling,
        "face": store.default.id,
        "uploads": limits is not None,
        "max_upload_bytes": limits.max_bytes if limits is not None else 0,
        "max_upload_px": limits.max_px if limits is not None else 0,
    }


async def tend(app: web.Application) -> AsyncIterator[None]:
    """For `app.cleanup_ctx`: enrol the gallery, forget old faces, and close the store at the end."""
    store = app[STORE]
    tasks = [asyncio.create_task(store.enrol_gallery())] if store.gallery else []
    if store.limits is not None:
        tasks.append(asyncio.create_task(_forget(store)))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()


async def _forget(store: FaceStore, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
    while True:
        await sleep(FORGET_EVERY_S)
        store.forget_old()


async def _upload(request: web.Request) -> web.Response:
    store = request.app[STORE]
    if request.content_type not in PHOTO_TYPES:  # a foreign page cannot send these without asking first
        raise StreamError(f"the photo came as {request.content_type}: send {', '.join(PHOTO_TYPES)}")
    try:
        with store.place():
            face = await store.upload(await _body(request, store), _name(request))
    except FacesFullError as error:
        return web.json_response({"error": str(error)}, status=503, headers=RETRY_AFTER_S)
    except NoUploadsError as error:
        return web.json_response({"error": str(error)}, status=403)
    except FaceError as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response(_described(face), status=201)


async def _body(request: web.Request, store: FaceStore) -> bytes:
    """The whole body. Raises: StreamError, it is empty, or comes too slowly. HTTPException 413."""
    assert store.limits is not None
    most, within_s = store.limits.max_bytes, store.limits.body_within_s
    parts = bytearray()
    try:
        async with asyncio.timeout(within_s):
            if (request.content_length or 0) <= most:
                async for part in request.content.iter_any():
                    parts += part
                    if len(parts) > most:
                        break
    except TimeoutError:
        raise StreamError(f"the photo did not come within {within_s:g} s: try a smaller one") from None
    if max(len(parts), request.content_length or 0) > most:
        reason = f"the photo has more than {most / 2**20:g} MiB, which is the most that is taken: scale it down"
        raise web.HTTPRequestEntityTooLarge(most, max(len(parts), request.content_length or 0), reason=reason)
    if not parts:
        raise StreamError("the photo is empty: send its bytes as the body")
    return bytes(parts)


def _name(request: web.Request) -> str:
    """What to call it: ?name=, which is shown and nothing else."""
    name = "".join(sign for sign in request.query.get("name", "") if sign.isprintable()).strip()
    return name[:MAX_NAME] or "your photo"


async def _still(request: web.Request) -> web.Response:
    face = request.app[STORE].get(request.match_info["id"])
    return web.Response(body=face.avatar.still_jpeg, content_type="image/jpeg")


async def _delete(request: web.Request) -> web.Response:
    with suppress(UnknownFaceError):  # gone is gone
        request.app[STORE].delete(request.match_info["id"])
    return web.Response(status=204)


def _described(face: Face) -> dict[str, Any]:
    width, height = face.avatar.frame_size
    return {"id": face.id, "name": face.name, "width": width, "height": height}
