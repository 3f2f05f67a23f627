from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from streaming.fakes import fake_avatar

from s2v.errors import StreamError
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.serve import serve
from s2v.streaming.webrtc.aiortc_internals import host_addresses
from s2v.streaming.webrtc.ice import offer_loopback_when_alone

SERVER = """
import os, sys
from streaming.fakes import fake_avatar
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.serve import run_live

number = int(sys.argv[1])

def on_ready(address):
    print(address, flush=True)
    os.kill(os.getpid(), number)

print(int(run_live(LiveOptions(fake_avatar()), port=0, on_ready=on_ready)) == number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_is_returned(number: signal.Signals) -> None:
    # A process of its own: inference libraries loaded by other tests can break the delivery of signals here.
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests / "helpers")])}
    command = [sys.executable, "-c", SERVER, str(int(number))]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
    address, returned = outcome.stdout.split()
    assert address.startswith("http://127.0.0.1:") and returned == "True"


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "a" * 70])
def test_a_place_that_cannot_be_bound_is_refused_with_the_option_to_use(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StreamError, match=r"--port|--host") as refused:
            asyncio.run(serve(LiveOptions(fake_avatar()), host, port, None))
    assert host in str(refused.value) and "\n" not in str(refused.value)


def test_a_machine_without_network_offers_loopback_and_others_do_not(offering: Callable[[list[str]], None]) -> None:
    offering(["192.0.2.7"])
    assert not offer_loopback_when_alone()
    assert host_addresses() == ["192.0.2.7"]
    offering([])
    assert offer_loopback_when_alone()
    assert host_addresses() == ["127.0.0.1"]
