"""Small films that tests make, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image


def write_film(
    path: Path,
    pictures: Sequence[Image],
    rate: Fraction | int = 25,
    stamps_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """A film without sound. Args: stamps_ms: when each picture is shown, instead of evenly."""
    gif = codec == "gif"
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options or ({} if gif else {"crf": "16"}))
        assert isinstance(video, av.VideoStream)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "rgb8" if gif else "yuv420p"
        if stamps_ms is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, 1 / Fraction(rate)
            if stamps_ms is not None:
                frame.pts, frame.time_base = stamps_ms[index], Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def read_film(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]


def numbered(n: int, width: int = 64, height: int = 48) -> list[Image]:
    """Pictures of one grey each, dark to light: `number_of` reads which it is."""
    return [np.full((height, width, 3), 40 + 5 * number, np.uint8) for number in range(n)]


def number_of(picture: Image) -> int:
    return round((float(picture.mean()) - 40) / 5)


def moved(photo: Image, angle_degrees: float, scale: float, shift: tuple[float, float]) -> tuple[Image, Points]:
    """A photo turned and scaled about its middle, then shifted by pixels; and the (2, 3) map that does it."""
    height, width = photo.shape[:2]
    way = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle_degrees, scale), np.float64)
    way[:, 2] += shift
    picture = cv2.warpAffine(photo, way, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8), way
