from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from s2v.cli import main
from s2v.commands.options.access import access_of, add_access_options, ice_servers_of, tls_of
from s2v.errors import StreamError


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S2V_TOKEN", "S2V_ICE_SERVERS"):
        monkeypatch.delenv(name, raising=False)


def parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_access_options(parser)
    return parser.parse_args(options)


def test_this_machine_alone_needs_no_token_and_hears_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        assert access_of(parse("--host", host)).token is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "studio.example"])
def test_other_machines_need_a_token_which_is_made(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    token = access_of(parse("--host", host)).token
    assert token is not None and len(token) >= 43
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"s2v: browsers give the microphone only to https or localhost.+\n", err)


def test_a_token_comes_from_the_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("S2V_TOKEN", "from-the-environment")
    assert access_of(parse()).token == "from-the-environment"
    assert access_of(parse("--token", "from-the-option")).token == "from-the-option"
    monkeypatch.setenv("S2V_TOKEN", "")
    assert access_of(parse()).token is None
    with pytest.raises(StreamError, match="visible ASCII"):
        access_of(parse("--token", ""))
    capsys.readouterr()
    access_of(parse("--host", "0.0.0.0", "--token", "short", "--certfile", "given.pem"))
    assert re.fullmatch(r"s2v: a token of 5 characters .+\n", capsys.readouterr().err)


def test_a_certificate_is_optional_but_a_key_alone_is_a_mistake(tmp_path: Path) -> None:
    assert tls_of(parse()) is None
    with pytest.raises(StreamError, match="--certfile"):
        tls_of(parse("--keyfile", str(tmp_path / "key.pem")))
    with pytest.raises(StreamError, match="no file"):
        tls_of(parse("--certfile", str(tmp_path / "no.pem")))


def test_ice_servers_come_from_options_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2V_ICE_SERVERS", '[{"urls": "stun:a.example"}]')
    assert [server.urls for server in ice_servers_of(parse())] == [("stun:a.example",)]
    given = parse("--ice-server", "stun:b.example", "--ice-server", "stun:c.example")
    assert [server.urls for server in ice_servers_of(given)] == [("stun:b.example",), ("stun:c.example",)]


@pytest.mark.parametrize(
    "options",
    [
        ["--token", "two words"],
        ["--ice-server", "stun.example.org"],
        ["--ice-username", "me"],
        ["--keyfile", "key.pem"],
        ["--certfile", "no-such.pem"],
    ],
)
def test_live_refuses_them_in_one_line_before_anything_is_loaded(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", "--face", "no-such-face.jpg", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"s2v: .+\n", err) and "no-such-face" not in err
