from __future__ import annotations

import asyncio
import json
from typing import Any

import aioice
import pytest

from s2v.errors import StreamError
from s2v.streaming.webrtc.aiortc_internals import ice_arguments
from s2v.streaming.webrtc.ice import (
    MAX_HIDDEN,
    MAX_ICE_SERVERS,
    IceServer,
    configuration,
    ice_servers,
    without_mdns_candidates,
)

TURN = {"urls": ["turn:relay.example:3478?transport=tcp"], "username": "me", "credential": "secret"}


def test_nobody_outside_is_asked_unless_told() -> None:
    assert ice_servers([]) == () and configuration().iceServers == []


def test_options_give_the_account_to_the_relays_only() -> None:
    urls = ["stun:stun.example", "turn:relay.example:3478?transport=udp", "turns:relay.example:443?transport=tcp"]
    stun, turn, turns = ice_servers(urls, "me", "secret", environment="ignored beside options")
    assert stun.as_json() == {"urls": ["stun:stun.example"]}
    assert turn.as_json() == {"urls": urls[1:2], "username": "me", "credential": "secret"}
    assert turns.urls == tuple(urls[2:])


def test_the_environment_takes_what_browsers_take() -> None:
    text = json.dumps([{"urls": "stun:stun.example:19302"}, TURN])
    stun, turn = ice_servers([], environment=text)
    assert stun == IceServer(("stun:stun.example:19302",)) and turn.as_json() == TURN
    assert ice_servers([], environment="  ") == ()


@pytest.mark.parametrize(
    "url",
    [
        "", "stun.example", "stun:", "stuns:stun.example", "http://stun.example", "stun:stun.example:0",
        "stun:stun.example:65536", "stun:stun.example?transport=udp", "stun:a b",
        "stun:stun.example\n", "turn:x?transport=tls",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(StreamError, match="no ICE server") as refused:
        ice_servers([url], "me", "secret")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"urls": "stun:x"}', "a list"),
        ('["stun:x"]', "urls"),
        ('[{"urls": [7]}]', "urls"),
        ('[{"urls": []}]', "no address"),
        ('[{"urls": "stun:x", "username": 7}]', "text"),
        ('[{"urls": "turn:relay.example"}]', "account"),
        (json.dumps([{"urls": "stun:x"}] * (MAX_ICE_SERVERS + 1)), "too many"),
    ],
)
def test_a_malformed_environment_is_refused(environment: str, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        ice_servers([], environment=environment)


def test_an_account_without_a_server_and_a_relay_without_an_account_are_refused() -> None:
    with pytest.raises(StreamError, match="--ice-server"):
        ice_servers([], "me", "secret")
    with pytest.raises(StreamError, match="--ice-credential"):
        ice_servers(["turn:relay.example"], "me")


@pytest.mark.usefixtures("loopback_candidates")
def test_a_stun_server_is_asked_for_the_outer_address() -> None:
    """A STUN server of the test's own tells the gatherer an address that this machine does not have."""
    from aioice import stun

    class OuterAddress(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            request = stun.parse_message(data)
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.7", 4000)
            self.transport.sendto(bytes(answer), address)

    async def gather() -> set[tuple[str, str]]:
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(OuterAddress, local_addr=("127.0.0.1", 0))
        port = server.get_extra_info("sockname")[1]
        servers = ice_servers([f"stun:127.0.0.1:{port}"])
        connection = aioice.Connection(ice_controlling=True, **ice_arguments(configuration(servers)))
        await connection.gather_candidates()
        found = {(candidate.type, candidate.host) for candidate in connection.local_candidates}
        await connection.close()
        server.close()
        return found

    assert asyncio.run(asyncio.wait_for(gather(), 20)) >= {("host", "127.0.0.1"), ("srflx", "192.0.2.7")}


def test_an_offer_with_hidden_addresses_is_taken_without_them_and_stays_open() -> None:
    name = "3d2f8b1c-9a7e-4c55-8f0d-6c1e2b7a9f10.local"
    known = "a=candidate:1 1 udp 2122252543 192.0.2.7 50000 typ host"
    hidden = f"a=candidate:2 1 UDP 2122187007 {name} 50001 typ host generation 0"
    over_tcp = f"a=candidate:3 1 tcp 2105524479 {name} 9 typ host tcptype active"
    audio, video = "m=audio 9 UDP/TLS/RTP/SAVPF 96", "m=video 9 UDP/TLS/RTP/SAVPF 97"
    offer = ["v=0", audio, known, hidden, "a=end-of-candidates", video, over_tcp, ""]
    sdp, names = without_mdns_candidates("\r\n".join(offer))
    assert sdp.split("\r\n") == ["v=0", audio, known, video, ""]
    assert [(c.ip, c.port, c.sdpMLineIndex) for c in names] == [(name, 50001, 0)]
    assert without_mdns_candidates(sdp) == (sdp, [])
    many = without_mdns_candidates("\r\n".join([audio, *[hidden] * 100]))
    assert len(many[1]) == MAX_HIDDEN and "candidate" not in many[0]
