"""Connection candidates: which of this machine's addresses, and which helpers outside, a call may use."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiortc import RTCConfiguration, RTCIceCandidate, RTCIceServer, RTCPeerConnection

from s2v.errors import StreamError
from s2v.streaming.webrtc.aiortc_internals import candidate_from_sdp, change_host_addresses, host_addresses

LOOPBACK = "127.0.0.1"
MAX_ICE_SERVERS = 8  # browsers warn from five on: each one costs time in every call
MAX_HIDDEN = 8  # mDNS names of one caller that are resolved
_HIDDEN = re.compile(r"a=candidate:(\S+ \d+ \S+ \d+ [A-Za-z0-9-]{1,63}\.local .+)", re.IGNORECASE)
# RFC 7064 and 7065; stuns is left out, because aiortc cannot speak it.
_URL = re.compile(r"(stun|turns?):([A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?(\?transport=(udp|tcp))?")


@dataclass(frozen=True)
class IceServer:
    """A STUN server, which tells a peer its outer address, or a TURN server, which relays its media."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def __post_init__(self) -> None:
        """Raises: StreamError, an address is malformed, or a TURN server has no account."""
        for url in self.urls:
            match = _URL.fullmatch(url)
            if match is None or int((match[3] or ":1")[1:]) not in range(1, 65_536) or _is_stun_with_transport(url):
                raise StreamError(f"{url[:80]!r} is no ICE server: give stun:HOST[:PORT] or turn[s]:HOST[:PORT]")
            if match[1] != "stun" and not (self.username and self.credential):
                raise StreamError(f"{url} needs an account: give --ice-username and --ice-credential")
        if not self.urls:
            raise StreamError('an ICE server has no address: give "urls", for example "stun:stun.example.org"')

    def as_json(self) -> dict[str, Any]:
        """What a browser's RTCPeerConnection takes."""
        account = {"username": self.username, "credential": self.credential}
        return {"urls": list(self.urls), **{name: text for name, text in account.items() if text is not None}}


def ice_servers(
    urls: Sequence[str], username: str | None = None, credential: str | None = None, environment: str = ""
) -> tuple[IceServer, ...]:
    """The servers given by option, or without any those of S2V_ICE_SERVERS.

    Args:
        environment: JSON in the form browsers use: [{"urls": ["turn:..."], "username": "...", "credential": "..."}].
    Raises: StreamError, malformed, too many, or an account without a server.
    """
    if urls:
        # a STUN server asks for no account: the one given is for the others
        found = [IceServer((u,)) if u.startswith("stun") else IceServer((u,), username, credential) for u in urls]
    elif username or credential:
        raise StreamError("--ice-username and --ice-credential belong to a server: give --ice-server turn:HOST")
    else:
        found = [_from_json(entry) for entry in _entries(environment)]
    if len(found) > MAX_ICE_SERVERS:
        raise StreamError(f"{len(found)} ICE servers are too many: give at most {MAX_ICE_SERVERS}")
    return tuple(found)


def configuration(servers: Sequence[IceServer] = ()) -> RTCConfiguration:
    """These servers and no others: left to itself, aiortc asks one on the internet about every call.

    aiortc uses the first STUN and the first TURN address; a browser uses them all.
    """
    return RTCConfiguration(iceServers=[RTCIceServer(list(s.urls), s.username, s.credential) for s in servers])


def without_mdns_candidates(sdp: str) -> tuple[str, list[RTCIceCandidate]]:
    """A caller's description without the candidates that hide behind an mDNS name; and these.

    A page that has no microphone yet gets such names in place of addresses. Tried with Firefox: where they cannot be
    resolved (another network, no multicast) it costs a second to find that out, and aioice, told that no candidates
    follow, gives up before the caller's own first check comes, which shows the address. So neither is it told, nor
    are the names waited for.
    Raises: ValueError, IndexError, a candidate is malformed.
    """
    kept: list[str] = []
    hidden: list[RTCIceCandidate] = []
    section = -1
    for line in sdp.splitlines():
        section += line.startswith("m=")
        if (match := _HIDDEN.fullmatch(line)) is not None:
            candidate = candidate_from_sdp(match[1])
            candidate.sdpMLineIndex = section
            hidden.extend([candidate] if candidate.protocol.lower() == "udp" else [])
        elif line != "a=end-of-candidates":
            kept.append(line)
    return "\r\n".join([*kept, ""]), hidden[:MAX_HIDDEN]


async def resolve_mdns(connection: RTCPeerConnection, hidden: Sequence[RTCIceCandidate]) -> None:
    """Tell the connection the addresses of these, if anybody near answers for them; it may close meanwhile."""
    await asyncio.gather(*(connection.addIceCandidate(candidate) for candidate in hidden), return_exceptions=True)


def offer_loopback_when_alone() -> bool:
    """On a machine with no network, let callers reach 127.0.0.1; elsewhere change nothing.

    aioice leaves out the loopback address. Tried: Chromium with no network connects then, but only when started with
    --allow-loopback-in-peer-connection; with any network up, neither is needed.

    Returns: whether the machine is alone and loopback is offered.
    """
    return not host_addresses() and change_host_addresses(lambda ours: ours or [LOOPBACK])


def _is_stun_with_transport(url: str) -> bool:
    return url.startswith("stun") and "?" in url


def _entries(environment: str) -> list[Any]:
    if not environment.strip():
        return []
    try:
        entries = json.loads(environment)
    except (json.JSONDecodeError, RecursionError) as error:
        raise StreamError(f'S2V_ICE_SERVERS is not JSON ({error}): give [{{"urls": ["stun:HOST"]}}]') from None
    if not isinstance(entries, list):
        raise StreamError(f'S2V_ICE_SERVERS holds a {type(entries).__name__}: give a list, [{{"urls": ["stun:HOST"]}}]')
    return entries


def _from_json(entry: Any) -> IceServer:
    urls = entry.get("urls") if isinstance(entry, dict) else None
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise StreamError('an entry of S2V_ICE_SERVERS has no "urls": give {"urls": ["stun:HOST"]}')
    account = [entry.get(name) for name in ("username", "credential")]
    if not all(text is None or isinstance(text, str) for text in account):
        raise StreamError('"username" and "credential" in S2V_ICE_SERVERS must be text')
    return IceServer(tuple(urls), *account)
