from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from s2v.media.mp4 import Mp4Writer
from s2v.media.pictures.frame_colours import bgr_of

COLOURS = [(40, 40, 40), (200, 200, 200), (60, 90, 180), (180, 120, 40), (30, 150, 60), (128, 128, 128)]


@pytest.mark.parametrize("height", [64, 720])
def test_what_our_own_writer_wrote_is_read_as_it_was(tmp_path: Path, height: int) -> None:
    pictures = [np.full((height, 64, 3), colour, np.uint8) for colour in COLOURS]
    with Mp4Writer(tmp_path / "a.mp4", 64, height, 25) as writer:
        for picture in pictures:
            writer.write_video(picture)
    with av.open(str(tmp_path / "a.mp4")) as container:
        for picture, frame in zip(pictures, container.decode(video=0), strict=True):
            assert np.abs(bgr_of(frame).astype(int) - picture).max() <= 2


@pytest.mark.parametrize(("space", "full"), [(1, False), (6, False), (9, False), (1, True), (6, True)])
def test_the_matrix_and_range_that_a_frame_names_are_used(space: int, full: bool) -> None:
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[space]
    for blue, green, red in COLOURS:
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
        values = (
            (luma, 128 + cb, 128 + cr) if full else (16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255)
        )
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.colorspace, frame.color_range = space, 2 if full else 1
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(np.full(plane.buffer_size, round(value), np.uint8).tobytes())
        assert np.abs(bgr_of(frame).astype(int) - (blue, green, red)).max() <= 2


def test_other_formats_are_read_too() -> None:
    picture = np.full((32, 32, 3), (40, 80, 160), np.uint8)
    for name in ("yuv444p", "yuv422p10le", "bgr24", "gray"):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=name)
        assert bgr_of(frame).shape == (32, 32, 3)


def test_odd_sides_are_kept() -> None:
    frame = av.VideoFrame.from_ndarray(np.full((33, 35, 3), 90, np.uint8), format="bgr24").reformat(format="yuv420p")
    assert bgr_of(frame).shape == (33, 35, 3)
