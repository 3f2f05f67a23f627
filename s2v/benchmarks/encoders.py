"""Where drawn frames go: the encoders of a call and of a file, as `s2v live` and `s2v generate` use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from s2v.benchmarks.stopwatch import Stopwatch
from s2v.engine.lipsync import DrawnFrame
from s2v.media.mp4 import Mp4Writer
from s2v.streaming.session.tracks import video_frame
from s2v.streaming.webrtc.aiortc_internals import Vp8Encoder

Encode = Callable[[DrawnFrame], object]


def live_encoder(watch: Stopwatch, convert_stage: str, encode_stage: str, fps: int) -> Encode:
    """What happens to a picture of a call, at the bit rate that a call begins with."""
    convert = watch.timed(convert_stage, video_frame)
    encode = watch.timed(encode_stage, Vp8Encoder().encode)

    def send(frame: DrawnFrame) -> None:
        picture = convert(frame.pixels)
        picture.pts, picture.time_base = frame.index, Fraction(1, fps)
        encode(picture)

    return send


@contextmanager
def file_encoder(watch: Stopwatch, stage: str, size_px: tuple[int, int], fps: int) -> Iterator[Encode]:
    """An mp4 in a folder for the moment, without sound; conversion to BT.709 and muxing are a part of it."""
    with (
        TemporaryDirectory(prefix="s2v-bench-") as folder,
        Mp4Writer(Path(folder) / "stages.mp4", *size_px, fps) as mp4,
    ):
        write = watch.timed(stage, mp4.write_video)
        yield lambda frame: write(frame.pixels)
