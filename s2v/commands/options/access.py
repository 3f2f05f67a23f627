"""Options of a server that others than this machine may reach: token, certificate, ICE servers."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.errors import StreamError
from s2v.logs import tell

if TYPE_CHECKING:
    import ssl

    from s2v.streaming.server.access import Access
    from s2v.streaming.webrtc.ice import IceServer

TOKEN_VARIABLE = "S2V_TOKEN"
ICE_VARIABLE = "S2V_ICE_SERVERS"
SHORT_TOKEN = 16  # characters; a shorter one can be tried out over a network


def add_access_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may reach it")
    group.add_argument("--host", default="127.0.0.1", help="address to serve on (default %(default)s)")
    group.add_argument(
        "--token",
        metavar="TOKEN",
        help=f"who opens the page needs it; ${TOKEN_VARIABLE} works too. Any --host that other machines reach "
        "has one: without this option it is made and printed",
    )
    group.add_argument("--certfile", type=Path, metavar="PEM", help="serve https with this certificate")
    group.add_argument("--keyfile", type=Path, metavar="PEM", help="its private key (default: in --certfile)")
    add_ice_options(group)


def add_ice_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--ice-server",
        action="append",
        default=[],
        metavar="URL",
        help="stun:HOST[:PORT] or turn:HOST[:PORT], for callers behind other routers; give it once for each "
        f"(default: none; ${ICE_VARIABLE} takes the JSON that browsers take)",
    )
    parser.add_argument("--ice-username", metavar="NAME", help="account on the turn: servers")
    parser.add_argument("--ice-credential", metavar="PASSWORD", help="its password")


def access_of(args: argparse.Namespace) -> Access:
    """The rules these options ask for; warns of what will not work, in one line each.

    Raises: StreamError, the token cannot be used.
    """
    from s2v.streaming.server.access import Access, is_loopback

    token = os.environ.get(TOKEN_VARIABLE) or None if args.token is None else args.token
    if is_loopback(args.host):
        return Access(token)
    if token is not None and len(token) < SHORT_TOKEN:
        _warn(
            f"a token of {len(token)} characters can be tried out: give {SHORT_TOKEN} or more, or none for a made one"
        )
    if args.certfile is None:
        _warn(
            f"browsers give the microphone only to https or localhost: others than this machine can watch {args.host}, "
            "but not talk to it without --certfile and --keyfile"
        )
    return Access.generated() if token is None else Access(token)


def tls_of(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Raises: StreamError, certificate or key cannot be used."""
    if args.certfile is None:
        if args.keyfile is not None:
            raise StreamError(f"--keyfile {args.keyfile} has no certificate: give --certfile too")
        return None
    from s2v.streaming.server.tls import server_context

    return server_context(args.certfile, args.keyfile)


def ice_servers_of(args: argparse.Namespace) -> tuple[IceServer, ...]:
    """Raises: StreamError, see `s2v.streaming.webrtc.ice.ice_servers`."""
    from s2v.streaming.webrtc.ice import ice_servers

    return ice_servers(args.ice_server, args.ice_username, args.ice_credential, os.environ.get(ICE_VARIABLE, ""))


def _warn(line: str) -> None:
    tell(logging.WARNING, line)
