"""Films that drop pictures, have another rate or lose sound are measured on the axis of the sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from s2v.errors import DataError
from s2v.media.video_file import read_video
from s2v.training.extract.face_cuts import cut_to_faces
from s2v.training.extract.feature_file import load_features, save_features
from s2v.training.extract.time_axis import distinct_pictures, frame_middles_s, on_frames

RATE_HZ = 16_000
SIZE_PX = 64


def wandering_bar(time_s: float) -> np.ndarray:
    """A soft bright bar that wanders at 30 px a second."""
    bar = 255 * np.exp(-((np.arange(SIZE_PX) - (8 + 30 * time_s)) ** 2) / 4)
    return np.broadcast_to(np.round(bar).astype(np.uint8)[None, :, None], (SIZE_PX, SIZE_PX, 3)).copy()


def write_film(
    path: Path,
    stamps_s: list[float],
    exposure_s: float,
    pcm: np.ndarray,
    sound_from_s: float = 0.0,
    picture_from_s: float = 0.0,
    hole_s: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """A film of the bar with these time stamps, each picture of the middle of its exposure; sound with a hole."""
    with av.open(str(path), "w") as container:
        codec = "libx264" if path.suffix == ".mp4" else "ffv1"
        video = container.add_stream(codec, rate=25, options={"crf": "10"} if codec == "libx264" else {})
        assert isinstance(video, VideoStream)
        video.width = video.height = SIZE_PX
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", rate=RATE_HZ, layout="mono")
        assert isinstance(sound, AudioStream)
        for stamp_s in stamps_s:
            frame = av.VideoFrame.from_ndarray(wandering_bar(stamp_s + exposure_s / 2), format="bgr24")
            frame.pts, frame.time_base = round((stamp_s + picture_from_s) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        step = 1024
        for start in range(0, len(pcm), step):
            if hole_s[0] <= start / RATE_HZ < hole_s[1]:
                continue
            block = np.ascontiguousarray(pcm[None, start : start + step])
            if path.suffix == ".mp4":
                heard = av.AudioFrame.from_ndarray(block.astype(np.float32) / 32768, format="fltp", layout="mono")
            else:
                heard = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            heard.sample_rate, heard.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            heard.pts = start + round(sound_from_s * RATE_HZ)
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return path


def clicks(seconds: float, at_s: float) -> np.ndarray:
    pcm = np.zeros(round(seconds * RATE_HZ), np.int16)
    pcm[round(at_s * RATE_HZ) : round((at_s + 0.2) * RATE_HZ)] = 20_000
    return pcm


def bar_of(picture: np.ndarray) -> float:
    lit = np.clip(picture[..., 0].astype(float).mean(0) - 40, 0, None)
    return float((lit * np.arange(SIZE_PX)).sum() / lit.sum())


def bar_on_frames(path: Path) -> np.ndarray:
    """Where the bar was in the middle of each frame, from the film's pictures and their moments."""
    pictures, times_s = zip(*read_video(path).timed_frames(), strict=True)
    bars = np.array([bar_of(picture) for picture in pictures])
    landmarks = np.zeros((len(bars), 478, 3))
    landmarks[..., 0] = bars[:, None]
    return on_frames(bars, landmarks, np.array(times_s), 25)


# A webcam of 30 pictures a second in bad light: some are dropped, twice several in a row.
DROPPED = [n / 30 for n in range(45) if n % 7 not in (3, 4) and n not in (20, 21, 22)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("picture_from_s", [0.0, 0.4])
def test_a_film_that_drops_pictures_moves_as_what_was_filmed(
    tmp_path: Path, suffix: str, picture_from_s: float
) -> None:
    film = tmp_path / f"a{suffix}"
    bars = bar_on_frames(write_film(film, DROPPED, 1 / 30, clicks(2.4, 1.0), picture_from_s=picture_from_s))
    filmed = 8 + 30 * frame_middles_s(len(bars), 25)
    assert len(bars) >= 37
    within = slice(0, 36)  # the last picture has no next one to draw through to
    # A pixel is a thirtieth of a second: held pictures would be up to four of them late.
    assert np.abs(bars[within] - filmed[within]).max() < 0.5
    assert np.abs(np.diff(bars[within]) - 30 / 25).max() < 0.5  # and none stands still and then leaps


@pytest.mark.parametrize("fps", [12, 15, 24, 30, 60])
def test_a_film_of_another_rate_is_neither_late_nor_early(tmp_path: Path, fps: int) -> None:
    stamps_s = [n / fps for n in range(round(1.4 * fps))]
    bars = bar_on_frames(write_film(tmp_path / "a.mkv", stamps_s, 1 / fps, clicks(1.4, 0.5)))
    assert len(bars) == 35
    off = (bars - (8 + 30 * frame_middles_s(35, 25)))[2:-2]
    assert abs(off.mean()) < 0.05
    assert np.abs(off).max() < 0.25  # a hundredth of a second


def test_the_last_picture_of_a_slow_film_stays_for_its_whole_time(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mkv", [0.0, 0.2, 0.4], 0.2, clicks(1.0, 0.5))
    assert len(list(read_video(film).frames())) == 15  # 0.6 s


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("sound_from_s", "picture_from_s"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.2, 0.5)])
def test_sound_keeps_its_distance_to_the_first_picture(
    tmp_path: Path, suffix: str, sound_from_s: float, picture_from_s: float
) -> None:
    stamps_s = [n / 25 for n in range(50)]
    film = write_film(tmp_path / f"a{suffix}", stamps_s, 0.04, clicks(2.0, 1.0), sound_from_s, picture_from_s)
    click_s = np.flatnonzero(read_video(film).pcm > 10_000)[0] / RATE_HZ
    assert click_s == pytest.approx(1.0 + sound_from_s - picture_from_s, abs=0.003)


def test_sound_that_was_lost_is_silence_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    stamps_s = [n / 25 for n in range(50)]
    pcm = clicks(2.0, 0.1) + clicks(2.0, 1.5)
    film = write_film(tmp_path / "a.mkv", stamps_s, 0.04, pcm, hole_s=(0.5, 1.2))
    heard = read_video(film).pcm
    assert len(heard) == pytest.approx(2 * RATE_HZ, abs=16)
    late = np.flatnonzero(heard[RATE_HZ:] > 10_000)[0] / RATE_HZ + 1
    assert late == pytest.approx(1.5, abs=0.002)
    assert np.flatnonzero(heard > 10_000)[0] / RATE_HZ == pytest.approx(0.1, abs=0.002)
    assert not heard[round(0.65 * RATE_HZ) : round(1.1 * RATE_HZ)].any()


def test_a_picture_that_the_film_repeats_is_one_picture() -> None:
    landmarks = np.arange(6.0).repeat(478 * 3).reshape(6, 478, 3)
    landmarks[3] = landmarks[2]  # its maker repeated a picture: another moment, the same landmarks
    times_s = frame_middles_s(6, 25)
    times_s[5] = times_s[4]  # a player repeats a picture: the same moment
    assert distinct_pictures(landmarks, times_s).tolist() == [0, 1, 2, 4]
    opening = np.array([0.0, 1.0, 2.0, 2.0, 4.0, 4.0])
    np.testing.assert_allclose(on_frames(opening, landmarks, times_s, 25), [0, 1, 2, 3, 4, 4])


def test_a_film_of_the_right_rate_is_taken_as_it_is() -> None:
    values = np.random.default_rng(0).standard_normal((9, 4, 3))
    landmarks = np.random.default_rng(1).standard_normal((9, 478, 3))
    np.testing.assert_allclose(on_frames(values, landmarks, frame_middles_s(9, 25), 25), values, atol=1e-12)
    np.testing.assert_allclose(on_frames(values[:1], landmarks[:1], np.array([0.02]), 25), values[:1])


def test_moments_are_kept_with_the_features_and_of_old_files_they_are_the_middles(tmp_path: Path) -> None:
    frames = [np.full((40, 40, 3), value, np.uint8) for value in (10, 90, 200)]
    landmarks = np.random.default_rng(0).uniform(5, 30, (3, 478, 3)).astype(np.float32)
    times_s = np.array([0.0, 0.05, 0.07])
    save_features(
        tmp_path / "s" / "a.npz",
        cut_to_faces(frames, landmarks),
        landmarks,
        np.zeros(1920, np.int16),
        "s",
        times_s=times_s,
    )
    clip = load_features(tmp_path / "s" / "a.npz", tmp_path)
    np.testing.assert_array_equal(clip.times_s, times_s)
    np.testing.assert_allclose(clip.on_frames(np.array([0.0, 5.0, 7.0])), [2, 6, 7])
    stored = dict(np.load(tmp_path / "s" / "a.npz"))
    del stored["times_s"]
    np.savez(tmp_path / "s" / "b.npz", **stored)
    old = load_features(tmp_path / "s" / "b.npz", tmp_path)
    np.testing.assert_allclose(old.times_s, [0.02, 0.06, 0.10])
    np.savez(tmp_path / "s" / "c.npz", **stored, times_s=times_s[:2])
    with pytest.raises(DataError, match=r"c\.npz is not a feature file \(2 moments for 3 frames\)"):
        load_features(tmp_path / "s" / "c.npz", tmp_path)
