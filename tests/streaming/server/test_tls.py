from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from streaming.certificates import make_certificate
from streaming.fakes import fake_avatar

from s2v.errors import StreamError
from s2v.streaming.server.access import Access
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.serve import serve
from s2v.streaming.server.tls import server_context


def test_the_page_is_served_over_https_and_its_cookie_stays_there(tmp_path: Path) -> None:
    certfile, keyfile = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certfile))
    seen: list[str] = []

    async def look(url: str) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:  # of an address
            reply = await client.get(url, ssl=trusting, allow_redirects=False)
            seen.append(reply.headers["Set-Cookie"])
            assert (await client.get(url.partition("?")[0] + "config", ssl=trusting)).status == 200

    async def run() -> None:
        looking: list[asyncio.Task[None]] = []
        options = LiveOptions(fake_avatar(), access=Access("a+b"))
        context = server_context(certfile, keyfile)

        def on_ready(url: str) -> None:
            assert url.startswith("https://127.0.0.1:") and url.endswith("/?token=a%2Bb")
            looking.append(asyncio.create_task(look(url)))

        serving = asyncio.create_task(serve(options, "127.0.0.1", 0, on_ready, context))
        while not looking:
            await asyncio.sleep(0.01)
        await looking[0]
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(asyncio.wait_for(run(), 30))
    assert "Secure" in seen[0] and "HttpOnly" in seen[0]


def test_certificate_and_key_may_share_a_file(tmp_path: Path) -> None:
    certfile, keyfile = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certfile.read_bytes() + keyfile.read_bytes())
    assert isinstance(server_context(both), ssl.SSLContext)


def test_files_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path) -> None:
    certfile, keyfile = make_certificate(tmp_path)
    _, other_key = make_certificate(tmp_path, "other")
    _, locked_key = make_certificate(tmp_path, "locked", b"a passphrase")
    empty, torn = tmp_path / "empty", tmp_path / "torn.crt"
    empty.touch()
    torn.write_bytes(certfile.read_bytes()[:200])
    cases = [
        ((tmp_path / "no.crt", keyfile), "--certfile"),
        ((certfile, tmp_path / "no.key"), "--keyfile"),
        ((tmp_path, keyfile), "--certfile"),
        ((certfile, other_key), "not the key of"),
        ((certfile, None), "no PEM private key"),
        ((certfile, certfile), "no PEM private key"),
        ((empty, keyfile), "no PEM certificate"),
        ((torn, keyfile), "torn.crt"),
        ((certfile, locked_key), "passphrase"),
    ]
    for (certificate, key), reason in cases:
        with pytest.raises(StreamError, match=reason) as refused:
            server_context(certificate, key)
        assert "\n" not in str(refused.value)
