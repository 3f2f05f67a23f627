"""WAV files whose header was written when the recording began, and not again when it had ended.

FFmpeg reads on where the length is 0 or larger than the file; any other length it believes.
"""

from __future__ import annotations

import struct
from pathlib import Path

_MOST_CHUNKS = 100


def ends_too_early(path: Path) -> bool:
    """Whether more stands behind a WAV file's sound than in it, and that is no chunk: it is sound, too.

    Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (1991), chapter 2.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        riff, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if (riff, kind) != (b"RIFF", b"WAVE"):
            return False
        for _ in range(_MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8:
                return False
            name, length = struct.unpack("<4sI", header)
            end = file.tell() + length + length % 2
            if name == b"data":
                file.seek(end)
                return size - end > length and not _is_chunk(file.read(8), size - end)
            file.seek(end)
    return False


def _is_chunk(header: bytes, rest: int) -> bool:
    """Whether a chunk can begin like this, with so many bytes left in the file."""
    name, length = struct.unpack("<4sI", header.ljust(8, b"\0"))
    return all(32 <= letter < 127 for letter in name) and length <= rest - 8
