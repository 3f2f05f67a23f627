"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it gets the name at the end, or is removed if that is never reached."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file in one go, text as UTF-8."""
    with written_whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
