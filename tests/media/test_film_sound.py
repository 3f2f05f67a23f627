"""A film's own sound begins where its pictures do, whatever its codec needs before the first sample."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from films import numbered

from s2v.errors import AudioError
from s2v.media.film_sound import sound_of_film

RATE_HZ = 48_000
CLICK_S = 0.3
FORMATS = {"aac": "fltp", "libopus": "flt", "pcm_s16le": "s16"}


def _film(path: Path, codec: str, late_s: float = 0.0, seconds: float = 0.6) -> Path:
    """Pictures, and sound that begins so much later with one click in it."""
    pcm = np.zeros(round(seconds * RATE_HZ), np.float32)
    pcm[round(CLICK_S * RATE_HZ) % len(pcm)] = 0.9
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        sound = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(video, av.VideoStream) and isinstance(sound, av.AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        whole = av.AudioFrame.from_ndarray(pcm[None], format="fltp", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE_HZ, round(max(late_s, 0.0) * RATE_HZ), Fraction(1, RATE_HZ)
        pieces = av.AudioResampler(format=FORMATS[codec], layout="mono", rate=RATE_HZ, frame_size=960)
        for frame in [*pieces.resample(whole), *pieces.resample(None)]:
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for index, picture in enumerate(numbered(10)):
            shown = av.VideoFrame.from_ndarray(picture, format="bgr24")
            shown.pts, shown.time_base = index + round(25 * max(-late_s, 0.0)), Fraction(1, 25)
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("late_s", [0.0, 0.2])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mp4", "libopus"), ("a.mkv", "libopus"), ("a.ts", "aac")]
)
def test_a_click_keeps_its_place(tmp_path: Path, name: str, codec: str, late_s: float) -> None:
    clip = sound_of_film(_film(tmp_path / name, codec, late_s))
    heard = int(np.abs(clip.pcm_48k).argmax())
    stamp = 0 if late_s == 0 else RATE_HZ // 1000  # of these containers, where the tracks begin apart: 1 ms
    assert abs(heard - (late_s + CLICK_S) * RATE_HZ) <= stamp + 1
    assert len(clip.pcm_48k) == 3 * len(clip.pcm_16k)


def test_sound_that_begins_before_the_picture_loses_its_beginning(tmp_path: Path) -> None:
    clip = sound_of_film(_film(tmp_path / "a.mov", "pcm_s16le", late_s=-0.12))
    assert abs(int(np.abs(clip.pcm_48k).argmax()) - (CLICK_S - 0.12) * RATE_HZ) <= 1


def test_sound_that_ends_before_the_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="ends before its picture begins"):
        sound_of_film(_film(tmp_path / "a.mov", "pcm_s16le", late_s=-0.48, seconds=0.4))


def test_sound_whose_stamps_begin_hours_later_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="begins 36000 s after its picture"):
        sound_of_film(_film(tmp_path / "a.mkv", "pcm_s16le", late_s=36_000.0))
