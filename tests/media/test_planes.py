"""Samples of frames of any number of channels are the frame's own, and no others."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from s2v.media.audio_file import read_audio
from s2v.media.planes import channels, planes
from s2v.media.samples import cleaned
from s2v.streaming.sources.resampler import VoiceResampler


def planar(layout: str, n_channels: int, n: int = 960) -> tuple[av.AudioFrame, np.ndarray]:
    """A planar frame whose channels differ, and what is in it."""
    values = np.linspace(-0.5, 0.5, n_channels * n, dtype=np.float32).reshape(n_channels, n)
    packed = av.AudioFrame.from_ndarray(np.ascontiguousarray(values.T).reshape(1, -1), format="flt", layout=layout)
    packed.sample_rate = 48_000
    (frame,) = av.AudioResampler(format="fltp", layout=layout, rate=48_000).resample(packed)
    return frame, values


@pytest.mark.parametrize(("layout", "n_channels"), [("mono", 1), ("stereo", 2), ("7.1", 8), ("16 channels", 16)])
def test_a_planar_frame_has_a_plane_for_each_channel(layout: str, n_channels: int) -> None:
    frame, values = planar(layout, n_channels)
    assert len(planes(frame)) == n_channels  # PyAV's own count is one more of eight
    assert np.array_equal(channels(frame), values)


def test_a_packed_frame_is_taken_apart() -> None:
    values = np.arange(12, dtype=np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(values, format="s16", layout="stereo")
    assert channels(frame).tolist() == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    planes(frame)[0][0] = 99
    assert channels(frame)[0, 0] == 99, "the frame's own memory"


def test_surround_sound_of_a_film_is_read(tmp_path: Path) -> None:
    path = tmp_path / "surround.mp4"
    tone = np.sin(2 * np.pi * 200 * np.arange(48_000) / 48_000).astype(np.float32) * 0.3
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="7.1")
        resampler = av.AudioResampler(format="fltp", layout="7.1", rate=48_000, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone[:, None], 8, 1).reshape(1, -1), format="flt", layout="7.1")
        frame.sample_rate = 48_000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    pcm = read_audio(path).pcm_48k[4800:-4800]
    assert 0.1 < np.abs(pcm).max() < 0.5 and np.isfinite(pcm).all()


def test_a_microphone_of_eight_channels_is_mixed() -> None:
    frame, values = planar("7.1", 8)
    chunk = VoiceResampler().push(frame)
    assert np.allclose(chunk.voice, values.mean(0)[: len(chunk.voice)], atol=1e-3) and len(chunk.voice) > 900


def test_one_broken_channel_of_many_does_not_silence_the_others() -> None:
    frame, values = planar("16 channels", 16)
    planes(frame)[3][:] = np.nan
    values[3] = 0
    assert np.allclose(planes(cleaned(frame))[0], values.mean(0), atol=1e-6)
