"""A server's certificate: what lets browsers on other machines give it their microphone."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from s2v.errors import StreamError


def server_context(certfile: Path, keyfile: Path | None = None) -> ssl.SSLContext:
    """A context that serves with this certificate (PEM, with the chain behind it).

    Args:
        keyfile: its private key, PEM without a passphrase; None where it is in `certfile` too.
    Raises: StreamError, a file is missing, not PEM, locked, or the two do not belong together.
    """
    for option, path in (("--certfile", certfile), ("--keyfile", keyfile)):
        if path is not None and not path.is_file():
            raise StreamError(f"there is no file {path}: check {option}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    key = keyfile or certfile
    try:
        context.load_cert_chain(certfile, keyfile, _refuse_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StreamError(f"{key} is not the key of {certfile}: give the pair that was made together") from None
        if not _holds(certfile, b"CERTIFICATE-----"):
            raise StreamError(f"{certfile} holds no PEM certificate: check --certfile") from None
        if not _holds(key, b"PRIVATE KEY-----"):
            raise StreamError(f"{key} holds no PEM private key: check --keyfile") from None
        raise StreamError(f"{certfile} and {key} cannot be used ({error.reason or error}): make them again") from None
    except OSError as error:
        raise StreamError(f"cannot read {certfile} and {key} ({error.strerror}): check their permissions") from None
    return context


def _refuse_passphrase() -> NoReturn:
    raise StreamError("the private key has a passphrase, and nobody to ask: remove it with `openssl pkey -in KEY`")


def _holds(path: Path, mark: bytes) -> bool:
    return mark in path.read_bytes()
