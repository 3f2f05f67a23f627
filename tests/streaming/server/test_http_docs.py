"""docs/http.md says what the server does: every route, status, header, limit and curl line."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from aiohttp.web_urldispatcher import StaticResource
from documents import ROOT, Block, blocks_of, in_code
from streaming.fakes import FakeEngine
from streaming.http_document import (
    DOCUMENT,
    JPEG,
    PUSH,
    ROUTES,
    SECTIONS,
    SERVERS,
    TOKEN,
    live,
    offer_body,
    rows,
    uploads,
    visit,
)

from s2v.engine.behaviour import options as behaviour
from s2v.engine.face.articulation import LEAST, MOST
from s2v.media.audio_file import PLAYBACK_HZ
from s2v.streaming.server import app as app_module
from s2v.streaming.server import call_manager, face_routes, http_runner, machine_load, push_socket
from s2v.streaming.server.app import create_app
from s2v.streaming.server.face_store import UploadLimits
from s2v.streaming.sources import push, speech_buffer
from s2v.streaming.webrtc import call as call_module
from s2v.streaming.webrtc import offer as offer_module

ANYWHERE = {401, 403, 405}  # any route may answer so


def _statuses(heading: str) -> set[int]:
    return {int(number) for cell in rows(heading, "status") for number in cell.split(", ")}


def test_every_route_has_its_section_and_every_section_its_route() -> None:
    options = live(FakeEngine, faces=uploads(), broadcast_source=PUSH)

    async def routes() -> set[str]:
        found = set()
        for route in create_app(options).router.routes():
            assert route.resource is not None
            path = route.resource.canonical + "/{file}" * isinstance(route.resource, StaticResource)
            found |= {f"{route.method} {path}"} if route.method != "HEAD" else set()
        return found

    assert asyncio.run(routes()) == set(ROUTES)
    assert len(ROUTES) == len(set(ROUTES))


LARGE = b"x" * (8 * 2**20 + 1)
SOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
JSON, PHOTO = {"Content-Type": "application/json"}, {"Content-Type": "image/jpeg"}
LATER = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}


def _file(route: str, path: str) -> dict[tuple[str, int], tuple[str, str, dict[str, Any]]]:
    return {
        (route, 200): ("plain", path, {}),
        (route, 206): ("plain", path, {"headers": {"Range": "bytes=0-9"}}),
        (route, 304): ("plain", path, {"headers": LATER}),
        (route, 416): ("plain", path, {"headers": {"Range": "bytes=999999-"}}),
    }


# (route, status) -> which server gives it, and to what; "json" is laid over a usable offer.
CASES: dict[tuple[str, int], tuple[str, str, dict[str, Any]]] = {
    **_file("GET /", "/"),
    **_file("GET /static/{file}", "/static/page.css"),
    **_file("GET /favicon.ico", "/favicon.ico"),
    ("GET /", 303): ("token", f"/?token={TOKEN}", {"allow_redirects": False}),
    ("GET /static/{file}", 403): ("plain", "/static/", {}),
    ("GET /static/{file}", 404): ("plain", "/static/none.js", {}),
    ("GET /still.jpg", 200): ("plain", "/still.jpg", {}),
    ("GET /config", 200): ("plain", "/config", {}),
    ("GET /health", 200): ("token", "/health", {}),
    ("GET /health", 503): ("not starting", "/health", {}),
    ("GET /ready", 200): ("token", "/ready", {}),
    ("GET /ready", 503): ("restarting", "/ready", {}),
    ("GET /state", 200): ("token", "/state", {"headers": {"Authorization": f"Bearer {TOKEN}"}}),
    ("GET /metrics", 200): ("plain", "/metrics", {}),
    ("POST /offer", 200): ("voice", "/offer", {"json": {}}),
    ("POST /offer", 400): ("voice", "/offer", {"json": {"input": "shared"}}),
    ("POST /offer", 404): ("voice", "/offer", {"json": {"face": "nobody"}}),
    ("POST /offer", 413): ("voice", "/offer", {"data": LARGE, "headers": JSON}),
    ("POST /offer", 500): ("broken", "/offer", {"json": {}}),
    ("POST /offer", 503): ("full", "/offer", {"json": {}}),
    ("POST /faces", 201): ("uploads", "/faces", {"data": JPEG, "headers": PHOTO}),
    ("POST /faces", 400): ("uploads", "/faces", {"data": b"", "headers": PHOTO}),
    ("POST /faces", 403): ("plain", "/faces", {"data": JPEG, "headers": PHOTO}),
    ("POST /faces", 413): ("uploads", "/faces", {"data": LARGE, "headers": PHOTO}),
    ("POST /faces", 503): ("no room", "/faces", {"data": JPEG, "headers": PHOTO}),
    ("GET /faces/{id}/still.jpg", 200): ("plain", "/faces/default/still.jpg", {}),
    ("GET /faces/{id}/still.jpg", 404): ("plain", "/faces/nobody/still.jpg", {}),
    ("DELETE /faces/{id}", 204): ("plain", "/faces/nobody", {}),
    ("GET /audio", 101): ("push", "/audio?rate=24000", {"headers": SOCKET}),
    ("GET /audio", 400): ("push", "/audio?rate=24000", {}),
    ("anything", 401): ("token", "/state", {}),
    ("anything", 403): ("plain", "/state", {"headers": {"Host": "elsewhere.example.org"}}),
    ("anything", 404): ("plain", "/nothing", {}),
    ("anything", 405): ("plain", "/faces", {}),
}


def test_every_status_of_every_route_is_in_its_table_and_in_the_common_one() -> None:
    documented = {(route, status) for route in ROUTES for status in _statuses(route)}
    assert documented == {case for case in CASES if case[0] != "anything"}
    assert _statuses("Answers") == {status for _, status in documented} | ANYWHERE
    assert _statuses("Answers") >= set(_statuses_in_the_source())


def _statuses_in_the_source() -> Iterator[int]:
    """Each number that a handler gives as a status, and that of each of aiohttp's exceptions."""
    for path in sorted((ROOT / "s2v" / "streaming" / "server").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "status" and isinstance(node.value, ast.Constant):
                yield int(ast.literal_eval(node.value))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_refusal":
                yield int(ast.literal_eval(node.args[0]))
            elif isinstance(node, ast.Attribute) and isinstance(kind := getattr(web, node.attr, None), type):
                yield from [kind.status_code] if issubclass(kind, web.HTTPError) and kind.status_code > 0 else []


@pytest.mark.usefixtures("loopback_candidates")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1]:d}")
def test_a_status_comes_as_it_is_written(case: tuple[str, int]) -> None:
    route, status = case
    server, path, sent = CASES[case]
    method = route.split(" ")[0] if route != "anything" else "PUT" if status == 405 else "GET"

    async def ask(client: TestClient[Any, Any]) -> None:
        body: dict[str, Any] = {"json": await offer_body(**sent["json"])} if "json" in sent else {}
        if "data" in sent:
            body = {"data": io.BytesIO(sent["data"])}  # aiohttp warns of large bytes
        reply = await client.request(method, path, **{**sent, **body})
        assert reply.status == status, await reply.text()
        if reply.status >= 400 and status != 416 and path != "/static/none.js":
            assert list(await reply.json()) == ["error"]
        if status != 101:
            _check_headers(reply, route)

    visit(server, ask)


def _check_headers(reply: ClientResponse, route: str) -> None:
    documented = rows("Answers", "header of every answer")
    assert {name: reply.headers.get(in_code(name)) for name in documented} == {
        name: in_code(value) for name, value in documented.items()
    }
    if reply.status == 503:
        assert f"`Retry-After: {reply.headers['Retry-After']}`" in rows(route, "status")["503"]
    if reply.status == 401:
        assert f"`WWW-Authenticate: {reply.headers['WWW-Authenticate']}`" in rows("Answers", "status")["401"]


def test_every_header_that_all_answers_have_is_written_down() -> None:
    tree = ast.parse(Path(app_module.__file__).read_text(encoding="utf-8"))
    add = next(node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "_add_headers")
    subscripts = [node for node in ast.walk(add) if isinstance(node, ast.Subscript)]
    names = [ast.literal_eval(node.slice) for node in subscripts if isinstance(node.slice, ast.Constant)]
    assert {f"`{name}`" for name in names} == set(rows("Answers", "header of every answer"))


UPLOADS, OPTIONS = UploadLimits(), SERVERS["plain"]()
LIMITS = {
    "body of an offer": f"{app_module.OFFER_BYTES >> 10} KiB",
    "an offer's body comes within": f"{OPTIONS.connect_within_s:g} s",
    "a caller connects within": f"{OPTIONS.connect_within_s:g} s after the answer",
    "a caller who sends nothing is hung up on after": f"{OPTIONS.silent_after_s:g} s",
    "media sections of an offer": f"{offer_module.MAX_SECTIONS}",
    "candidates of an offer": f"{offer_module.MAX_CANDIDATES}",
    "a photo": f"{UPLOADS.max_bytes >> 20} MiB",
    "pixels of a photo": f"{UPLOADS.max_px // 10**6} million",
    "a photo's body comes within": f"{UPLOADS.body_within_s:g} s",
    "name of a photo": f"{face_routes.MAX_NAME} characters",
    "uploaded faces kept": f"{UPLOADS.max_faces}",
    "uploads at a time": f"{UPLOADS.max_waiting}",
    "an uploaded face is kept": f"{UPLOADS.keep_s:g} s after its last use",
    "a face makes room for a new one after": f"{UPLOADS.least_s:g} s without use",
    "speech sent ahead": f"{speech_buffer.MAX_BUFFERED_S:g} s",
    "a WebSocket frame": f"less than {push_socket.MAX_FRAME_BYTES} bytes",
    "utterances waiting": f"{push.MAX_UTTERANCES}",
    "a WebSocket command": f"{push_socket.MAX_COMMAND_CHARACTERS} characters",
    "a data channel's traffic from the caller": f"{call_module.MAX_UNASKED_BYTES >> 10} KiB",
    "a connection without a whole request is cut after": f"{http_runner.IDLE_S:g} s",
}
PHRASES = {
    "GET /audio": [
        f"{speech_buffer.MIN_RATE_HZ} to {speech_buffer.MAX_RATE_HZ}",
        f"pings every {push_socket.PING_EVERY_S:g} s",
        f"{1000 * speech_buffer.PREBUFFER_SAMPLES // PLAYBACK_HZ} ms are there",
        f"within {1000 * speech_buffer.FADE_SAMPLES // PLAYBACK_HZ} ms",
    ],
    "POST /offer": [
        f"speaks, {LEAST} to {MOST};",
        f"with the conversation, {behaviour.LEAST:g} to {behaviour.MOST};",
        "`neutral`, `friendly` or `serious`;",
        f"more than {1000 * call_manager.STRAINED_S:g} ms behind",
    ],
    "Data channel": [
        f"more than {1000 * call_manager.STRAINED_S:g} ms behind",
        f"every {'two' if machine_load.LOOK_EVERY_S * machine_load.LOOKS_FOR_CORES == 2 else '?'} seconds",
        f"{call_module.MESSAGE_BYTES} bytes for each message",
        f"{call_module.FORGIVEN_BYTES >> 10} KiB are forgiven every half second",
        f"that strongly, {LEAST} to {MOST}",
        f"that much, {behaviour.LEAST:g} to {behaviour.MOST}",
    ],
}


def test_the_limits_are_those_of_the_code() -> None:
    assert rows("Answers", "limit") == LIMITS
    assert (call_module.TEND_EVERY_S, call_module.LINGER_S) == (0.5, 0.5), "half a second, both times"


@pytest.mark.parametrize(("heading", "phrase"), [(h, phrase) for h, phrases in PHRASES.items() for phrase in phrases])
def test_a_number_in_a_sentence_is_that_of_the_code(heading: str, phrase: str) -> None:
    assert phrase in " ".join(SECTIONS[heading].split())


CURL_BLOCKS = [block for block in blocks_of(DOCUMENT) if block.language == "sh"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.usefixtures("loopback_candidates")
@pytest.mark.parametrize("block", CURL_BLOCKS, ids=str)
def test_every_curl_line_does_what_it_shows(block: Block, tmp_path: Path) -> None:
    async def type_it(client: TestClient[Any, Any]) -> None:
        (tmp_path / "me.jpg").write_bytes(JPEG)
        (tmp_path / "offer.json").write_text(json.dumps(await offer_body()), encoding="utf-8")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        text = block.text.replace("http://127.0.0.1:8080", str(client.make_url("")).rstrip("/"))
        if "/FACE" in text:
            reply = await client.post("/faces", data=JPEG, headers={**PHOTO, **headers})
            text = text.replace("/FACE", f"/{(await reply.json())['id']}")
        assert "curl -f" in text, "it must fail when the server refuses"
        shell = await asyncio.create_subprocess_exec(
            "bash", "-ec", text, cwd=tmp_path, env={**os.environ, "TOKEN": TOKEN, "no_proxy": "*"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await shell.communicate()
        assert shell.returncode == 0, err.decode()
        made = [tmp_path / name for name in re.findall(r"-o (\S+)", text)]
        assert all(path.stat().st_size for path in made)
        assert made or out or "-X DELETE" in text, "it shows something"

    visit("token" if "$TOKEN" in block.text else "uploads", type_it)


def test_every_route_for_programs_has_a_curl_line() -> None:
    shown = {heading for heading in ROUTES if "curl " in SECTIONS[heading]}
    for the_browser in ("GET /", "GET /static/{file}", "GET /favicon.ico"):
        shown.add(the_browser)
    shown |= {"GET /audio"}  # curl speaks no WebSocket: examples/speak_from_tts.py does
    assert shown == set(ROUTES)


@pytest.mark.usefixtures("loopback_candidates")
@pytest.mark.parametrize(
    ("server", "wish", "status", "said"),
    [
        ("voice", {"articulation": 0.5}, 200, ""),
        ("voice", {"articulation": 1.5}, 200, ""),
        ("voice", {"articulation": None}, 200, ""),
        ("voice", {"articulation": 1.51}, 400, "articulation is 1.51: give a number from 0.5 to 1.5"),
        ("voice", {"articulation": "1"}, 400, "articulation is '1': give"),
        ("voice", {"articulation": True}, 400, "articulation is True: give"),
        ("push", {"articulation": 1.0, "input": "shared"}, 400, "everybody sees this face: its articulation is"),
        ("push", {"liveliness": 1.0, "input": "shared"}, 400, "everybody sees this face: its liveliness is"),
        ("push", {"mood": "neutral", "input": "shared"}, 400, "everybody sees this face: its mood is"),
        ("voice", {"liveliness": 0}, 200, ""),
        ("voice", {"liveliness": None, "mood": None}, 200, ""),
        ("voice", {"liveliness": 1.51}, 400, "liveliness is 1.51: give a number from 0 to 1.5"),
        ("voice", {"liveliness": "1"}, 400, "liveliness is '1': give"),
        ("voice", {"mood": "friendly"}, 200, ""),
        ("voice", {"mood": "sad"}, 400, "mood is 'sad': choose one of neutral, friendly, serious"),
        ("voice", {"mood": ["neutral"]}, 400, "\"mood\" is ['neutral']: send the name of one"),
        ("still", {"liveliness": 1.0}, 400, "hold still but for their lips: leave liveliness out"),
        ("still", {"mood": "neutral"}, 400, "hold still but for their lips: leave mood out"),
        ("still", {}, 200, ""),
        ("calm", {"input": "mic"}, 400, "the offer sends no audio: add the microphone's track"),
        ("calm", {}, 200, ""),
        ("push", {"input": "shared"}, 200, ""),
    ],
)
def test_how_a_face_speaks_and_moves_is_asked_for_or_refused(
    server: str, wish: dict[str, object], status: int, said: str
) -> None:
    async def ask(client: TestClient[Any, Any]) -> None:
        reply = await client.post("/offer", json=await offer_body(**wish))
        assert reply.status == status
        answer = await reply.json()
        assert said in answer.get("error", "")

    visit(server, ask)


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("plain", (1.0, 1.0, "neutral")),
        ("soft", (0.75, 1.0, "neutral")),
        ("pixels", (None, 1.0, "neutral")),
        ("calm", (1.0, 0.5, "friendly")),
        ("still", (1.0, None, None)),
        ("push", (None, None, None)),
    ],
)
def test_callers_are_told_how_faces_speak_and_move_if_they_can_change_it(
    server: str, shown: tuple[object, ...]
) -> None:
    async def ask(client: TestClient[Any, Any]) -> None:
        config = await (await client.get("/config")).json()
        assert (config["articulation"], config["liveliness"], config["mood"]) == shown
        assert config["moods"] == ([] if config["mood"] is None else ["neutral", "friendly", "serious"])
        assert config["listens"] == (server == "calm")

    visit(server, ask)
