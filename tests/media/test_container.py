"""Opening files from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from streaming.media import chirp, write_sound

from s2v.media.container import FORMATS, UnreadableError, opened


def test_every_format_on_the_list_is_one_that_ffmpeg_has() -> None:
    assert len(FORMATS.split(",")) == len(set(FORMATS.split(",")))
    for name in FORMATS.split(","):
        assert av.ContainerFormat(name, "r").is_input


@pytest.mark.parametrize("elsewhere", ["hls", "concat", "sdp", "dash", "rtsp", "image2", "lavfi", "alsa", "vobsub"])
def test_what_reads_elsewhere_is_not_on_the_list(elsewhere: str) -> None:
    assert elsewhere not in FORMATS.split(",")


def test_a_step_that_stands_still_ends_the_reading(tmp_path: Path) -> None:
    goes_on = threading.Event()

    def frames() -> Iterator[int]:
        yield 1
        goes_on.wait()
        yield 2

    path = write_sound(tmp_path / "a.wav", chirp(0.1, 16_000), 16_000)
    with pytest.raises(UnreadableError, match="nothing came"), opened(path, patience_s=0.5) as media:
        steps = media.each(frames(), batch=1)
        assert next(steps) == 1
        next(steps)
    goes_on.set()


def test_what_came_before_a_failure_is_given_first(tmp_path: Path) -> None:
    def frames() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("the disk is gone")

    path = write_sound(tmp_path / "a.wav", chirp(0.1, 16_000), 16_000)
    given = []
    with opened(path) as media, pytest.raises(OSError, match="the disk is gone"):
        for value in media.each(frames(), batch=2):
            given.append(value)
    assert given == [1, 2, 3]
