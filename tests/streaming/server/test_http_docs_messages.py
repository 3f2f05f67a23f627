"""docs/http.md says what comes over the wire: every key of an answer, every message and its keys."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp.test_utils import TestClient
from documents import in_code, table_of
from prometheus_client.parser import text_string_to_metric_families
from streaming.http_document import SECTIONS, offer_body, rows, visit
from streaming.server.test_face_store import photo
from streaming.webrtc.test_loopback_peer import Peer, until

from s2v.streaming.server import push_socket
from s2v.streaming.server.call_manager import CALL_MANAGER
from s2v.streaming.session.session import Stats
from s2v.streaming.session.stage_times import STAGES, Stage
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.webrtc import call as call_module
from s2v.streaming.webrtc import offer as offer_module

TYPES: dict[str, type | tuple[type, ...]] = {
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "list": list,
    "object": dict,
}


def _keys(value: object, at: str = "") -> dict[str, object]:
    """Each key's path and value: `calls[].state`. What stages there are depends on what has happened: left closed."""
    found: dict[str, object] = {}
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{at}.{name}" if at else name
            found[path] = inner
            found |= _keys(inner, path) if name not in Stats.__annotations__ else {}
    elif isinstance(value, list):
        for inner in value:
            found |= _keys(inner, f"{at}[]")
    return found


def _documented_keys(section: str) -> dict[str, str]:
    return {in_code(row[0]): row[1] for row in table_of(section, "key")}


def _check_types(documented: dict[str, str], found: dict[str, object]) -> None:
    for key, value in found.items():
        kind = TYPES[documented[key]]
        assert isinstance(value, kind) and (isinstance(value, bool) <= (kind is bool)), (key, value, documented[key])


@pytest.mark.usefixtures("loopback_candidates")
@pytest.mark.parametrize(
    ("route", "servers"),
    [
        ("/config", ["plain", "uploads"]),
        ("/health", ["plain"]),
        ("/ready", ["plain"]),
        ("/state", ["voice", "push", "mic"]),
    ],
)
def test_the_keys_of_an_answer_are_those_in_its_table(route: str, servers: list[str]) -> None:
    found: dict[str, object] = {}

    async def ask(client: TestClient[Any, Any]) -> None:
        if client.app[CALL_MANAGER].options.sample_clip is not None and route == "/state":
            await client.post("/offer", json=await offer_body())
        found.update(_keys(await (await client.get(route)).json()))

    for server in servers:
        visit(server, ask)
    documented = _documented_keys(SECTIONS[f"GET {route}"])
    if route == "/state":
        stats = _documented_keys(SECTIONS["Statistics of a session"])
        documented |= {f"{of}.{key}": kind for of in ("calls[]", "broadcast") for key, kind in stats.items()}
    assert set(found) == set(documented)
    _check_types(documented, found)


@pytest.mark.usefixtures("loopback_candidates")
def test_the_keys_that_are_posted_and_come_back_are_those_in_the_tables() -> None:
    taken = {
        ast.literal_eval(node.args[0] if isinstance(node, ast.Call) else node.slice)
        for node in ast.walk(ast.parse(Path(offer_module.__file__).read_text(encoding="utf-8")))
        if (isinstance(node, ast.Subscript) and ast.unparse(node.value) == "body")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "body.get")
        if isinstance(node, ast.Subscript) or isinstance(node.args[0], ast.Constant)
    }
    ours, theirs = SECTIONS["POST /offer"].split("The answer:")
    assert taken == set(_documented_keys(ours))
    for kind in get_args(offer_module.Input):
        assert f"`{kind}`" in ours

    async def ask(client: TestClient[Any, Any]) -> None:
        answer = await (await client.post("/offer", json=await offer_body())).json()
        assert answer["type"] == "answer" and answer.keys() == _documented_keys(theirs).keys()
        _check_types(_documented_keys(theirs), answer)
        face = await (await client.post("/faces", data=photo(), headers={"Content-Type": "image/png"})).json()
        assert face.keys() == _documented_keys(SECTIONS["POST /faces"]).keys()
        _check_types(_documented_keys(SECTIONS["POST /faces"]), face)
        assert face["name"] == "your photo" and "`your photo`" in SECTIONS["POST /faces"]

    visit("uploads", ask)


def test_the_statistics_are_those_of_a_session_and_the_stages_those_that_are_timed() -> None:
    stats, stages = _documented_keys(SECTIONS["Statistics of a session"]), rows("Statistics of a session", "stage")
    assert list(stats) == list(Stats.__annotations__)
    assert [in_code(stage) for stage in stages] == list(STAGES) == list(get_args(Stage))


def test_the_metrics_are_those_in_the_table() -> None:
    async def ask(client: TestClient[Any, Any]) -> None:
        reply = await client.get("/metrics")
        assert "version=1.0.0" in reply.headers["Content-Type"] and "text format 1.0.0" in SECTIONS["GET /metrics"]
        families = list(text_string_to_metric_families(await reply.text()))
        theirs = ("process_", "python_", "s2v_render_process_")
        ours = [family for family in families if not family.name.startswith(theirs)]
        found = {f"`{f.name}{'_total' * (f.type == 'counter')}`": f.type for f in ours}
        assert found == rows("GET /metrics", "metric")

    visit("voice", ask)


def _documented_messages(heading: str, first_column: str) -> dict[str, dict[str, object]]:
    """By the value of `type` or `state`: an example of each message."""
    messages = [json.loads(in_code(cell)) for cell in rows(heading, first_column)]
    return {str(next(iter(message.values()))): message for message in messages}


def _literals(module: Any, key: str) -> set[str]:
    """Every text that this module's dictionaries hold under `key`, and whatever maps commands to methods."""
    found = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        for name, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(name, ast.Constant) and name.value == key:
                found |= {one.value for one in ast.walk(value) if isinstance(one, ast.Constant)}
    return {str(one) for one in found if isinstance(one, str)}


def _same_shape(sent: dict[str, Any], example: dict[str, object]) -> None:
    assert sent.keys() == example.keys()
    assert [type(value) for value in sent.values()] == [type(example[name]) for name in sent]


def test_what_the_socket_says_and_obeys_is_in_its_tables() -> None:
    to_us = _documented_messages("GET /audio", "message from the server")
    to_it = _documented_messages("GET /audio", "message to the server")
    closes = set(rows("GET /audio", "close code"))
    assert set(to_us) == _literals(push_socket, "type")

    async def speak(client: TestClient[Any, Any]) -> None:
        seen = {}
        async with client.ws_connect("/audio?rate=24000", max_msg_size=0) as socket:
            seen["ready"] = await socket.receive_json()
            await socket.send_bytes(bytes(4_800))
            for command, answer in (("flush", "played"), ("clear", "cleared"), ("sing", "error")):
                assert (command in to_it) == (answer != "error")
                await socket.send_json(to_it.get(command, {"type": command}))
                seen[answer] = await socket.receive_json(timeout=20)
            async with client.ws_connect("/audio?rate=24000") as second:
                assert (await second.receive_json())["type"] == "error"
                codes.add((await second.receive()).data)
            with_close = asyncio.create_task(client.server.close())
            codes.add((await socket.receive()).data)
            await with_close
        for kind, message in seen.items():
            assert message["type"] == kind
            _same_shape(message, to_us[kind])
        assert set(seen) == set(to_us)

    async def break_it(client: TestClient[Any, Any]) -> None:
        async with client.ws_connect("/audio?rate=24000") as socket:
            assert (await socket.receive_json())["type"] == "error"
            codes.add((await socket.receive()).data)

    async def flood(client: TestClient[Any, Any]) -> None:
        async with client.ws_connect("/audio?rate=24000", compress=15) as socket:  # small, until it is unpacked
            await socket.receive_json()
            await socket.send_bytes(bytes(push_socket.MAX_FRAME_BYTES + 2))
            codes.add((await socket.receive()).data)

    codes: set[int] = set()
    visit("push", speak)
    visit("broken push", break_it)
    visit("push", flood)
    assert {str(code) for code in codes} == closes


@pytest.mark.usefixtures("loopback_ice")
def test_what_the_data_channel_says_is_in_its_table() -> None:
    documented = _documented_messages("Data channel", "message")
    assert set(documented) == _literals(call_module, "state") - {"new"}
    stats = _documented_keys(SECTIONS["Statistics of a session"])

    def call(server: str, end: Callable[[TestClient[Any, Any]], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
        """What a caller is told from the beginning to the end, which `end` brings about."""
        messages: list[str] = []

        async def ring(client: TestClient[Any, Any]) -> None:
            peer = Peer(client, None)
            await peer.call()
            await until(lambda: bool(peer.messages), 20)
            ending = asyncio.create_task(end(client))
            await until(lambda: '"live"' not in peer.messages[-1], 20)
            await ending
            messages.extend(peer.messages)
            await peer.pc.close()

        visit(server, ring)
        return [json.loads(text) for text in messages]

    async def hang_up(client: TestClient[Any, Any]) -> None:
        await client.app[CALL_MANAGER].close()

    async def wait(_: TestClient[Any, Any]) -> None:
        """It ends by itself."""

    def ask_for_too_much() -> list[dict[str, Any]]:
        """What a caller is told who wants the face to shout, and on a busy machine."""
        wishes = [in_code(wish) for wish in rows("Data channel", "message to the server")]
        assert [name for wish in wishes for name in json.loads(wish)] == [field.name for field in fields(Wishes)]
        messages: list[str] = []

        async def ring(client: TestClient[Any, Any]) -> None:
            peer = Peer(client, None)
            await peer.call()
            await until(lambda: bool(peer.messages), 20)
            for wish in wishes:
                peer.channel.send(wish)
                peer.channel.send(re.sub(r"[\d.]+", "9", wish))  # more than there is
            await until(lambda: sum('"refused"' in message for message in peer.messages) == len(wishes), 20)
            client.app[CALL_MANAGER].load.loop_lag_s = 1.0
            client.app[CALL_MANAGER].tell_who_is_behind()
            await until(lambda: any('"busy"' in message for message in peer.messages), 20)
            messages.extend(next(text for text in peer.messages if kind in text) for kind in ('"refused"', '"busy"'))
            await peer.pc.close()

        visit("long voice", ring)
        return [json.loads(text) for text in messages]

    calls = [call(server, end) for server, end in (("voice", wait), ("failing", wait), ("long voice", hang_up))]
    seen = {message["state"]: message for messages in (*calls, ask_for_too_much()) for message in messages}
    live = seen.pop("live")
    assert live.keys() == {"state", *stats}
    _check_types({"state": "string", **stats}, live)
    assert live["stages_ms"].keys() <= set(STAGES)
    for kind, message in seen.items():
        _same_shape(message, documented[kind])
    assert {"live", *seen} == set(documented)
