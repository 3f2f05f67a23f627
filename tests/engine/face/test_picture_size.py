from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.face.picture_size import picture_size

SIDES = st.integers(1, 400)
LOSSY_WEBP, LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_QUALITY, 50], [cv2.IMWRITE_WEBP_QUALITY, 101]
ENCODINGS: list[tuple[str, list[int], int]] = [
    (".png", [], 3),
    (".png", [], 4),
    (".jpg", [], 3),
    (".jpg", [], 1),
    (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], 3),
    (".webp", LOSSY_WEBP, 3),
    (".webp", LOSSY_WEBP, 4),
    (".webp", LOSSLESS_WEBP, 3),
]


def encoded(suffix: str, options: list[int], channels: int, width: int, height: int) -> bytes:
    picture = np.full((height, width, channels), 77, np.uint8)
    picture[..., -1] = np.arange(width) % 250  # transparency that cannot be left out
    return cv2.imencode(suffix, picture, options)[1].tobytes()


@pytest.mark.parametrize(("suffix", "options", "channels"), ENCODINGS)
@settings(max_examples=8, deadline=None)
@given(width=SIDES, height=SIDES)
def test_the_header_tells_the_size(suffix: str, options: list[int], channels: int, width: int, height: int) -> None:
    assert picture_size(encoded(suffix, options, channels, width, height)) == (width, height)


def test_other_formats_have_no_size() -> None:
    for suffix in (".bmp", ".tiff"):
        assert picture_size(encoded(suffix, [], 3, 20, 30)) is None


def test_a_jpegs_thumbnail_is_not_taken_for_the_picture() -> None:
    thumbnail, picture = encoded(".jpg", [], 3, 16, 12), encoded(".jpg", [], 3, 160, 120)
    segment = b"Exif\0\0" + thumbnail
    with_exif = picture[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + picture[2:]
    assert picture_size(with_exif) == (160, 120)


def test_fill_bytes_between_jpeg_segments_are_skipped() -> None:
    picture = encoded(".jpg", [], 3, 160, 120)
    assert picture_size(picture[:2] + b"\xff" * 5 + picture[2:]) == (160, 120)


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X"]))
def test_garbage_raises_nothing(garbage: bytes, start: bytes) -> None:
    picture_size(start + garbage)


@pytest.mark.parametrize(("suffix", "options", "channels"), ENCODINGS)
def test_a_header_cut_short_has_no_size_or_the_right_one(suffix: str, options: list[int], channels: int) -> None:
    whole = encoded(suffix, options, channels, 160, 120)
    seen = {picture_size(whole[:n]) for n in range(len(whole))}
    assert seen == ({None} if suffix == ".png" else {None, (160, 120)})  # a PNG tells whether it is whole
