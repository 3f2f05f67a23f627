"""Faces over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pictures import decode_picture
from streaming.client import Client, next_picture
from streaming.fakes import SIDE_PX, fake_avatar, tone_clip
from streaming.server.test_face_store import Enroller, photo

from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import CALL_MANAGER, LiveOptions
from s2v.streaming.server.face_store import FaceOptions, UploadLimits

LIMITS = UploadLimits(max_bytes=20_000, max_px=100_000, max_faces=2, max_waiting=2)
PNG = {"Content-Type": "image/png"}


def visit(test: Callable[[Client], Awaitable[None]], limits: UploadLimits | None = LIMITS, **more: Any) -> None:
    factory, gallery = more.pop("factory", Enroller()), more.pop("gallery", ())
    options = LiveOptions(fake_avatar(), faces=FaceOptions(factory, gallery, limits), **more)

    async def run() -> None:
        tasks = len(asyncio.all_tasks())
        async with TestClient(TestServer(create_app(options))) as client:
            await test(client)
        assert len(asyncio.all_tasks()) == tasks
        assert not any(thread.name.startswith("s2v-") for thread in threading.enumerate())

    asyncio.run(asyncio.wait_for(run(), 30))


async def error_of(reply: Any) -> str:
    answer = await reply.json()
    assert list(answer) == ["error"] and "\n" not in answer["error"] and len(answer["error"]) < 250
    return str(answer["error"])


def test_a_photo_becomes_a_face_with_a_picture_that_can_be_forgotten() -> None:
    async def upload(client: Client) -> None:
        reply = await client.post("/faces?name=Ada%0a%00Lovelace", data=photo(96, 64), headers=PNG)
        face = await reply.json()
        assert reply.status == 201, face
        assert face == {"id": face["id"], "name": "AdaLovelace", "width": 96, "height": 64}
        picture = await client.get(f"/faces/{face['id']}/still.jpg")
        assert picture.content_type == "image/jpeg"
        shown = decode_picture(await picture.read())
        assert shown.shape == (64, 96, 3) and abs(int(shown.mean()) - 200) < 3
        assert (await client.get("/faces/default/still.jpg")).status == 200
        config = await (await client.get("/config")).json()
        assert config["faces"] == [{"id": "default", "name": "Default"}], "nobody else is told"
        assert config["uploads"] is True
        assert (config["max_upload_bytes"], config["max_upload_px"]) == (20_000, 100_000)
        for _ in range(2):
            assert (await client.delete(f"/faces/{face['id']}")).status == 204
        assert "upload" in await error_of(gone := await client.get(f"/faces/{face['id']}/still.jpg"))
        assert gone.status == 404

    visit(upload)


async def _in_parts(data: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not told before."""
    for start in range(0, len(data), 4096):
        yield data[start : start + 4096]


@pytest.mark.parametrize(
    ("data", "kind", "status", "says"),
    [
        (photo(level=5), "image/png", 400, "no face"),
        (photo(level=1), "image/png", 400, "one person"),
        (b"no picture", "image/jpeg", 400, "not an image"),
        (b"", "image/png", 400, "empty"),
        (photo(400, 300), "image/png", 400, "400x300 px"),
        (photo(), "text/plain", 400, "image/jpeg, image/png, image/webp"),
        (photo(), "image/svg+xml", 400, "image/jpeg, image/png, image/webp"),
        (b"x" * 20_001, "image/png", 413, "MiB"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_bad_upload_is_refused_in_one_line(data: bytes, kind: str, status: int, says: str, chunked: bool) -> None:
    async def upload(client: Client) -> None:
        body = _in_parts(data) if chunked else data
        reply = await client.post("/faces", data=body, headers={"Content-Type": kind})
        assert says in await error_of(reply)
        assert reply.status == status

    visit(upload)


def test_a_full_server_and_one_without_uploads_say_so() -> None:
    async def fill(client: Client) -> None:
        for _ in range(2):
            assert (await client.post("/faces", data=photo(), headers=PNG)).status == 201
        reply = await client.post("/faces", data=photo(), headers=PNG)
        assert reply.status == 503 and int(reply.headers["Retry-After"]) > 0
        assert "2 uploaded faces" in await error_of(reply)

    async def off(client: Client) -> None:
        reply = await client.post("/faces", data=photo(), headers=PNG)
        assert reply.status == 403 and "takes no photos" in await error_of(reply)
        assert (await (await client.get("/config")).json())["uploads"] is False

    visit(fill)
    visit(off, None)
    visit(off, clip=tone_clip(0.1))  # everybody sees the one face


def test_the_server_answers_while_a_photo_is_looked_at_and_refuses_more_than_it_can_hold() -> None:
    enroller = Enroller()

    async def upload(client: Client) -> None:
        enroller.gate.clear()
        both = [asyncio.create_task(client.post("/faces", data=photo(), headers=PNG)) for _ in range(2)]
        while not enroller.at_once:
            assert (await client.get("/health")).status == 200
        await asyncio.sleep(0.1)
        reply = await client.post("/faces", data=photo(), headers=PNG)
        assert reply.status == 503 and "2 photos are being looked at" in await error_of(reply)
        enroller.gate.set()
        assert [(await task).status for task in both] == [201, 201]

    visit(upload, factory=enroller)


def test_a_body_that_does_not_come_frees_its_place() -> None:
    async def dawdle(client: Client) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = b"POST /faces HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 900\r\n\r\n"
        writer.write(head + b"12")
        assert b"400" in await reader.readline()
        writer.close()
        for _ in range(2):
            assert (await client.post("/faces", data=photo(), headers=PNG)).status == 201

    visit(dawdle, UploadLimits(max_waiting=1, body_within_s=0.2))


def test_a_gallery_fills_up_while_the_server_runs(tmp_path: Path) -> None:
    (tmp_path / "Ada.png").write_bytes(photo())

    async def look(client: Client) -> None:
        async with asyncio.timeout(10):
            while len(listed := (await (await client.get("/config")).json())["faces"]) < 2:
                await asyncio.sleep(0.01)
        assert listed[1]["name"] == "Ada"
        async with asyncio.timeout(10):
            while (await (await client.get("/config")).json())["faces_coming"]:  # the page asks again until then
                await asyncio.sleep(0.01)
        assert (await client.get(f"/faces/{listed[1]['id']}/still.jpg")).status == 200
        await client.delete(f"/faces/{listed[1]['id']}")
        assert (await client.get(f"/faces/{listed[1]['id']}/still.jpg")).status == 200, "not the callers' to delete"

    visit(look, gallery=(tmp_path / "Ada.png",))


@pytest.mark.usefixtures("loopback_ice")
def test_a_call_shows_the_face_it_asks_for() -> None:
    from streaming.webrtc.test_loopback_peer import Peer

    async def call(client: Client) -> None:
        face = await (await client.post("/faces", data=photo(96, 64), headers=PNG)).json()
        peers = [Peer(client, None), Peer(client, None, face["id"])]
        for peer, size in zip(peers, [(SIDE_PX, SIDE_PX), (96, 64)], strict=True):
            await peer.call()
            frame = await asyncio.wait_for(next_picture(peer.tracks["video"]), 10)
            assert (frame.width, frame.height) == size
        for peer in peers:
            await peer.pc.close()
        async with asyncio.timeout(10):
            while len(client.app[CALL_MANAGER]):
                await asyncio.sleep(0.02)
        unknown = Peer(client, None, "nobody")
        with pytest.raises(AssertionError, match="upload the photo again"):
            await unknown.call()
        await unknown.pc.close()
        for wrong in (7, ["default"]):
            offer = {"sdp": "\nm=\nm=", "type": "offer", "input": "mic", "face": wrong}
            reply = await client.post("/offer", json=offer)
            assert reply.status == 400 and '"face"' in await error_of(reply)

    visit(call, sample_clip=tone_clip(20.0))
