from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from s2v.benchmarks.live import server_process
from s2v.benchmarks.live.server_process import Ready, Server
from s2v.errors import StreamError

READY = Ready("http://127.0.0.1:1", 1, "fake", 512, 512, look_ahead_s=0.08)


@pytest.fixture
def sessions() -> list[int]:
    """How many the server has, from one question to the next; the last number stays."""
    return [2, 1, 0]


@pytest.fixture
def server(sessions: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            left = sessions.pop(0) if len(sessions) > 1 else sessions[0]
            self.wfile.write(json.dumps({"sessions": left} if self.path == "/health" else {}).encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr("s2v.benchmarks.live.server_process.time.sleep", lambda _: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    pipe, other = multiprocessing.Pipe()
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as health, pipe, other:
        thread = threading.Thread(target=health.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(replace(READY, url=f"http://127.0.0.1:{health.server_port}"), pipe)
        health.shutdown()
        thread.join()


def test_sessions_are_counted_without_the_proxy_of_the_environment(server: Server, sessions: list[int]) -> None:
    assert [server.sessions(), server.sessions()] == [2, 1]
    server.wait_until_empty()
    assert sessions == [0]


def test_sessions_that_stay_are_an_error(server: Server, sessions: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "EMPTY_WITHIN_S", -1.0)
    sessions[:] = [3]
    with pytest.raises(StreamError, match="still has 3 sessions"):
        server.wait_until_empty()


def test_a_server_that_is_gone_is_one_line(server: Server) -> None:
    with pytest.raises(StreamError, match="does not answer"):
        Server(READY, server.pipe).sessions()
