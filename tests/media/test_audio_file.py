from __future__ import annotations

import logging
import socket
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming.media import chirp, shift_samples, write_sound

from s2v.errors import AudioError
from s2v.media.audio_file import AudioClip, read_audio
from s2v.media.mp4 import Mp4Writer

FORMATS = [
    ("a.wav", "pcm_s16le", 16_000),
    ("a.wav", "pcm_f32le", 44_100),
    ("a.wav", "pcm_u8", 8_000),
    ("a.flac", "flac", 22_050),
    ("a.mp3", "libmp3lame", 44_100),
    ("a.m4a", "aac", 44_100),
    ("a.m4a", "aac", 16_000),
    ("a.ogg", "libopus", 48_000),
    ("a.webm", "libopus", 48_000),
]


@pytest.mark.parametrize(("name", "codec", "rate_hz"), FORMATS)
def test_every_format_starts_at_zero_and_keeps_its_duration(
    tmp_path: Path, name: str, codec: str, rate_hz: int
) -> None:
    seconds = 1.37
    clip = read_audio(write_sound(tmp_path / name, chirp(seconds, rate_hz), rate_hz, codec))
    assert abs(len(clip.pcm_48k) - round(seconds * 48_000)) <= 3
    assert len(clip.pcm_48k) == 3 * len(clip.pcm_16k)
    assert abs(shift_samples(clip.pcm_48k, chirp(seconds, 48_000))) <= 1
    assert abs(shift_samples(clip.pcm_16k, chirp(seconds, 16_000))) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]))
def test_the_last_sample_is_kept_at_every_rate_and_length(
    tmp_path_factory: pytest.TempPathFactory, samples: int, rate_hz: int
) -> None:
    path = tmp_path_factory.mktemp("length") / "a.wav"
    clip = read_audio(write_sound(path, np.full(samples, 0.25, np.float32), rate_hz))
    exact = samples * 48_000 / rate_hz
    assert exact <= len(clip.pcm_48k) < exact + 4


@pytest.mark.parametrize("hz", [220.0, 1000.0, 3400.0])
def test_the_two_rates_are_the_same_moment(tmp_path: Path, hz: float) -> None:
    """Phase of a tone in the middle of each signal: apart by less than a tenth of a 16 kHz sample."""
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(44_100) / 44_100)
    clip = read_audio(write_sound(tmp_path / "a.wav", tone.astype(np.float32), 44_100, "pcm_f32le"))

    def phase(pcm: np.ndarray, rate_hz: int) -> complex:
        middle = slice(rate_hz // 4, 3 * rate_hz // 4)
        time_s = np.arange(len(pcm)) / rate_hz
        return complex(np.mean(pcm[middle] * np.exp(-2j * np.pi * hz * time_s[middle])))

    high, low = phase(clip.pcm_48k, 48_000), phase(clip.pcm_16k, 16_000)
    assert abs(np.angle(high / low)) < 2 * np.pi * hz * 0.1 / 16_000
    assert abs(high) == pytest.approx(0.25, rel=0.01)
    assert abs(low) == pytest.approx(0.25, rel=0.02)


def test_stereo_with_twice_the_same_voice_is_as_loud_as_mono(tmp_path: Path) -> None:
    voice = chirp(0.5, 48_000, level=0.9)
    mono = read_audio(write_sound(tmp_path / "mono.wav", voice, 48_000))
    stereo = read_audio(write_sound(tmp_path / "stereo.wav", np.stack([voice, voice]), 48_000))
    np.testing.assert_allclose(stereo.pcm_48k, mono.pcm_48k, atol=2e-4)


@pytest.mark.parametrize("channel", [0, 2])
def test_a_voice_in_one_channel_of_surround_is_heard(tmp_path: Path, channel: int) -> None:
    planes = np.zeros((6, 24_000), np.float32)
    planes[channel] = chirp(0.5, 48_000)
    clip = read_audio(write_sound(tmp_path / "a.flac", planes, 48_000, "flac"))
    assert np.abs(clip.pcm_48k).max() > 0.1
    assert shift_samples(clip.pcm_48k, planes[channel]) == 0


def test_the_sound_of_a_video_is_read(tmp_path: Path) -> None:
    voice = chirp(1.001, 48_000)[:48_036]
    with Mp4Writer(tmp_path / "v.mp4", 64, 48, fps=25) as writer:
        writer.write_audio(voice)
        for _ in range(26):
            writer.write_video(np.zeros((48, 64, 3), np.uint8))
    clip = read_audio(tmp_path / "v.mp4")
    assert len(clip.pcm_48k) == 48_036
    assert shift_samples(clip.pcm_48k, voice) == 0


def test_a_name_with_colon_percent_and_umlaut_is_just_a_name(tmp_path: Path) -> None:
    path = tmp_path / "http: %03d größe.wav"
    write_sound(tmp_path / "a.wav", chirp(0.1, 16_000), 16_000).rename(path)
    assert read_audio(path).seconds == pytest.approx(0.1)


def test_silence_is_allowed(tmp_path: Path) -> None:
    clip = read_audio(write_sound(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000))
    assert clip.seconds == 1.0
    assert not clip.pcm_48k.any() and not clip.pcm_16k.any()


def test_nan_and_infinity_become_silence_and_spread_no_further(tmp_path: Path) -> None:
    voice = chirp(1.0, 48_000)
    broken = voice.copy()
    broken[[1000, 20_000]] = np.nan, np.inf
    clip = read_audio(write_sound(tmp_path / "a.wav", broken, 48_000, "pcm_f32le"))
    assert np.isfinite(clip.pcm_48k).all() and np.isfinite(clip.pcm_16k).all()
    assert np.flatnonzero(np.abs(clip.pcm_48k - voice) > 1e-5).tolist() == [1000, 20_000]


def test_sound_over_full_scale_is_turned_down_not_clipped(tmp_path: Path) -> None:
    loud = 4 * chirp(0.5, 48_000, level=1.0)
    clip = read_audio(write_sound(tmp_path / "a.wav", loud, 48_000, "pcm_f32le"))
    assert np.abs(clip.pcm_48k).max() == pytest.approx(1.0)
    assert np.abs(clip.pcm_16k).max() <= 1.0
    np.testing.assert_allclose(clip.pcm_48k, loud / np.abs(loud).max(), atol=1e-5)


def test_a_track_that_changes_its_rate_half_way_is_read_to_the_end(tmp_path: Path) -> None:
    parts = [
        write_sound(tmp_path / f"{rate_hz}.mp3", chirp(1.0, rate_hz), rate_hz, "libmp3lame", write_xing="0")
        for rate_hz in (44_100, 48_000)
    ]
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert read_audio(joined).seconds == pytest.approx(2.0, abs=0.1)


def test_a_cut_file_gives_what_it_has_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_sound(tmp_path / "a.flac", chirp(10.0, 16_000), 16_000, "flac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, logger="s2v"):
        clip = read_audio(path)
    assert 4.0 < clip.seconds < 7.0
    assert str(path) in caplog.text


def test_damage_in_the_middle_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_sound(tmp_path / "a.m4a", chirp(4.0, 16_000), 16_000, "aac")
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 6000
    data[middle : middle + 1500] = bytes(range(250)) * 6
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, logger="s2v"):
        clip = read_audio(path)
    assert 3.0 < clip.seconds <= 4.0
    assert "damaged" in caplog.text


def test_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", chirp(2.0, 8_000), 8_000)
    with pytest.raises(AudioError, match=r"longer than 1\.5 s"):
        read_audio(path, max_s=1.5)


def _picture_only(path: Path) -> Path:
    with Mp4Writer(path, 64, 48, fps=25) as writer:
        writer.write_video(np.zeros((48, 64, 3), np.uint8))
    return path


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _no_samples(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
    return path


def _headless_mp4(path: Path) -> Path:
    """Cut before the index, which an mp4 written in one go has at its end."""
    write_sound(path, chirp(1.0, 16_000), 16_000, "aac")
    return _written(path, path.read_bytes()[:3000])


UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "no.wav", "is not there"),
    "folder": (lambda d: _folder(d / "dir.wav"), "is a folder"),
    "empty": (lambda d: _written(d / "a.wav", b""), "0 bytes"),
    "text": (lambda d: _written(d / "a.wav", b"these are words, not sounds\n" * 50), "cannot be decoded"),
    "noise": (lambda d: _written(d / "a.mp3", np.random.default_rng(5).bytes(30_000)), "a.mp3"),
    "no track": (lambda d: _picture_only(d / "v.mp4"), "no sound track"),
    "no samples": (lambda d: _no_samples(d / "a.wav"), "is empty"),
    "no index": (lambda d: _headless_mp4(d / "a.m4a"), "cannot be decoded"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_file_is_refused_in_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    make, expected = UNUSABLE[case]
    path = make(tmp_path)
    with pytest.raises(AudioError, match=expected) as refusal:
        read_audio(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_playlist_cannot_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:10", "#EXTINF:10,", address, "#EXT-X-ENDLIST", ""]
        with pytest.raises(AudioError):
            read_audio(_written(tmp_path / "a.m3u8", "\n".join(lines).encode()))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


def test_a_clip_cannot_be_out_of_step() -> None:
    with pytest.raises(AssertionError):
        AudioClip(np.zeros(4, np.float32), np.zeros(1, np.float32))


def test_pyav_logs_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AudioError):
        read_audio(_written(tmp_path / "a.mp3", np.random.default_rng(6).bytes(20_000)))
    assert capfd.readouterr().err == ""
    assert av.logging.get_level() is None
