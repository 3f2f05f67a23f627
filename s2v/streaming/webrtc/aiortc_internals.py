"""Everything of aiortc and aioice that they do not document, in one place: read this first when either is upgraded.

Checked with aiortc 1.16.0 and aioice 0.13.0. tests/streaming/webrtc/test_aiortc_internals.py fails when an installed
version no longer has one of these things, or when it behaves differently. What their documentation describes is
imported from `aiortc` and `aioice` themselves, wherever it is used; the rest is imported from here.

Names that only have an undocumented address; without one of them, importing this module fails:
    aiortc.sdp: a description taken apart, a candidate read from a line of it.
    aiortc.codecs: the encoders and decoders of a call, for measuring what they cost and for reading what was kept.
    aiortc.rtp, aiortc.jitterbuffer: what goes into a jitter buffer and what comes out.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aioice.ice
import aioice.stun
import aioice.turn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcicetransport import connection_kwargs
from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtpPacket
from aiortc.sdp import SessionDescription, candidate_from_sdp

__all__ = [
    "BUFFER", "JitterFrame", "MarkerJitterBuffer", "OpusDecoder", "OpusEncoder", "PacketBuffer", "RtpPacket",
    "SessionDescription", "Vp8Decoder", "Vp8Encoder", "candidate_from_sdp", "change_host_addresses", "host_addresses",
    "ice_arguments", "ignore_goodbyes", "intercept", "replace_jitter_buffer", "turn_refusal", "vp8_depayload",
]  # fmt: skip

log = logging.getLogger(__name__)

Send = Callable[[bytes], Awaitable[None]]
Recv = Callable[[], Awaitable[bytes]]

BUFFER = "_RTCRtpReceiver__jitter_buffer"
_READ_OF_A_PACKET = ("payload", "sequence_number", "timestamp")  # by our buffer for voice
_HANDLER = "_handle_rtcp_packet"
_LISTER = "get_host_addresses"
_LISTER_AS_SHIPPED = getattr(aioice.ice, _LISTER, None)


class PacketBuffer(Protocol):
    """What a receiver needs of its jitter buffer."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet; returns whether a whole picture must be asked for, and what can be decoded now."""


def replace_jitter_buffer(receiver: RTCRtpReceiver, buffer: PacketBuffer) -> bool:
    """Give a receiver that has received nothing yet another buffer.

    aiortc has no option for it, so the receiver's private attribute is replaced. Where that is gone, or packets no
    longer have what our buffers read, the receiver keeps aiortc's own buffer and it is logged, once.
    Returns: whether it could be done.
    """
    packet = RtpPacket()
    if BUFFER not in vars(receiver) or not all(hasattr(packet, name) for name in _READ_OF_A_PACKET):
        _say_once("this version of aiortc keeps its jitter buffer elsewhere: every microphone is heard 80 ms later")
        return False
    vars(receiver)[BUFFER] = buffer
    return True


def ignore_goodbyes(receiver: RTCRtpReceiver) -> bool:
    """Let a microphone go on after an RTCP BYE, which browsers send when a track is muted or held, too.

    aiortc stops the receiver's decoder for good. Who really leaves ends the connection, or falls silent. Private is
    the method that is handed such packets; where it is gone, a mute may end the call and it is logged, once.
    Returns: whether it could be done.
    """
    handle = getattr(receiver, _HANDLER, None)
    if handle is None:
        _say_once("this version of aiortc takes goodbyes elsewhere: a caller who mutes himself may be cut off")
        return False

    async def but_goodbyes(packet: AnyRtcpPacket) -> None:
        if not isinstance(packet, RtcpByePacket):
            await handle(packet)

    setattr(receiver, _HANDLER, but_goodbyes)
    return True


class MarkerJitterBuffer(JitterBuffer):
    """Video: a picture comes out with its last packet, which carries the marker, as in a browser.

    aiortc's buffer waits for the first packet of the next picture, 40 ms later. Private are the list of its packets,
    where that begins, what takes a picture out of it, and what the receiver leaves on each packet: `_data`, the part
    of a picture. Only benchmarks receive video: without these they end with an AttributeError.
    """

    def __init__(self) -> None:
        super().__init__(capacity=512, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        assert self._origin is not None
        parts: list[bytes] = []
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            parts.append(packet._data)  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return JitterFrame(data=b"".join(parts), timestamp=packet.timestamp)
        return None


def host_addresses(ipv4: bool = True, ipv6: bool = True) -> list[str]:
    """This machine's addresses, as a call offers them; none where aioice no longer lists them in one place."""
    list_addresses = getattr(aioice.ice, _LISTER, None)
    return list(list_addresses(use_ipv4=ipv4, use_ipv6=ipv6)) if list_addresses is not None else []


def change_host_addresses(change: Callable[[list[str]], list[str]] | None) -> bool:
    """Have every later call of this process offer `change` of the addresses it would have offered; None: aioice's own.

    aioice has no option for it, so its one function that lists addresses is replaced; where that is gone, nothing
    changes and it is logged, once.
    Returns: whether it could be done.
    """
    list_addresses = getattr(aioice.ice, _LISTER, None)
    if list_addresses is None:
        _say_once("this version of aioice lists addresses elsewhere: a call offers all but the loopback one")
        return False
    if change is None:
        setattr(aioice.ice, _LISTER, _LISTER_AS_SHIPPED)
    else:
        setattr(aioice.ice, _LISTER, lambda use_ipv4, use_ipv6: change(list_addresses(use_ipv4, use_ipv6)))
    return True


def ice_arguments(configuration: RTCConfiguration) -> dict[str, Any]:
    """What aiortc hands to `aioice.Connection` of a configuration: the one STUN and the one TURN server it uses."""
    return dict(connection_kwargs(configuration.iceServers or []))


async def turn_refusal(configuration: RTCConfiguration, within_s: float) -> str | None:
    """What the TURN server says to its account; None where it says nothing within that time.

    aioice's gathering keeps such answers to itself, so its TURN client is asked directly.
    """
    asked = ice_arguments(configuration)
    if "turn_server" not in asked:  # a transport that aiortc cannot speak
        return None
    account = {"username": asked["turn_username"], "password": asked["turn_password"]}
    way = {"ssl": asked["turn_ssl"] or None, "transport": asked["turn_transport"]}
    create = aioice.turn.create_turn_endpoint
    try:
        async with asyncio.timeout(within_s):
            relay, _ = await create(asyncio.DatagramProtocol, asked["turn_server"], **account, **way)
            relay.close()
    except aioice.stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, "no reason given"))
        return f"{code} {reason}"
    except (aioice.stun.TransactionError, TimeoutError, OSError):
        pass
    return None


def intercept(connection: RTCPeerConnection, wrap: Callable[[Send, Recv], tuple[Send, Recv]]) -> None:
    """Put something between a connection with negotiated candidates and its one transport.

    `wrap` gets how the transport sends and receives a datagram, and returns what shall be used instead: DTLS asks the
    ICE transport for these two private methods with each datagram. Only benchmarks and tests emulate a network; where
    the methods are gone they end with an AttributeError.
    """
    assert connection.sctp is not None, "without a data channel nothing names the transport"
    transport: Any = connection.sctp.transport.transport
    transport._send, transport._recv = wrap(transport._send, transport._recv)


@functools.cache
def _say_once(text: str) -> None:
    log.warning("%s", text)
