"""Who may use a server: whoever knows its token, and of web pages only its own.

    without a token   the server listens on loopback only; the Host header must name loopback, because a foreign
                      name that was made to point here (DNS rebinding) would make its page ours
    with a token      `Authorization: Bearer TOKEN`, or a visit to /?token=TOKEN, which leaves a cookie;
                      open are only /health, /ready, the icon and the page's own files

Whatever changes something, and every WebSocket, must come from our own page or from no page at all (Origin).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from s2v.errors import StreamError

STATIC = Path(__file__).parents[1] / "static"
OPEN_PATHS = ("/health", "/ready", "/favicon.ico")
OPEN_FOLDER = "/static/"
READING = ("GET", "HEAD", "OPTIONS")
COOKIE_NAME_CHARACTERS = 8  # of the digest: two servers on one host (cookies know no ports) need two names
MAX_TOKEN_CHARACTERS = 256

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Access:
    """The rules of one server; `Access()` is a server for this machine alone."""

    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is None:
            return
        if not 0 < len(self.token) <= MAX_TOKEN_CHARACTERS or not all("!" <= sign <= "~" for sign in self.token):
            raise StreamError(
                f"a token of {len(self.token)} characters with spaces, none, or others than ASCII cannot be sent: "
                f"give 1 to {MAX_TOKEN_CHARACTERS} visible ASCII characters, or none to have one made"
            )

    @classmethod
    def generated(cls) -> Access:
        """A token that nobody guesses, 256 bits."""
        return cls(secrets.token_urlsafe(32))

    @property
    def entrance(self) -> str:
        """What to append to the server's address so that a browser is let in."""
        return "" if self.token is None else f"/?token={quote(self.token, safe='')}"

    def refuse_open_host(self, host: str) -> None:
        """Raises: StreamError, others than this machine could reach `host` and no token is asked for."""
        if self.token is None and not is_loopback(host):
            raise StreamError(f"{host} can be reached from other machines: give --token, or --host 127.0.0.1")

    def admits(self, request: web.Request) -> bool:
        """Whether the request carries the token, or needs none."""
        if self.token is None or request.path in OPEN_PATHS or request.path.startswith(OPEN_FOLDER):
            return True
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(sent.strip()):
            return True
        name, value = self._cookie
        return hmac.compare_digest(request.cookies.get(name, "").encode(), value.encode())

    def let_in(self, request: web.Request) -> web.Response | None:
        """The answer to a visit to /?token=TOKEN: a cookie, and the address without the token in it."""
        if self.token is None or request.method not in READING or request.path != "/" or "token" not in request.query:
            return None
        if not self._is_token(request.query["token"]):
            return None
        answer = web.Response(status=303, headers={"Location": "/"})
        name, value = self._cookie
        answer.set_cookie(name, value, path="/", httponly=True, samesite="Strict", secure=request.secure)
        return answer

    def _is_token(self, sent: str) -> bool:
        return self.token is not None and hmac.compare_digest(sent.encode("utf-8", "replace"), self.token.encode())

    @cached_property
    def _cookie(self) -> tuple[str, str]:
        """Name and value, both from a digest: any token may stand in a cookie then, and is not readable there."""
        digest = hmac.digest((self.token or "").encode(), b"s2v cookie", hashlib.sha256).hex()
        return f"s2v-{digest[:COOKIE_NAME_CHARACTERS]}", digest[COOKIE_NAME_CHARACTERS:]


LOOPBACK_ONLY = Access()


def guard(access: Access) -> Any:
    """The middleware that holds every request against the rules; refusals are one line of JSON.

    A browser that opens the page without the token gets a form for it instead, with the same status 401.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if access.token is None and not _names_loopback(request.headers.get("Host")):
            host = request.headers["Host"][:60]
            return _refusal(403, f"this server is not {host}: open it as localhost, or start it with --token")
        if _changes_something(request) and not _is_own_origin(request):
            origin = request.headers["Origin"][:60]
            return _refusal(403, f"a page of {origin} may not use this server: open the server's own page")
        if (entered := access.let_in(request)) is not None:
            return entered
        if access.admits(request):
            return await handler(request)
        if request.path == "/" and "text/html" in request.headers.get("Accept", ""):
            return _ask_for_token(request)
        answer = _refusal(401, "this server needs its token: send Authorization: Bearer TOKEN, or open /?token=TOKEN")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    return check


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`, a name or an address."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _names_loopback(host: str | None) -> bool:
    """Whether a Host header names this machine; whoever sends none (HTTP/1.0) is not a browser."""
    return host is None or is_loopback(_host_of(f"//{host}"))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # "[", a port that is none
        return ""


def _changes_something(request: web.Request) -> bool:
    return request.method not in READING or request.headers.get("Upgrade", "").lower() == "websocket"


def _is_own_origin(request: web.Request) -> bool:
    """Browsers name the page a request comes from; programs do not, and are held by the token alone.

    The scheme is left out: behind a proxy that ends TLS, the page is https and we are http.
    """
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2].lower() == request.headers.get("Host", "").lower() != ""


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


def _ask_for_token(request: web.Request) -> web.Response:
    """A form for the token; or, where a link on a foreign page led here, the same page once more from here.

    Browsers keep a SameSite=Strict cookie back on the way from a foreign page, also through our own redirect.
    """
    text = (STATIC / "locked.html").read_text(encoding="utf-8")
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and "token" not in request.query:
        text = text.replace("<head>", '<head>\n  <meta http-equiv="refresh" content="0; url=/">', 1)
    if "token" in request.query:
        text = text.replace('role="alert" hidden>', 'role="alert">', 1)
    return web.Response(text=text, status=401, content_type="text/html", headers={"WWW-Authenticate": "Bearer"})
