"""Films in the order in which they are shown, whatever their rate, codec and container."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from films import number_of, numbered, write_film

from s2v.errors import FaceError
from s2v.media.film import MAX_PIXELS, Film, extended, film_order, is_film

DATA = Path(__file__).parents[1] / "data"


def _watched(path: Path, until_s: float = float("inf")) -> tuple[Film, list[int]]:
    film = Film(path)
    return film, [number_of(picture) for picture in film.watch(until_s)]


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60]
)
@pytest.mark.parametrize("kind", ["mp4", "mov", "webm"])
def test_a_constant_rate_is_kept(tmp_path: Path, rate: Fraction | int, kind: str) -> None:
    codec, options = ("libvpx", {"crf": "10", "b": "2M"}) if kind == "webm" else ("libx264", {"crf": "16"})
    film, seen = _watched(write_film(tmp_path / f"a.{kind}", numbered(20), rate, codec=codec, options=options))
    assert seen == list(range(20))
    assert film.rate() == (Fraction(rate), True)
    assert film_order(film.stamps_s, *film.rate()) == (list(range(20)), rate)


def test_a_varying_rate_becomes_a_constant_one_on_the_same_clock(tmp_path: Path) -> None:
    gaps = [33, 33, 34, 100, 33, 33, 34, 200, 33, 33, 33, 33]
    stamps = [0, *np.cumsum(gaps).tolist()]
    film, _ = _watched(write_film(tmp_path / "a.mkv", numbered(len(stamps)), 30, stamps_ms=stamps))
    rate, even = film.rate()
    assert rate == 30
    assert not even
    order, fps = film_order(film.stamps_s, rate, even)
    for tick, number in enumerate(order):
        shown_ms = 1000 * (tick + 0.5) / fps
        assert stamps[number] <= shown_ms + 2
        assert number + 1 == len(stamps) or shown_ms - 2 <= stamps[number + 1]
    assert order[-1] == len(stamps) - 1


def test_a_slow_gif_shows_each_picture_several_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.gif", numbered(6), 10, codec="gif")
    film, seen = _watched(path)
    assert len(seen) == 6
    order, fps = film_order(film.stamps_s, *film.rate())
    assert fps == 30
    assert order == [n for n in range(6) for _ in range(3)]


@pytest.mark.parametrize("gop", [1, 7, 250])
@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_pictures_come_in_any_order(tmp_path: Path, kind: str, gop: int) -> None:
    codec, options = {
        "mp4": ("libx264", {"crf": "16", "g": str(gop), "bf": "3"}),
        "webm": ("libvpx", {"crf": "10", "b": "2M", "g": str(gop)}),
        "gif": ("gif", {}),
    }[kind]
    film, seen = _watched(write_film(tmp_path / f"a.{kind}", numbered(30), codec=codec, options=options))
    assert seen == list(range(30))
    for order in ([*range(30), *range(28, -1, -1), 1, 2], [5, 5, 5, 6], [29], [20, 19, 19, 3, 2, 25], [7, 3]):
        assert [number_of(picture) for picture in film.shown(order)] == order


@pytest.mark.parametrize("kind", ["avi", "ts", "h264"])
def test_pictures_come_in_any_order_whose_stamps_lie_are_missing_or_cannot_be_sought(tmp_path: Path, kind: str) -> None:
    """AVI stamps packets, not pictures; in a stream no place is found for its last pictures; H.264 has no stamps."""
    options = {"crf": "16", "g": "7", "bf": "3"}
    film, seen = _watched(write_film(tmp_path / f"a.{kind}", numbered(30), options=options))
    assert seen == list(range(30))
    assert film.rate() == (Fraction(25), True)
    for order in ([*range(30), *range(28, -1, -1)], [29], [20, 19, 3, 25]):
        assert [number_of(picture) for picture in film.shown(order)] == order


def test_a_film_that_is_read_backwards_is_held_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s2v.media.film as module

    monkeypatch.setattr(module, "_BACKWARD_BYTES", 1)
    film, _ = _watched(write_film(tmp_path / "a.mp4", numbered(30)))
    order = list(range(29, -1, -1))
    assert [number_of(picture) for picture in film.shown(order)] == order


def test_no_more_is_watched_than_is_needed(tmp_path: Path) -> None:
    _, seen = _watched(write_film(tmp_path / "a.mp4", numbered(30)), until_s=0.5)
    assert seen == list(range(13))


def test_pixels_are_square_and_sides_even(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 96, 66, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(3, 2)
        video.set_display_rotation(90, False, False)
        for picture in numbered(3, 96, 66):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(video.encode(None))
    film = Film(path)
    first = next(film.watch())
    assert film.frame_size == (first.shape[1], first.shape[0]) == (66, 144)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("pingpong", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        ("freeze", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_a_film_goes_on_after_its_end(how: str, expected: list[int]) -> None:
    assert extended([0, 1, 2, 3], 10, how) == expected
    assert extended([0, 1, 2, 3], 2, how) == [0, 1]
    assert extended([0], 3, how) == [0, 0, 0]


def test_photos_are_told_from_films(tmp_path: Path) -> None:
    assert is_film(DATA / "grid_s1_pgid5s.mp4")
    assert is_film(write_film(tmp_path / "many.gif", numbered(3), codec="gif"))
    assert not is_film(write_film(tmp_path / "one.gif", numbered(1), codec="gif"))
    for name in ("closed_lips.jpg", "on_its_side.heic", "speech.flac", "README.md", "not_there.jpg"):
        assert not is_film(DATA / name), name
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    assert is_film(tmp_path / "broken.mp4")  # called so: what is wrong with it is said of a film


def test_what_is_no_film_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    for path, words in (
        (tmp_path / "broken.mp4", "film"),
        (tmp_path / "none.mp4", "is not there"),
        (DATA / "speech.flac", "has no picture"),
    ):
        with pytest.raises(FaceError, match=words):
            list(Film(path).watch())


def test_a_huge_film_is_refused_before_a_picture_is_decoded(tmp_path: Path) -> None:
    side = 4096
    assert side * side > MAX_PIXELS
    path = write_film(tmp_path / "a.mp4", [np.zeros((side, side, 3), np.uint8)], options={"preset": "ultrafast"})
    with pytest.raises(FaceError, match="4096x4096 px; scale it below 9 MP"):
        next(Film(path).watch())


def test_a_pipe_is_no_film_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "face.jpg")
    assert not is_film(tmp_path / "face.jpg")
