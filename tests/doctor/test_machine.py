from __future__ import annotations

import contextlib
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aioice import stun

from s2v.doctor import machine as doctor
from s2v.doctor.finding import Finding
from s2v.doctor.network import check_codecs, check_ice, check_microphones, check_port
from s2v.errors import BackendError
from s2v.streaming.webrtc.ice import IceServer


def test_the_drawing_path_is_really_run() -> None:
    """Runtime, face finder and engine, each on the bundled model and photo."""
    for finding in (doctor.check_runtime("onnxruntime"), doctor.check_face_finder(), doctor.check_drawing()):
        assert finding.state in ("ok", "warn"), finding  # a busy machine is slow, and that is said
        assert " ms" in finding.found
    assert "512x512" in doctor.check_drawing().found


def test_libraries_and_versions_are_named() -> None:
    found = doctor.check_libraries()
    assert found.state == "ok" and all(name in found.found for name in ("av ", "aiortc ", "mediapipe "))
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in doctor.check_python().found


def test_a_check_that_trips_is_a_finding_with_a_next_step() -> None:
    def backend() -> Finding:
        raise BackendError("no runtime is installed: pip install one")

    def library() -> Finding:
        raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")

    def bug() -> Finding:
        raise ZeroDivisionError("division\nby zero")

    assert doctor._guarded("a", backend) == Finding("a", "fail", "no runtime is installed", "pip install one")
    loading = doctor._guarded("b", library)
    assert loading.state == "fail" and "libGL" in loading.found and "install" in loading.next_step
    broken = doctor._guarded("c", bug)
    assert broken.state == "fail" and "\n" not in broken.found and broken.next_step


def _tool(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)


def test_the_gpu_is_what_the_drivers_tool_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.check_gpu().state == "ok" and "no NVIDIA" in doctor.check_gpu().found
    _tool(tmp_path, "echo 'A Card, 16384 MiB, 600.1'")
    assert doctor.check_gpu().found == "A Card, 16384 MiB, 600.1"
    _tool(tmp_path, "echo 'cannot talk to the driver' >&2; exit 9")
    failing = doctor.check_gpu()
    assert failing.state == "warn" and "cannot talk to the driver" in failing.found and failing.next_step


def test_codecs_and_microphones_are_looked_for() -> None:
    assert check_codecs().state == "ok"
    found = check_microphones()
    assert found.state in ("ok", "warn") and (found.state == "ok" or "--mic" in found.next_step)


def test_a_port_is_free_or_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = check_port(port)
        assert found.state == "warn" and str(port) in found.found and "--port" in found.next_step
    assert check_port(0).state == "ok"


def test_addresses_for_callers_are_listed_or_missed(offering: Callable[[list[str]], None]) -> None:
    offering(["127.0.0.1"])
    found = check_ice()
    assert found.state == "ok" and found.found.startswith("1 address ") and "127.0.0.1" in found.found
    offering([])
    alone = check_ice()
    assert alone.state == "warn" and "loopback" in alone.next_step


@contextlib.contextmanager
def refusing_server(code: int, reason: str) -> Iterator[str]:
    """Address of a STUN or TURN server that refuses every request: one that is silent would take seconds."""

    def refuse(server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # nothing more is asked
            while True:
                data, caller = server.recvfrom(2048)
                request = stun.parse_message(data)
                refusal = stun.Message(request.message_method, stun.Class.ERROR, transaction_id=request.transaction_id)
                refusal.attributes["ERROR-CODE"] = (code, reason)
                refusal.attributes["REALM"], refusal.attributes["NONCE"] = "here", b"once"
                server.sendto(bytes(refusal), caller)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(1)
        refusing = threading.Thread(target=refuse, args=(server,))
        refusing.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
    refusing.join()


@pytest.mark.usefixtures("loopback_candidates")
def test_a_stun_server_that_does_not_help_is_named() -> None:
    with refusing_server(400, "No") as address:
        found = check_ice([IceServer((f"stun:{address}",))])
    assert found.state == "warn" and "no answer from STUN" in found.found and "firewall" in found.next_step


@pytest.mark.usefixtures("loopback_candidates")
def test_a_relay_that_refuses_the_account_is_told_from_one_that_is_silent() -> None:
    with refusing_server(401, "Unauthorized") as address:
        found = check_ice([IceServer((f"turn:{address}",), "me", "wrong")])
    assert found.state == "warn" and "TURN refuses: 401 Unauthorized" in found.found and "password" in found.next_step
