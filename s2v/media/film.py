"""A film's pictures, read twice: once in order, then in whatever order they are shown, backwards too.

film = Film(Path("talk.mp4"))
for picture in film.watch(until_s=10.0): ...   # notes when each is shown
for picture in film.shown([0, 1, 2, 1, 0]): ...
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.photo import Image
from s2v.errors import FaceError
from s2v.media.container import MediaFile, UnreadableError, opened
from s2v.media.pictures.frame_colours import bgr_of
from s2v.media.pictures.orientation import FilmMatrix, as_watched, pixel_elongation
from s2v.media.pictures.picture_clock import PictureClock

MAX_PIXELS = 4096 * 2304
_BACKWARD_BYTES = 256 << 20  # pictures that are held to be shown backwards
_LEAST_HELD = 12
_USUAL = tuple(Fraction(n) for n in (24, 25, 30, 48, 50, 60)) + tuple(Fraction(n * 1000, 1001) for n in (24, 30, 60))
_ROUNDED_OFF = 0.0004  # less than half of what 60 and 59.94 differ by
_OFF_FRAMES = 0.45  # of its even place that a picture of a constant rate may be
_SLOWEST_HZ, _LEAST_HZ = 20, 24  # slower films show every picture several times: lips need more
_FASTEST_HZ = 120
# How photos begin that FFmpeg may take for films; and what HEIF and AVIF photos call themselves.
_PHOTO_STARTS = (b"\xff\xd8", b"\x89PNG", b"BM")
_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv")
_PHOTO_BRANDS = (b"avi", b"hei", b"hev", b"mif", b"msf")


class Film:
    """One video file. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamps_s: list[float] = []  # when each picture is shown, from the first on; of `watch`
        self._pts: list[int | None] = []
        self._declared: Fraction | None = None
        self._size: tuple[int, int] | None = None
        self._matrix = FilmMatrix()

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in square pixels, upright, even. Known after the first picture."""
        assert self._size is not None
        return self._size

    def watch(self, until_s: float = float("inf")) -> Iterator[Image]:
        """The pictures that are shown before a moment, (h, w, 3) BGR, in order.

        Raises: FaceError, the film cannot be read or is too large.
        """
        self.stamps_s, self._pts = [], []
        with self._opened() as media:
            track = media.track("video")
            self._declared = Fraction(track.average_rate) if track.average_rate else None
            for frame, time_s in self._counted(media):
                if time_s >= until_s and len(self.stamps_s) > 1:  # a rate takes two
                    return
                self.stamps_s.append(time_s)
                self._pts.append(frame.pts)
                yield self._picture(frame, pixel_elongation(track))

    def shown(self, order: Sequence[int]) -> Iterator[Image]:
        """The pictures of these numbers, among those that were watched; one after the other, not to be written to.

        Raises: FaceError, the film has changed or cannot be read.
        """
        at = 0
        while at < len(order):
            end = at + 1
            while end < len(order) and order[end] == order[at]:
                end += 1
            backwards = end < len(order) and order[end] < order[at]
            while end < len(order) and (order[end] <= order[end - 1] if backwards else order[end] >= order[end - 1]):
                end += 1
            run = [(number, len(list(same))) for number, same in groupby(order[at:end])]
            pictures = self._backwards([n for n, _ in run]) if backwards else self._forwards([n for n, _ in run])
            with closing(pictures):
                for picture, (_, times) in zip(pictures, run, strict=True):
                    for _ in range(times):
                        yield picture
            at = end

    def rate(self) -> tuple[Fraction, bool]:
        """Pictures a second, and whether they are shown evenly. Of those that were watched, two or more."""
        stamps = np.array(self.stamps_s)
        measured = (len(stamps) - 1) / (stamps[-1] - stamps[0])
        candidates = [_usual(self._declared)] if self._declared else []
        candidates += sorted(_USUAL, key=lambda rate: abs(float(rate) - measured))[:1]
        candidates += [Fraction(measured).limit_denominator(1001)]
        for rate in candidates:
            off = (stamps - np.arange(len(stamps)) / float(rate)) * float(rate)
            if np.abs(off - np.median(off)).max() < _OFF_FRAMES and rate <= _FASTEST_HZ:
                return rate, True
        usual_hz = 1 / float(np.median(np.diff(stamps)))
        return min(_USUAL, key=lambda rate: abs(float(rate) - usual_hz)), False

    def _forwards(self, numbers: Sequence[int]) -> Generator[Image, None, None]:
        wanted = iter(numbers)
        number = next(wanted)
        with closing(self._from(number, numbers[-1])) as pictures:
            for found, frame, elongation in pictures:
                if found == number:
                    yield self._picture(frame, elongation)
                    number = next(wanted, -1)
        if number >= 0:
            raise self._changed()

    def _backwards(self, numbers: Sequence[int]) -> Generator[Image, None, None]:
        """In blocks that are read forwards and held."""
        width, height = self.frame_size
        block = max(_LEAST_HELD, _BACKWARD_BYTES // (3 * width * height))
        for start in range(0, len(numbers), block):
            some = numbers[start : start + block]
            held = list(self._forwards(some[::-1]))
            while held:
                yield held.pop()

    def _from(self, first: int, last: int) -> Generator[tuple[int, Any, float], None, None]:
        """Number, frame and elongation of the pictures from the first to the last; fewer, if the film has changed."""
        for way in (self._sought, self._from_start):
            if first <= last:
                with self._opened() as media, closing(way(media, first)) as found:
                    for number, frame in found:
                        yield number, frame, pixel_elongation(media.track("video"))
                        first = number + 1
                        if number == last:
                            return

    def _sought(self, media: MediaFile, first: int) -> Generator[tuple[int, Any], None, None]:
        """Pictures from the first on, one after the other, for as long as their stamps say that they are these.

        None where the container cannot be sought in, has no stamps, or has an index that leads astray.
        """
        start = self._pts[first]
        if first == 0 or start is None:
            return
        numbers = {pts: number for number, pts in enumerate(self._pts) if pts is not None}
        track = media.track("video")
        with suppress(av.error.FFmpegError):
            media.run(partial(media.container.seek, start, stream=track))
            for frame in media.each(media.container.decode(track), batch=1):
                number = numbers.get(frame.pts, -1)
                if number > first:
                    return
                if number == first:
                    yield number, frame
                    first += 1

    def _from_start(self, media: MediaFile, first: int) -> Generator[tuple[int, Any], None, None]:
        """Pictures from the first on, counted as they were when they were watched."""
        for number, (frame, _) in enumerate(self._counted(media)):
            if number >= first:
                yield number, frame

    def _counted(self, media: MediaFile) -> Generator[tuple[Any, float], None, None]:
        """A film's frames and when they are shown; not those that are shown never, as another follows at once."""
        track = media.track("video")
        clock, last_s = PictureClock(track, float(1 / self._declared) if self._declared else 0.04), -1.0
        for frame in media.each(media.container.decode(track), batch=1):
            time_s = clock.shown_s(frame)
            if time_s > last_s:
                yield frame, time_s
                last_s = time_s

    def _picture(self, frame: Any, elongation: float) -> Image:
        picture = as_watched(bgr_of(frame), elongation, self._matrix.of(frame))
        if self._size is None:
            self._size = (picture.shape[1] & ~1, picture.shape[0] & ~1)
        width, height = self._size
        if min(self._size) < 2:
            raise FaceError(f"{self.path} has pictures of {picture.shape[1]}x{picture.shape[0]} px: give a larger film")
        if (picture.shape[1] & ~1, picture.shape[0] & ~1) != self._size:  # a film that changes its size on the way
            return np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        return np.ascontiguousarray(picture[:height, :width])

    @contextmanager
    def _opened(self) -> Iterator[MediaFile]:
        try:
            with opened(self.path) as media:
                track = media.track("video")
                if track is None:
                    raise FaceError(f"{self.path} has no picture: give a photo or a film")
                if track.width * track.height > MAX_PIXELS:
                    raise FaceError(
                        f"{self.path} has {track.width}x{track.height} px; scale it below {MAX_PIXELS // 10**6} MP"
                    )
                yield media
        except UnreadableError as error:
            raise FaceError(f"{self.path} {error}: give a photo or a film, for example mp4, mov or webm") from None

    def _changed(self) -> FaceError:
        return FaceError(f"{self.path} could not be read twice alike: convert it, for example to mp4")


def _usual(rate: Fraction) -> Fraction:
    """The usual rate that one is which was reckoned from rounded stamps; itself, if it is none."""
    return next((one for one in _USUAL if abs(rate / one - 1) < _ROUNDED_OFF), rate)


def film_order(stamps_s: Sequence[float], rate: Fraction, even: bool) -> tuple[list[int], Fraction]:
    """Which picture is shown at each tick of a constant clock, once through the film, and the rate of that clock.

    Args: of `Film`: when each picture is shown; `Film.rate`.
    """
    if even:
        times = -(-_LEAST_HZ // rate) if rate < _SLOWEST_HZ else 1
        return [n for n in range(len(stamps_s)) for _ in range(int(times))], rate * int(times)
    stamps: NDArray[np.float64] = np.array(stamps_s)
    last_s = stamps[-1] + float(np.median(np.diff(stamps)))
    ticks = (np.arange(max(1, round(last_s * rate))) + 0.5) / float(rate)
    return [int(n) for n in np.searchsorted(stamps, ticks, "right") - 1], rate


def extended(order: Sequence[int], n: int, how: str) -> list[int]:
    """The first n of an order of pictures, which goes on after its end.

    Args: how: "pingpong", back and forth; "loop", from the start again; "freeze", the last picture stays.
    """
    if len(order) == 1 or how == "freeze":
        return [order[min(k, len(order) - 1)] for k in range(n)]
    if how == "loop":
        return [order[k % len(order)] for k in range(n)]
    period = 2 * len(order) - 2
    return [order[min(k % period, period - k % period)] for k in range(n)]


def is_film(path: Path) -> bool:
    """Whether a file holds moving pictures: a video, or a GIF of several pictures; or at least is called so."""
    called_so = path.suffix.lower() in _SUFFIXES
    if not path.is_file():  # a pipe may never begin
        return called_so
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return called_so
    if head.startswith(_PHOTO_STARTS) or (head[4:8] == b"ftyp" and head[8:11] in _PHOTO_BRANDS) or head[8:] == b"WEBP":
        return False
    wanted = 2 if head.startswith(b"GIF") else 1
    try:
        with opened(path) as media:
            track = media.track("video")
            if track is None:
                return called_so
            pictures = media.each(media.container.decode(track), batch=1)
            return sum(1 for _ in islice(pictures, wanted)) == wanted
    except UnreadableError:
        return called_so
