from __future__ import annotations

import logging
import os
import socket
import struct
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
from s2v.media.video_file import read_sound

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
    broken[[1000, 20_000, 30_000]] = np.nan, np.inf, -1e30
    clip = read_audio(write_sound(tmp_path / "a.wav", broken, 48_000, "pcm_f32le"))
    assert np.isfinite(clip.pcm_48k).all() and np.isfinite(clip.pcm_16k).all()
    assert np.flatnonzero(np.abs(clip.pcm_48k - voice) > 1e-5).tolist() == [1000, 20_000, 30_000]


def test_sound_over_full_scale_is_turned_down_not_clipped(tmp_path: Path) -> None:
    loud = 4 * chirp(0.5, 48_000, level=1.0)
    clip = read_audio(write_sound(tmp_path / "a.wav", loud, 48_000, "pcm_f32le"))
    assert np.abs(clip.pcm_48k).max() == pytest.approx(1.0)
    assert np.abs(clip.pcm_16k).max() <= 1.0
    np.testing.assert_allclose(clip.pcm_48k, loud / np.abs(loud).max(), atol=1e-5)


@pytest.mark.parametrize("spike", [3.0, 1e9, -1e6])
def test_one_spike_does_not_silence_a_clip(tmp_path: Path, spike: float, caplog: pytest.LogCaptureFixture) -> None:
    voice = chirp(0.5, 48_000)
    broken = voice.copy()
    broken[9000] = spike
    path = write_sound(tmp_path / "a.wav", broken, 48_000, "pcm_f32le")
    clip = read_audio(path)
    assert np.flatnonzero(np.abs(clip.pcm_48k - voice) > 1e-5).tolist() == [9000]
    assert abs(clip.pcm_48k[9000]) == 1.0
    assert "far louder than all others" in caplog.text
    sound = read_sound(path) / 32768
    meant = read_sound(write_sound(tmp_path / "b.wav", voice, 48_000, "pcm_f32le")) / 32768
    assert np.flatnonzero(np.abs(sound - meant) > 0.02).tolist() in ([2999, 3000, 3001], [3000])


def test_a_shout_in_a_quiet_recording_is_no_spike(tmp_path: Path) -> None:
    voice = 0.2 * chirp(4.0, 16_000)
    voice[30_000:32_000] *= 40
    clip = read_audio(write_sound(tmp_path / "a.wav", voice, 16_000, "pcm_f32le"))
    np.testing.assert_allclose(clip.pcm_16k[1000:60_000], voice[1000:60_000] / np.abs(voice).max(), atol=0.02)


def _channels(path: Path, pcm: np.ndarray, channels: int, width: int = 2, tag: int = 1) -> Path:
    """A WAV file with the same sound, (n,) integers, in every channel; `tag` 1 says that it is PCM."""
    data = np.repeat(pcm, channels).tobytes()
    form = struct.pack("<HHIIHH", tag, channels, 16_000, 16_000 * channels * width, channels * width, 8 * width)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return _written(path, b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


@pytest.mark.parametrize("channels", [8, 9, 32, 63, 64, 65, 128, 255])
def test_any_number_of_channels_is_mixed(tmp_path: Path, channels: int) -> None:
    voice = (32_000 * chirp(0.1, 16_000)).astype(np.int16)
    clip = read_audio(_channels(tmp_path / "a.wav", voice, channels))
    np.testing.assert_allclose(clip.pcm_16k[100:-100], voice[100:-100] / 32_768, atol=0.01)
    assert len(read_sound(tmp_path / "a.wav")) == 1600


def test_many_channels_of_bytes_are_mixed_about_their_middle(tmp_path: Path) -> None:
    clip = read_audio(_channels(tmp_path / "a.wav", np.full(1600, 192, np.uint8), 12, width=1))
    assert clip.pcm_16k[400:1200] == pytest.approx(0.5, abs=0.01)


def test_a_codec_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a", chirp(0.5, 16_000), 16_000, "alac")
    path.write_bytes(path.read_bytes().replace(b"alac", b"wxyz", 1))
    with pytest.raises(AudioError, match=r"in codec unknown \(wxyz / 0x7A797877\), for which there is no decoder"):
        read_audio(path)


def test_never_more_packets_are_damaged_than_there_are(tmp_path: Path) -> None:
    path = _channels(tmp_path / "a.wav", np.zeros(4000, np.int16), 0)
    path.write_bytes(path.read_bytes()[:44] + bytes(8000))
    with pytest.raises(AudioError, match=r"(\d+) of \1 packets .*pcm_s16le.*no channels, or more than 512"):
        read_audio(path)


def test_the_better_of_two_tracks_is_read_and_one_without_a_decoder_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream(codec, rate=16_000, layout="mono") for codec in ("flac", "pcm_s16le")]
        for track, level in zip(tracks, (0.1, 0.4), strict=True):
            pcm = np.full((1, 1600), round(32_768 * level), np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_WXYZ"))
    assert read_audio(path).pcm_16k[800] == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("before", [b"<html>not found</html>" * 20, bytes(5000)])
def test_what_stands_before_an_mp3_is_passed_over(tmp_path: Path, before: bytes) -> None:
    path = write_sound(tmp_path / "a.mp3", chirp(1.0, 16_000), 16_000, "libmp3lame")
    path.write_bytes(before + path.read_bytes())
    assert read_audio(path).seconds == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("promised", [0, 10, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_whose_header_was_never_finished_is_read_whole(tmp_path: Path, promised: int) -> None:
    path = write_sound(tmp_path / "a.wav", chirp(1.0, 16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = promised.to_bytes(4, "little")
    path.write_bytes(data)
    assert read_audio(path).seconds == pytest.approx(1.0, abs=0.01)


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


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _no_samples(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
    return path


def _headless_mp4(path: Path) -> Path:
    """Cut before the index, which an mp4 written in one go has at its end."""
    write_sound(path, chirp(1.0, 16_000), 16_000, "aac")
    return _written(path, path.read_bytes()[:3000])


_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.wav\n"  # it does not end: more may be added later
_SESSION = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "no.wav", "is not there"),
    "folder": (lambda d: _folder(d / "dir.wav"), "is a folder"),
    "empty": (lambda d: _written(d / "a.wav", b""), "0 bytes"),
    "text": (lambda d: _written(d / "a.wav", b"these are words, not sounds\n" * 50), "cannot be decoded"),
    "noise": (lambda d: _written(d / "a.mp3", np.random.default_rng(5).bytes(30_000)), "a.mp3"),
    "pipe": (lambda d: _pipe(d / "a.wav"), "no plain file"),
    "device": (lambda d: Path("/dev/zero"), "no plain file"),
    "address": (lambda d: Path("http://127.0.0.1:9/a.wav"), "is not there; of an address, download it first"),
    "playlist": (lambda d: _written(d / "a.m3u8", _PLAYLIST), "no format of sound or video"),
    "playlist by another name": (lambda d: _written(d / "a.wav", _PLAYLIST), "cannot be decoded|no format"),
    "list": (lambda d: _written(d / "a.txt", b"ffconcat version 1.0\nfile 'b.wav'\n"), "no format of sound or video"),
    "session": (lambda d: _written(d / "a.sdp", _SESSION), "no format of sound or video"),
    "picture": (lambda d: _written(d / "a.mp3", b"\x89PNG\r\n\x1a\n" + bytes(600)), "no format|cannot be decoded"),
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


def test_tags_in_another_encoding_do_not_matter(tmp_path: Path) -> None:
    """As old recorders write them: the name of a café in Latin-1."""
    sound, tag = bytes(2 * 1600), b"INFOINAM" + struct.pack("<I", 4) + b"caf\xe9"
    parts = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    parts += b"LIST" + struct.pack("<I", len(tag)) + tag + b"data" + struct.pack("<I", len(sound)) + sound
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts)
    assert len(read_audio(tmp_path / "a.wav").pcm_16k) == 1600
