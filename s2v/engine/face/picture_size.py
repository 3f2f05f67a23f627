"""How large a picture is, read from its header: a small file may unpack to gigabytes."""

from __future__ import annotations

import struct
import zlib

_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's "start of frame" markers


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a jpg, png or webp file; None where it is none of them or is seen to be damaged.

    Not from Pillow: its limit is a setting of the whole process, it does not tell how large what exceeds it is, and
    machines with nothing but NumPy and OpenCV have none.
    Sources: ISO 15948 (PNG) 11.2.2; ITU-T T.81 (JPEG) B.2.2; RFC 9649 (WebP) 2.5 to 2.7.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return struct.unpack_from(">II", data, 16) if _is_whole_png(data) else None
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):  # it ends within the header
        pass
    return None


def _is_whole_png(data: bytes) -> bool:
    """Whether it has an end, and right checksums up to there: OpenCV's decoder writes to stderr about any other."""
    view, at = memoryview(data), 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        is_critical = kind[:1].isupper()
        if is_critical and zlib.crc32(view[at + 4 : at + 8 + length]) != checksum:
            return False
        if kind == b"IEND":
            return True
        at += 12 + length


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        # A marker may be preceded by any number of fill bytes 0xFF.
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    return None
