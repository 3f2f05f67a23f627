"""Which sound of a file is taken: the track on which somebody speaks, one of two channels that cancel out."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from spoken import noise, speech
from streaming.media import chirp, write_sound

from s2v.media.audio_file import read_audio
from s2v.media.sound_choice import SoundChoice, best_reading, somebody_speaks, speech_s
from s2v.media.video_file import read_sound, read_video

RATE_HZ = 16_000
Pcm = NDArray[np.float32]


@pytest.fixture(scope="module")
def voice() -> Pcm:
    return speech(2.0, seed=3)


def likeness(heard: Pcm, meant: Pcm) -> float:
    n = min(len(heard), len(meant))
    return float(np.corrcoef(heard[:n], meant[:n])[0, 1])


def write_tracks(path: Path, *tracks: Pcm, with_picture: bool = False) -> Path:
    """A film or a recording with several mono sound tracks, the first the one that players take."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("ffv1", rate=25) if with_picture else None
        if picture is not None:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
        sounds = [container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") for _ in tracks]
        black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="bgr24")
        if picture is not None:
            for _ in range(round(len(tracks[0]) / RATE_HZ * 25)):
                container.mux(picture.encode(black))
        for stream, pcm in zip(sounds, tracks, strict=True):
            for start in range(0, len(pcm), 800):
                block = np.round(pcm[None, start : start + 800] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
        if picture is not None:
            container.mux(picture.encode(None))
    return path


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_u8"])
def test_of_channels_that_cancel_out_the_louder_one_is_heard(
    tmp_path: Path, voice: Pcm, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_sound(tmp_path / "a.wav", np.stack([-0.9 * voice, voice]), RATE_HZ, codec)
    with caplog.at_level(logging.WARNING):
        clip = read_audio(path)
    assert likeness(clip.pcm_16k, voice) > 0.97  # the right channel is not turned over
    assert np.abs(clip.pcm_16k).max() == pytest.approx(np.abs(voice).max(), rel=0.1)
    assert "two channels cancel each other out, so the right one alone is taken" in caplog.text
    assert likeness(read_sound(path).astype(np.float32), voice) > 0.97


def test_channels_that_can_be_mixed_are_mixed(tmp_path: Path, voice: Pcm, caplog: pytest.LogCaptureFixture) -> None:
    other = chirp(2.0, RATE_HZ, 0.1)
    for name, left, right in (("same", voice, voice), ("unlike", voice, other), ("one", voice, 0 * voice)):
        path = write_sound(tmp_path / f"{name}.wav", np.stack([left, right]), RATE_HZ)
        with caplog.at_level(logging.WARNING):
            heard = read_audio(path).pcm_16k
        assert np.abs(heard - (left + right)[: len(heard)] / 2).max() < 0.01, name
    assert caplog.text == ""


def test_speech_in_noise_is_speech_too(voice: Pcm) -> None:
    loud = float(np.sqrt(np.mean(voice**2)))
    assert somebody_speaks(voice + noise(2.0, loud), RATE_HZ)
    assert not somebody_speaks(noise(2.0, loud), RATE_HZ)


@pytest.mark.parametrize("first", ["silent", "noise"])
def test_the_track_on_which_somebody_speaks_is_taken(
    tmp_path: Path, voice: Pcm, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = 0 * voice if first == "silent" else noise(2.0, 0.05)
    path = write_tracks(tmp_path / "a.mkv", nobody, voice)
    with caplog.at_level(logging.WARNING):
        assert likeness(read_audio(path).pcm_16k, voice) > 0.99
    assert "nobody speaks on its first sound track" in caplog.text


def test_the_first_track_is_taken_if_somebody_speaks_on_it_or_on_none(tmp_path: Path, voice: Pcm) -> None:
    other = speech(2.0, seed=4)
    assert likeness(read_audio(write_tracks(tmp_path / "a.mkv", voice, other)).pcm_16k, voice) > 0.99
    hum = noise(2.0, 0.02)  # less what lies at half the rate
    assert likeness(read_audio(write_tracks(tmp_path / "b.mkv", hum, 0 * voice)).pcm_16k, hum) > 0.97


def test_a_film_says_what_of_its_sound_was_taken(tmp_path: Path, voice: Pcm) -> None:
    film = read_video(write_tracks(tmp_path / "a.mkv", 0 * voice, voice, with_picture=True))
    assert likeness(film.pcm.astype(np.float32), voice) > 0.99
    assert film.sound_note == "nobody speaks on its first sound track, so another one is taken"
    assert read_video(write_tracks(tmp_path / "b.mkv", voice, with_picture=True)).sound_note == ""


def test_a_file_that_is_as_it_should_be_is_read_once(voice: Pcm) -> None:
    read: list[SoundChoice] = []

    class Once:
        pcm, n_tracks = voice, 2

        def better_choice(self) -> SoundChoice:
            return SoundChoice()

    def reading(choice: SoundChoice) -> Once:
        read.append(choice)
        return Once()

    best_reading(reading, RATE_HZ)
    assert read == [SoundChoice()]


def test_speech_is_counted_in_seconds(voice: Pcm) -> None:
    assert speech_s(np.zeros(RATE_HZ, np.float32), RATE_HZ) == 0
    assert speech_s(noise(2.0, 0.3), RATE_HZ) == 0
    assert 0.5 < speech_s(voice, RATE_HZ) < 1.8
    assert speech_s(np.concatenate([voice, voice]), RATE_HZ) == pytest.approx(2 * speech_s(voice, RATE_HZ), rel=0.15)
