from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import DummyCookieJar, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from streaming.client import Client
from streaming.fakes import fake_avatar

from s2v.errors import StreamError
from s2v.streaming.server.access import Access, guard, is_loopback
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.serve import serve

TOKEN = "open+sesame/%20="  # all that needs care in an address
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def visit(access: Access, test: Callable[[Client], Awaitable[None]]) -> None:
    """The live application with a WebSocket and a DELETE besides, behind these rules."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("in")
        await socket.close()
        return socket

    async def run() -> None:
        app = create_app(LiveOptions(fake_avatar(), access=access))
        app.router.add_get("/socket", echo)
        app.router.add_delete("/thing", _no_content)
        async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
            await test(client)

    asyncio.run(asyncio.wait_for(run(), 30))


async def _no_content(_: web.Request) -> web.Response:
    return web.Response(status=204)


def test_without_the_token_nothing_but_health_and_the_pages_own_files_is_answered() -> None:
    async def look(client: Client) -> None:
        for path in (
            "/",
            "/config",
            "/state",
            "/still.jpg",
            "/nothing",
            "/metrics",
            "/health/",
            "/ready/",
            "/static",
            "/socket",
        ):
            reply = await client.get(path)
            assert reply.status == 401 and list(await reply.json()) == ["error"], path
        assert (await client.post("/offer", json={})).status == 401
        assert (await client.delete("/thing")).status == 401
        for path in ("/health", "/ready", "/favicon.ico", "/static/page.css"):
            assert (await client.get(path)).status == 200, path

    visit(Access(TOKEN), look)


def test_a_program_sends_the_token_as_bearer() -> None:
    async def look(client: Client) -> None:
        for scheme in ("Bearer", "bearer"):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert (await client.get("/config", headers=headers)).status == 200
        assert (await client.delete("/thing", headers=BEARER)).status == 204
        async with client.ws_connect("/socket", headers=BEARER) as socket:
            assert await socket.receive_str() == "in"
        for wrong in (f"Bearer {TOKEN}x", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \udcff\udcfe"):
            assert (await client.get("/config", headers={"Authorization": wrong})).status == 401, wrong
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect("/socket")

    visit(Access(TOKEN), look)


def test_a_browser_gets_a_cookie_for_the_token_and_an_address_without_it() -> None:
    access = Access(TOKEN)

    async def look(client: Client) -> None:
        entered = await client.get(access.entrance, allow_redirects=False)
        assert entered.status == 303 and entered.headers["Location"] == "/"
        said = entered.headers["Set-Cookie"]
        assert "HttpOnly" in said and "SameSite=Strict" in said and "Path=/" in said and "Secure" not in said
        assert TOKEN not in said
        cookie = {"Cookie": said.split(";")[0]}
        assert (await client.get("/", headers=cookie)).status == 200
        async with client.ws_connect("/socket", headers=cookie) as socket:
            assert await socket.receive_str() == "in"
        name = cookie["Cookie"].split("=")[0]
        assert (await client.get("/", headers={"Cookie": f"{name}=guess"})).status == 401
        assert (await client.get("/?token=guess", allow_redirects=False)).status == 401
        assert (await client.get(f"/config{access.entrance[1:]}", allow_redirects=False)).status == 401

    visit(access, look)


def test_a_browser_without_the_token_is_asked_for_it() -> None:
    async def look(client: Client) -> None:
        html = {"Accept": "text/html,*/*;q=0.8"}
        reply = await client.get("/", headers=html)
        text = await reply.text()
        assert reply.status == 401 and 'name="token"' in text and "refresh" not in text
        assert "Content-Security-Policy" in reply.headers
        assert 'role="alert" hidden' in text, "nothing is wrong yet"
        guessed = await client.get("/?token=a-guess", headers=html)
        assert guessed.status == 401 and 'role="alert">This is not the token' in await guessed.text()
        from_afar = await client.get("/", headers={**html, "Sec-Fetch-Site": "cross-site"})
        assert 'http-equiv="refresh"' in await from_afar.text(), "its cookie was kept back: ask once more from here"

    visit(Access(TOKEN), look)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1", "http://[", ""])
def test_a_foreign_page_may_change_nothing_and_open_no_socket(origin: str) -> None:
    async def look(client: Client) -> None:
        for headers in ({"Origin": origin}, {"Origin": origin, **BEARER}):
            reply = await client.post("/offer", json={}, headers=headers)
            assert reply.status == 403 and "own page" in (await reply.json())["error"]
            assert (await client.delete("/thing", headers=headers)).status == 403
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect("/socket", headers=headers)
            assert refused.value.status == 403

    visit(Access(), look)
    visit(Access(TOKEN), look)


def test_our_own_page_may_also_behind_a_proxy_that_ends_tls() -> None:
    async def look(client: Client) -> None:
        for scheme in ("http", "https"):
            own = {"Origin": f"{scheme}://{client.host}:{client.port}"}
            assert (await client.delete("/thing", headers=own)).status == 204
            async with client.ws_connect("/socket", headers=own) as socket:
                assert await socket.receive_str() == "in"

    visit(Access(), look)


HOSTS = {
    "127.0.0.1": True,
    "127.0.0.1:8080": True,
    "localhost:8080": True,
    "LocalHost.": True,
    "[::1]:8080": True,
    "127.8.8.8": True,
    "evil.example": False,
    "127.0.0.1.evil.example:8080": False,
    "localhost.evil.example": False,
    "192.168.0.7": False,
    "0.0.0.0": False,
    "127.0.0.1@evil.example": False,
    "[": False,
    "": False,
}


@pytest.mark.parametrize("host", HOSTS)
def test_without_a_token_the_page_has_no_other_name_than_loopback(host: str) -> None:
    async def rebound(client: Client) -> None:
        for path in ("/", "/health"):
            reply = await client.get(path, headers={"Host": host})
            assert reply.status == (200 if HOSTS[host] else 403), path
        if not HOSTS[host]:
            assert "localhost" in (await reply.json())["error"]

    async def guarded(client: Client) -> None:  # the cookie of a name is not sent to another
        assert (await client.get("/config", headers={"Host": host, **BEARER})).status == 200

    visit(Access(), rebound)
    visit(Access(TOKEN), guarded)


def test_a_program_that_sends_no_host_is_no_browser() -> None:
    async def look(client: Client) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 200 " in await reader.readline()
        writer.close()

    visit(Access(), look)


@pytest.mark.parametrize("token", ["", "two words", "naïve", "x" * 257, "line\nbreak"])
def test_a_token_that_no_browser_could_send_is_refused(token: str) -> None:
    with pytest.raises(StreamError, match="visible ASCII") as refused:
        Access(token)
    assert "\n" not in str(refused.value)


def test_generated_tokens_are_long_and_differ() -> None:
    first, second = Access.generated().token, Access.generated().token
    assert first is not None and second is not None and len(first) >= 43 and first != second


def test_a_server_that_others_reach_is_not_opened_without_a_token() -> None:
    with pytest.raises(StreamError, match="--token"):
        asyncio.run(serve(LiveOptions(fake_avatar()), "0.0.0.0", 0, None))
    assert is_loopback("::1") and is_loopback("localhost") and not is_loopback("::") and not is_loopback("")


def test_the_middleware_stands_alone() -> None:
    """For other applications of this package: any handler can be put behind the rules."""

    async def run() -> None:
        app = web.Application(middlewares=[guard(Access(TOKEN))])
        app.router.add_get("/thing", _no_content)
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/thing")).status == 401
            assert (await client.get("/thing", headers=BEARER)).status == 204

    asyncio.run(run())
