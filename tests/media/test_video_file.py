"""Videos as a player shows them, and files that only look like videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from films import numbered
from numpy.typing import NDArray
from streaming.media import chirp, write_sound

from s2v.errors import DataError
from s2v.media.pictures.orientation import as_shown, upright
from s2v.media.video_file import read_sound, read_video

RATE_HZ = 16_000
RED, GREEN, BLUE, WHITE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)
# (degrees counter-clockwise, mirrored left to right, upside down) -> what stands in the four corners then
SHOWN = {
    (0, False, False): "RGBW",
    (90, False, False): "GWRB",
    (180, False, False): "WBGR",
    (270, False, False): "BRWG",
    (0, True, False): "GRWB",
    (0, False, True): "BWRG",
    (90, True, False): "WGBR",
    (90, False, True): "RBGW",
}


def _quarters() -> NDArray[np.uint8]:
    """96x64: red and green above blue and white."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48], picture[32:, 48:] = RED, GREEN, BLUE, WHITE
    return picture


def _film(
    path: Path,
    turned: tuple[int, bool, bool] = (0, False, False),
    pixel: Fraction | None = None,
    codec: str = "libx264",
    silence_at_s: float | None = None,
) -> Path:
    """Three pictures and 0.2 s of sound, with what a camera says of how to show them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        if pixel is not None:
            video.codec_context.sample_aspect_ratio = pixel
        if any(turned):
            video.set_display_rotation(*turned)
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(_quarters(), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start_s in (0.0, *([] if silence_at_s is None else [silence_at_s])):
            part = av.AudioFrame.from_ndarray(chirp(0.2, RATE_HZ)[None], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = RATE_HZ, round(start_s * RATE_HZ), Fraction(1, RATE_HZ)
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def _corners(picture: NDArray[np.uint8]) -> str:
    height, width = picture.shape[:2]
    at = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    names: dict[tuple[int, ...], str] = {RED: "R", GREEN: "G", BLUE: "B", WHITE: "W"}
    return "".join(names[tuple(255 * int(value > 128) for value in picture[place])] for place in at)


def _first(path: Path) -> NDArray[np.uint8]:
    return next(read_video(path).frames())


@pytest.mark.parametrize("turned", SHOWN)
def test_a_video_is_turned_and_mirrored_as_its_camera_says(tmp_path: Path, turned: tuple[int, bool, bool]) -> None:
    picture = _first(_film(tmp_path / "a.mp4", turned))
    assert _corners(picture) == SHOWN[turned]
    assert picture.shape == ((96, 64, 3) if turned[0] % 180 else (64, 96, 3))


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_other_containers_say_it_too(tmp_path: Path, suffix: str) -> None:
    assert _corners(_first(_film(tmp_path / f"a.{suffix}", (270, False, False)))) == "BRWG"


def test_a_turn_that_is_not_quite_a_quarter_is_taken_for_one() -> None:
    near = 200, 65_500, -65_500, 200
    assert _corners(upright(_quarters(), near)) == _corners(upright(_quarters(), (0, 65_536, -65_536, 0)))


@pytest.mark.parametrize(
    ("pixel", "turn", "shape"),
    [
        (Fraction(4, 3), 0, (64, 128, 3)),
        (Fraction(1, 2), 0, (128, 96, 3)),  # stretched, never squeezed: no line is lost
        (Fraction(4, 3), 90, (128, 64, 3)),  # first the shape of the stored pixels, then the turn
        (Fraction(1, 500), 0, (64, 96, 3)),
    ],
)
def test_pixels_become_square(tmp_path: Path, pixel: Fraction, turn: int, shape: tuple[int, int, int]) -> None:
    assert _first(_film(tmp_path / "a.mp4", (turn, False, False), pixel)).shape == shape


@pytest.mark.parametrize("turn", [0, 90])
def test_a_large_picture_is_made_small_before_its_colours_are_converted_and_shows_the_same(
    tmp_path: Path, turn: int
) -> None:
    with av.open(str(_film(tmp_path / "a.mp4", (turn, False, False), Fraction(4, 3)))) as container:
        frame = next(container.decode(video=0))
        whole, small = as_shown(frame, 4 / 3), as_shown(frame, 4 / 3, 40)
    assert _corners(small) == _corners(whole)
    assert small.shape == ((40, 20, 3) if turn else (20, 40, 3))


def test_broadcast_video_is_not_squeezed(tmp_path: Path) -> None:
    film = _film(tmp_path / "a.ts", pixel=Fraction(4, 3), codec="mpeg2video")
    height, width = _first(film).shape[:2]
    assert width / height == pytest.approx(96 * 4 / 3 / 64, rel=0.12)  # its header knows but a few shapes


def test_pictures_keep_their_moments_whose_container_stamps_packets_only(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "3", "crf": "16"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        assert isinstance(sound, av.AudioStream)
        for index, picture in enumerate(numbered(20)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        whole = av.AudioFrame.from_ndarray(np.zeros((1, round(0.8 * RATE_HZ)), np.int16), format="s16", layout="mono")
        whole.sample_rate = RATE_HZ
        container.mux(sound.encode(whole))
    shown = [(float(picture.mean()), round(time_s, 6)) for picture, time_s in read_video(path).timed_frames()]
    assert [time_s for _, time_s in shown] == [round((number + 0.5) / 25, 6) for number in range(20)]
    assert [round((grey - shown[0][0]) / 5) for grey, _ in shown] == list(range(20))


def test_a_film_of_high_definition_that_does_not_name_its_colours_has_those_of_its_kind() -> None:
    """Players take BT.709 for it; BT.601 would be off by thirty levels."""
    red = np.full((720, 64, 3), (40, 40, 200), np.uint8)
    frame = av.VideoFrame.from_ndarray(red, format="bgr24").reformat(format="yuv420p", dst_colorspace="ITU709")
    frame.colorspace = 2  # unspecified
    for side in (None, 360):
        assert np.abs(as_shown(frame, max_side_px=side).astype(int) - (40, 40, 200)).max() <= 5


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(_quarters(), format="bgr24").reformat(format="yuvj420p")))
        part = av.AudioFrame.from_ndarray(chirp(0.2, RATE_HZ)[None], format="fltp", layout="mono")
        part.sample_rate, part.pts = RATE_HZ, 0
        container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    with pytest.raises(DataError, match="needs both a picture and a sound track"):
        read_video(path)
    assert len(read_sound(path)) == pytest.approx(0.2 * RATE_HZ, abs=1024)


def test_a_stamp_hours_away_is_damage_and_not_hours_of_silence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="time stamps are damaged"):
        read_video(_film(tmp_path / "a.mkv", silence_at_s=7200.0))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile.ts\n"),
        ("b.mp4", "ffconcat version 1.0\nfile a.mp4\n"),
        ("c.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"),
    ],
)
def test_what_names_other_places_is_no_video(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"no format of sound or video|cannot be decoded"):
        read_video(tmp_path / name)


def test_a_colon_in_a_folder_makes_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b:c").mkdir()
    _film(tmp_path / "b:c" / "x:y.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(read_video(Path("b:c/x:y.mp4")).frames())) == 3


def test_sound_without_an_end_in_sight_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2v.media.video_file._MAX_S", 1)
    write_sound(tmp_path / "a.wav", chirp(1.2, RATE_HZ), RATE_HZ)
    with pytest.raises(DataError, match="longer than 1 s, the most this reads: cut it in pieces"):
        read_sound(tmp_path / "a.wav")
