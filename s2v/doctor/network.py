"""The findings of `s2v doctor` about what comes in and goes out: codecs, microphones, port, ICE."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2v.doctor.finding import Finding
from s2v.errors import StreamError
from s2v.extras import REINSTALL

if TYPE_CHECKING:
    from s2v.streaming.webrtc.ice import IceServer

CODECS = {  # what people call it: what FFmpeg calls what writes and what reads it
    "VP8": ("libvpx", "libvpx"),
    "Opus": ("libopus", "libopus"),
    "H.264": ("libx264", "h264"),
    "AAC": ("aac", "aac"),
}
GATHER_WITHIN_S = 15.0
ASK_WITHIN_S = 5.0
LISTED_ADDRESSES = 4


def check_codecs() -> Finding:
    """Calls need VP8 and Opus, files H.264 and AAC."""
    import av

    def has(name: str, mode: str) -> bool:
        try:
            av.codec.Codec(name, "w" if mode == "w" else "r")
        except (av.codec.codec.UnknownCodecError, ValueError):
            return False
        return True

    missing = [
        f"{name} {'writing' if mode == 'w' else 'reading'}"
        for name, (encoder, decoder) in CODECS.items()
        for codec, mode in ((encoder, "w"), (decoder, "r"))
        if not has(codec, mode)
    ]
    if missing:
        advice = "install PyAV's own build: pip install --force-reinstall --only-binary av av"
        return Finding("codecs", "fail", f"this PyAV lacks {', '.join(missing)}", advice)
    return Finding("codecs", "ok", f"{', '.join(CODECS)} (PyAV {av.__version__})")


def check_microphones() -> Finding:
    """Those of this machine, for --mic; a browser brings its own."""
    from s2v.streaming.sources.portaudio import list_microphones

    try:
        microphones = list_microphones()
    except StreamError as error:
        found, _, advice = str(error).partition(": ")
        return Finding("microphones", "warn", found, f"only for --mic: {advice or REINSTALL}")
    if not microphones:
        return Finding("microphones", "warn", "none", "only for --mic: plug one in; browsers use their own")
    return Finding("microphones", "ok", "; ".join(f"{m.index} {m.name}" for m in microphones))


def check_port(port: int, host: str = "127.0.0.1") -> Finding:
    """Whether `s2v live` could serve there now."""
    try:
        with socket.create_server((host, port)) as server:
            free = server.getsockname()[1]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding("port", "warn", f"{port} on {host} is in use", "stop the other server, or pass --port 0")
        return Finding("port", "warn", f"{port} on {host}: {error.strerror}", "pass another --port, 1024 or more")
    return Finding("port", "ok", f"{free} on {host} is free")


def check_ice(servers: Sequence[IceServer] = ()) -> Finding:
    """Which addresses of this machine a caller is told to try, and whether the given servers answer."""
    candidates = asyncio.run(asyncio.wait_for(_gather(servers), GATHER_WITHIN_S))
    hosts = sorted({ip for kind, ip in candidates if kind == "host"})
    outside = {kind for kind, _ in candidates} - {"host"}
    listed = ", ".join(hosts[:LISTED_ADDRESSES]) + (" ..." if len(hosts) > LISTED_ADDRESSES else "")
    found = f"{len(hosts)} address{'' if len(hosts) == 1 else 'es'} to reach this machine: {listed or 'none'}"
    if not hosts:
        advice = (
            "connect a network, or start Chromium with --allow-loopback-in-peer-connection for calls on this machine"
        )
        return Finding("ICE", "warn", found, advice)
    if servers:
        wanted = {"srflx" if url.startswith("stun") else "relay" for server in servers for url in server.urls}
        names = {"srflx": "STUN", "relay": "TURN"}
        silent = sorted(names[kind] for kind in wanted - outside)
        refusal = asyncio.run(_refusal(servers)) if "TURN" in silent else None
        found += (
            f"; outside: {', '.join(sorted(f'{kind} {ip}' for kind, ip in candidates if kind != 'host')) or 'none'}"
        )
        if refusal is not None:
            return Finding("ICE", "warn", f"{found}; TURN refuses: {refusal}", "check user name and password")
        if silent:
            advice = "check address, account and whether a firewall lets UDP out"
            return Finding("ICE", "warn", f"{found}; no answer from {' and '.join(silent)}", advice)
    return Finding("ICE", "ok", found)


async def _gather(servers: Sequence[IceServer]) -> list[tuple[str, str]]:
    """(type, address) of every candidate of one call."""
    import aioice

    from s2v.streaming.webrtc.aiortc_internals import ice_arguments
    from s2v.streaming.webrtc.ice import configuration

    connection = aioice.Connection(ice_controlling=True, **ice_arguments(configuration(servers)))
    try:
        await connection.gather_candidates()
        return [(candidate.type, candidate.host) for candidate in connection.local_candidates]
    finally:
        await connection.close()


async def _refusal(servers: Sequence[IceServer]) -> str | None:
    """What the TURN server says to its account; None where it says nothing."""
    from s2v.streaming.webrtc.aiortc_internals import turn_refusal
    from s2v.streaming.webrtc.ice import configuration

    return await turn_refusal(configuration(servers), ASK_WITHIN_S)
