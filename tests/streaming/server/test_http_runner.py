"""What a peer may hold open, and what its mistakes may cost."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web
from streaming.fakes import fake_avatar

from s2v.errors import StreamError
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.http_runner import listening, make_runner

OFFER = b"POST /offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def serve(test: Callable[[int], Awaitable[None]], app: web.Application | None = None, idle_s: float = 60.0) -> None:
    """Run `test` with the port of a server with the given patience; its offers must come within 0.3 s."""

    async def run() -> None:
        runner = make_runner(app or create_app(LiveOptions(fake_avatar(), connect_within_s=0.3)), idle_s, linger_s=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await test(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 30))


async def answer_to(port: int, data: bytes) -> bytes:
    """All that comes until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
def test_a_connection_that_says_nothing_more_is_cut(said: bytes) -> None:
    async def wait(port: int) -> None:
        answers = await asyncio.gather(*(answer_to(port, said) for _ in range(20)))
        assert all(answer.startswith(b"HTTP/1.1 200") == said.endswith(b"\r\n\r\n") for answer in answers)

    serve(wait, idle_s=0.2)


def test_an_offer_that_stalls_is_refused_while_others_are_answered() -> None:
    async def stall(port: int) -> None:
        stalling = [
            asyncio.create_task(answer_to(port, OFFER + b"Connection: close\r\nContent-Length: 9\r\n\r\n{"))
            for _ in range(20)
        ]
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/health") as reply:
            assert reply.status == 200
        for answer in await asyncio.gather(*stalling):
            assert answer.startswith(b"HTTP/1.1 400") and b"did not come within 0.3 s" in answer

    serve(stall)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_small_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200));"
        "from s2v.streaming.server.http_runner import allow_many_files; allow_many_files(); allow_many_files();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "(200, 200)\n"


def test_a_compressed_body_is_not_unpacked() -> None:
    bomb = zlib.compress(b"[" * 50_000_000)
    head = b"Connection: close\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def send(port: int) -> None:
        assert len(bomb) < 64 * 1024, "packed, it is no larger than an offer may be"
        assert (await answer_to(port, OFFER + head + bomb)).startswith(b"HTTP/1.1 400")

    serve(send)


@pytest.mark.parametrize(
    "bad", [b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", OFFER + b"Content-Length: -5\r\n\r\n", b"\0" * 99]
)
def test_a_malformed_request_is_refused_without_a_traceback(bad: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def send(port: int) -> None:
        assert (await answer_to(port, bad)).split(b"\r\n")[0].endswith(b"400 Bad Request")

    serve(send)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_defect_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError("a defect")

    async def ask(port: int) -> None:
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500")

    app = web.Application()
    app.router.add_get("/", broken)
    serve(ask, app)
    assert "ZeroDivisionError: a defect" in caplog.text


def test_all_addresses_of_a_host_are_taken_at_one_port_and_a_second_server_is_refused_at_once() -> None:
    with listening("localhost", 0) as bound:
        families = {family for family, *_ in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert bound and {each.family for each in bound} <= families
        (port,) = {each.getsockname()[1] for each in bound}
        with socket.create_connection(("localhost", port), timeout=10):
            pass  # who comes early waits
        with (
            pytest.raises(StreamError, match=f"port {port} on localhost is in use: .*--port"),
            listening("localhost", port),
        ):
            pass
    with listening("localhost", port):
        pass  # it is free again


def test_an_address_that_is_not_ours_is_left_out_unless_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, not_ours = (
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))
        for address in ("127.0.0.1", "192.0.2.1")
    )
    found = [not_ours, ours, ours]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with listening("two", 0) as bound:
        assert [each.getsockname()[0] for each in bound] == ["127.0.0.1"]
    del found[1:]
    with pytest.raises(StreamError, match=r"cannot listen on two, port 0 .*--host"), listening("two", 0):
        pass


def test_a_kernel_without_ipv6_serves_the_other_addresses_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    make = socket.socket

    def without_ipv6(family: int, *kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *kind)

    places = {socket.AF_INET6: ("::1", 0, 0, 0), socket.AF_INET: ("127.0.0.1", 0)}
    found = [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place) for family, place in places.items()]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "socket", without_ipv6)
    with listening("localhost", 0) as bound:
        assert [each.getsockname()[0] for each in bound] == ["127.0.0.1"]


def test_a_server_on_all_addresses_of_ipv6_is_reached_by_ipv4_too() -> None:
    try:
        with (
            listening("::", 0) as (bound,),
            socket.create_connection(("127.0.0.1", bound.getsockname()[1]), timeout=10),
        ):
            pass
    except StreamError as error:
        pytest.skip(str(error))
