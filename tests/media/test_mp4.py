from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.media import chirp, shift_samples

from s2v.errors import OutputError
from s2v.media.audio_file import read_audio
from s2v.media.mp4 import FILE_PIXELS, Encoding, Mp4Writer

WIDTH_PX, HEIGHT_PX, FPS = 160, 128, 25


def _picture(level: int = 0) -> NDArray[np.uint8]:
    """Four flat coloured quarters, the first one `level` brighter."""
    picture = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    picture[:64, :80] = (40 + level, 90 + level, 200)
    picture[:64, 80:] = (250, 250, 250)
    picture[64:, :80] = (200, 60, 30)
    picture[64:, 80:] = (90, 140, 180)
    return picture


def _write(path: Path, seconds: float, chunk: int = 5000, encoding: Encoding | None = None) -> NDArray[np.float32]:
    """A file as `generate` writes one; returns the voice in it."""
    voice = chirp(seconds, 48_000)
    with Mp4Writer(path, WIDTH_PX, HEIGHT_PX, FPS, 48_000, encoding) as writer:
        for start in range(0, len(voice), chunk):
            writer.write_audio(voice[start : start + chunk])
        for frame in range(-(-len(voice) * FPS // 48_000)):
            writer.write_video(_picture(level=frame % 50))
    return voice


def _frames(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def _bgr(frame: av.VideoFrame) -> NDArray[np.float64]:
    """By the formula of ITU-R BT.709, limited range; (h, w, 3) in 0..255, not rounded."""
    planes = frame.to_ndarray().astype(float)
    luma = (planes[:HEIGHT_PX] - 16) / 219
    blue, red = (planes[HEIGHT_PX:].reshape(2, HEIGHT_PX // 2, WIDTH_PX // 2) - 128) / 224
    blue, red = (np.kron(plane, np.ones((2, 2))) for plane in (blue, red))
    green = luma - (0.2126 * 1.5748 * red + 0.0722 * 1.8556 * blue) / 0.7152
    return 255 * np.stack([luma + 1.8556 * blue, green, luma + 1.5748 * red], axis=-1)


def _time(frame: av.VideoFrame) -> Fraction:
    assert frame.pts is not None and frame.time_base is not None
    return frame.pts * frame.time_base


@pytest.mark.parametrize("seconds", [0.01, 0.04, 1.0, 2.2537])
def test_every_frame_and_every_sample_comes_back_at_its_time(tmp_path: Path, seconds: float) -> None:
    voice = _write(tmp_path / "a.mp4", seconds)
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.start_time, audio.start_time) == (0, 0)
        assert audio.duration == len(voice)
        assert audio.time_base == Fraction(1, 48_000)
        assert video.duration is not None and video.time_base is not None
        assert video.duration * video.time_base == Fraction(-(-len(voice) * FPS // 48_000), FPS)
    frames = _frames(tmp_path / "a.mp4")
    assert [_time(frame) * FPS for frame in frames] == list(range(len(frames)))
    clip = read_audio(tmp_path / "a.mp4")
    assert len(clip.pcm_48k) - len(voice) in (0, 1, 2)
    if seconds >= 1:
        assert shift_samples(clip.pcm_48k, voice) == 0


def test_frames_come_back_in_order_and_in_their_colours(tmp_path: Path) -> None:
    _write(tmp_path / "a.mp4", 0.8, encoding=Encoding(crf=1))
    differences = []
    for number, frame in enumerate(_frames(tmp_path / "a.mp4")):
        found, drawn = _bgr(frame), _picture(level=number)
        for row in (slice(8, 56), slice(72, 120)):
            for column in (slice(8, 72), slice(88, 152)):  # flat parts, away from the seams
                differences.append(found[row, column].mean((0, 1)) - drawn[row, column].mean((0, 1)))
    assert np.abs(differences).max() < 2  # a step of the 8-bit blue difference is 2.1 levels
    assert np.abs(np.mean(differences, axis=0)).max() < 0.4  # nothing is darker or tinted as a whole


def test_every_pixel_is_converted_as_the_standard_says(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (62, 90, 3), np.uint8)  # rows that a codec pads
    with Mp4Writer(tmp_path / "a.mp4", 90, 62, FPS, encoding=Encoding(crf=0)) as writer:  # lossless
        writer.write_video(noise)
    planes = _frames(tmp_path / "a.mp4")[0].to_ndarray().astype(float)
    blue, green, red = np.moveaxis(noise / 255, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert np.abs(planes[:62] - (16 + 219 * luma)).max() < 1
    for part, colour, widest in ((0, blue, 1.8556), (1, red, 1.5748)):
        difference = (128 + 224 * (colour - luma) / widest).reshape(31, 2, 45, 2).mean((1, 3))
        assert np.abs(planes[62:].reshape(2, 31, 45)[part] - difference).max() < 1.2


def test_frames_that_are_converted_already_are_written_as_they_are(tmp_path: Path) -> None:
    assert FILE_PIXELS == "i420-bt709"
    noise = np.random.default_rng(0).integers(16, 236, (93, 90), np.uint8)
    with Mp4Writer(tmp_path / "a.mp4", 90, 62, FPS, encoding=Encoding(crf=0)) as writer:  # lossless
        writer.write_video(noise)
    np.testing.assert_array_equal(_frames(tmp_path / "a.mp4")[0].to_ndarray(), noise)


def test_players_are_told_the_colours_and_can_start_at_once(tmp_path: Path) -> None:
    _write(tmp_path / "a.mp4", 0.4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)  # BT.709
        assert context.color_range == 1  # limited
        assert container.streams.audio[0].codec_context.codec.name == "aac"
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    _write(tmp_path / "a.mp4", 0.1)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"].startswith("Synthetic: generated by speech2vid")
        assert "Synthetic" in container.metadata["title"]


def test_how_sound_is_cut_into_chunks_does_not_matter(tmp_path: Path) -> None:
    _write(tmp_path / "a.mp4", 0.5, chunk=24_000)
    _write(tmp_path / "b.mp4", 0.5, chunk=777)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.mp4").pcm_48k, read_audio(tmp_path / "b.mp4").pcm_48k)


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Mp4Writer(tmp_path / "a.mp4", WIDTH_PX, HEIGHT_PX, FPS) as writer:
            writer.write_video(_picture())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_under_the_name_until_it_is_whole(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "a.mp4", WIDTH_PX, HEIGHT_PX, FPS) as writer:
        writer.write_video(_picture())
        assert not (tmp_path / "a.mp4").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_file_that_exists_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    old = tmp_path / "a.mp4"
    old.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--force"):
        Mp4Writer(old, WIDTH_PX, HEIGHT_PX, FPS)
    assert old.read_bytes() == b"precious"
    _write(old, 0.1, encoding=Encoding(overwrite=True))
    assert len(_frames(old)) == 3
    link = tmp_path / "link.mp4"
    link.symlink_to("a disk that is not there.mp4")
    with pytest.raises(OutputError, match="--force"):
        Mp4Writer(link, WIDTH_PX, HEIGHT_PX, FPS)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = Mp4Writer(tmp_path / "a.mp4", WIDTH_PX, HEIGHT_PX, FPS)
    writer.write_video(_picture())
    writer.close()
    writer.close()
    writer.abort()
    assert len(_frames(tmp_path / "a.mp4")) == 1


def test_the_umask_decides_who_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        _write(tmp_path / "a.mp4", 0.1)
    finally:
        os.umask(before)
    assert (tmp_path / "a.mp4").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.avi", r"name it a\.mp4"),
        ("a", r"name it a\.mp4"),
        ("no/a.mp4", "there is no folder"),
        ("dir.mp4", "is a folder"),
    ],
)
def test_an_impossible_path_is_refused_in_one_line(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(OutputError, match=expected) as refusal:
        Mp4Writer(tmp_path / name, WIDTH_PX, HEIGHT_PX, FPS)
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["dir.mp4"]


def test_an_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="161x128"):
        Mp4Writer(tmp_path / "a.mp4", 161, 128, FPS)


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        Mp4Writer(tmp_path / "a.mp4", WIDTH_PX, HEIGHT_PX, FPS) as writer,
        pytest.raises(OutputError, match="wants"),
    ):
        writer.write_video(np.zeros((WIDTH_PX, HEIGHT_PX, 3), np.uint8))


@pytest.mark.parametrize("wrong", [{"crf": 52}, {"crf": -1}, {"preset": "quick"}])
def test_an_encoding_that_x264_does_not_know_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match=str(next(iter(wrong.values())))):
        Encoding(**wrong)


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from s2v.errors import OutputError
from s2v.media.mp4 import Mp4Writer

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
noise = np.random.default_rng(0).integers(0, 256, (60, 128, 160, 3), dtype=np.uint8)
try:
    with Mp4Writer(Path(sys.argv[1]), 160, 128, 25) as writer:
        writer.write_audio(np.zeros(48_000, np.float32))
        for frame in noise:
            writer.write_video(frame)
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file size are POSIX")
@pytest.mark.parametrize("limit", [0, 20_000, 400_000])
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands for the full disk: the same failing write."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.mp4"), str(limit)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith(f"cannot write {tmp_path / 'a.mp4'}")
    assert outcome.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
