"""Connection candidates: which of this machine's addresses a caller is told to try."""

from __future__ import annotations

import aioice.ice
from aiortc import RTCConfiguration

LOOPBACK = "127.0.0.1"


def configuration() -> RTCConfiguration:
    """No STUN or TURN: without this, aiortc asks a server on the internet about every call."""
    return RTCConfiguration(iceServers=[])


def offer_loopback_when_alone() -> bool:
    """On a machine with no network, let callers reach 127.0.0.1; elsewhere change nothing.

    aioice leaves out the loopback address, and has no option for it, so its one function that lists addresses
    is replaced for this process. Tried: Chromium with no network connects then, but only when started with
    --allow-loopback-in-peer-connection; with any network up, neither is needed.

    Returns: whether the machine is alone and loopback is offered.
    """
    list_addresses = aioice.ice.get_host_addresses
    if list_addresses(use_ipv4=True, use_ipv6=True):
        return False

    def with_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return list_addresses(use_ipv4, use_ipv6) or [LOOPBACK]

    aioice.ice.get_host_addresses = with_loopback
    return True
