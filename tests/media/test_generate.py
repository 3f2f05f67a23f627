from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.fakes import MOUTH, FakeEngine, fake_avatar, tone, tone_clip
from streaming.media import shift_samples

from s2v.engine.avatar import Avatar, AvatarOptions
from s2v.engine.behaviour.mood import Mood
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.errors import BackendError, OutputError
from s2v.media.audio_file import AudioClip, fitted, read_audio
from s2v.media.generate import generate, render
from s2v.media.mp4 import FILE_PIXELS, Encoding


def _mouth_levels(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray")[MOUTH].mean()) for frame in container.decode(video=0)]


def _bursts(seconds: float, starts_s: list[float], length_s: float) -> AudioClip:
    """Silence with tones in it, the same moments at both rates."""

    def at(rate_hz: int) -> NDArray[np.float32]:
        pcm = np.zeros(round(seconds * rate_hz), np.float32)
        for start_s in starts_s:
            burst = tone(length_s, 300, rate_hz)
            first = round(start_s * rate_hz)
            pcm[first : first + len(burst)] = burst
        return pcm

    return AudioClip(at(48_000), at(16_000))


@pytest.mark.parametrize("samples", [1, 639, 640, 641, 3200, 16_000, 51_237])
def test_every_sample_is_covered_by_a_frame_and_kept(tmp_path: Path, samples: int) -> None:
    clip = tone_clip(samples / 16_000)
    report = render(fake_avatar(), clip, tmp_path / "a.mp4", Encoding())
    assert report.frames == -(-samples * 25 // 16_000) == len(_mouth_levels(tmp_path / "a.mp4"))
    assert len(read_audio(tmp_path / "a.mp4").pcm_16k) == samples


def test_the_mouth_moves_when_the_voice_is_heard(tmp_path: Path) -> None:
    clip = _bursts(3.0, starts_s=[0.0, 0.8, 2.0], length_s=0.4)
    render(fake_avatar(), clip, tmp_path / "a.mp4", Encoding())
    levels = np.array(_mouth_levels(tmp_path / "a.mp4"))
    centres_s = (np.arange(len(levels)) + 0.5) / 25
    inside = np.any([(start < centres_s) & (centres_s < start + 0.4) for start in (0.0, 0.8, 2.0)], axis=0)
    assert levels[inside].min() > levels[~inside].max() + 20
    assert shift_samples(read_audio(tmp_path / "a.mp4").pcm_48k, clip.pcm_48k) == 0


def test_frames_that_leave_a_gpu_converted_make_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from counting_backend import CountingBackend
    from fakes import drawn_face, voice
    from tiny_networks import tiny_model

    from s2v.engine.compositor_choice import composer_for
    from s2v.engine.lipsync import LipSyncEngine

    said = voice(0.6)
    clip = AudioClip(np.repeat(said, 3), said)
    backend = CountingBackend(tiny_model("s2v").path)
    face, seen = drawn_face(backend.spec), {}
    asked: list[PixelFormat] = []

    def open_engine(place: str, pixels: PixelFormat, mood: Mood | None = None) -> LipSyncEngine:
        asked.append(pixels)
        return LipSyncEngine(face, backend, composer_for(backend, place, pixels), idle_seed=1)

    for place in ("gpu", "cpu"):
        path = tmp_path / f"{place}.mp4"
        with open_engine(place, FILE_PIXELS) as engine:
            assert engine.push(said)[0].pixels.ndim == (2 if place == "gpu" else 3)
        render(Avatar(face, partial(open_engine, place), lambda: face.photo), clip, path, Encoding(crf=0))
        with av.open(str(path)) as container:
            seen[place] = np.stack([frame.to_ndarray() for frame in container.decode(video=0)]).astype(int)
    backend.close()
    assert set(asked) == {FILE_PIXELS}
    assert seen["gpu"].shape == seen["cpu"].shape and len(seen["gpu"]) == 15
    assert np.percentile(np.abs(seen["gpu"] - seen["cpu"]), 99.9) <= 2, "levels"
    assert np.ptp(seen["gpu"], axis=0).max() > 4, "something moves"


def test_the_engine_hears_the_whole_clip_in_small_chunks_and_is_closed_once(tmp_path: Path) -> None:
    lengths: list[int] = []
    engine = FakeEngine(before_push=lambda: lengths.append(len(engine.heard)))
    clip = tone_clip(2.7)
    render(fake_avatar(lambda: engine), clip, tmp_path / "a.mp4", Encoding())
    np.testing.assert_array_equal(engine.heard, clip.pcm_16k)
    assert np.diff(lengths).max() <= 16_000
    assert engine.closed == 1


@pytest.mark.parametrize("seconds", [1.0, 2.7, 4.0])
def test_the_other_side_of_a_conversation_is_heard_beside_the_voice_and_not_in_the_file(
    tmp_path: Path, seconds: float
) -> None:
    engine, clip, other = FakeEngine(), tone_clip(2.7), tone(seconds, 330, 16_000)
    heard = fitted(other, len(clip.pcm_16k))
    assert heard.shape == clip.pcm_16k.shape
    assert np.array_equal(heard[: len(other)], other[: len(heard)]) and not heard[len(other) :].any()
    render(fake_avatar(lambda: engine), clip, tmp_path / "a.mp4", Encoding(), heard=heard)
    assert np.array_equal(engine.said_to_it, heard) and engine.alone == 0
    played = np.abs(np.fft.rfft(read_audio(tmp_path / "a.mp4").pcm_16k[8000:24_000]))
    assert np.argmax(played) == 220 and played[330] < 0.01 * played[220]


def test_the_other_side_of_a_conversation_is_a_file_too(tmp_path: Path) -> None:
    engine = FakeEngine()
    render(fake_avatar(), tone_clip(0.5, 330), tmp_path / "other.mp4", Encoding())
    render(fake_avatar(), tone_clip(1.0), tmp_path / "own.mp4", Encoding())
    other = tmp_path / "other.mp4"
    avatar = fake_avatar(lambda: engine)
    generate(avatar, tmp_path / "own.mp4", tmp_path / "a.mp4", listen_to=other)
    assert np.array_equal(engine.said_to_it, fitted(read_audio(other).pcm_16k, 16_000))
    with pytest.raises(OutputError, match=r"other\.mp4 is what the video is made of"):
        generate(avatar, tmp_path / "own.mp4", other, listen_to=other, encoding=Encoding(overwrite=True))
    assert engine.alone == 0


def test_the_report_adds_up_and_is_one_json_object(tmp_path: Path) -> None:
    report = render(fake_avatar(), tone_clip(1.5), tmp_path / "a.mp4", Encoding())
    values = json.loads(report.as_json())
    assert values["seconds"] == 1.5
    assert values["frames"] == 38
    assert (values["width_px"], values["height_px"]) == FakeEngine.frame_size
    assert values["backend"] == "fake"
    assert values["output"] == str(tmp_path / "a.mp4")
    assert values["elapsed_s"] == pytest.approx(values["setup_s"] + values["render_s"], abs=0.002)
    assert values["realtime_factor"] == pytest.approx(1.5 / values["render_s"], rel=0.05)
    assert "\n" not in report.as_json() + report.as_text()


def _failing_after(pushes: int, failure: BaseException) -> Callable[[], FakeEngine]:
    count = iter(range(pushes + 1))

    def before_push() -> None:
        if next(count) == pushes:
            raise failure

    engine = FakeEngine(before_push)
    return lambda: engine


@pytest.mark.parametrize("failure", [BackendError("the runtime has gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("pushes", [0, 7])
def test_an_end_half_way_leaves_no_file_and_no_thread(tmp_path: Path, pushes: int, failure: BaseException) -> None:
    make_engine = _failing_after(pushes, failure)
    with pytest.raises(type(failure)):
        render(fake_avatar(make_engine), tone_clip(4.0), tmp_path / "a.mp4", Encoding())
    assert list(tmp_path.iterdir()) == []
    assert make_engine().closed == 1
    assert [thread for thread in threading.enumerate() if thread.name == "s2v-encoder"] == []


class WrongSizeEngine(FakeEngine):
    """Promises larger frames than it draws: the encoder thread is the one that fails."""

    frame_size = (256, 256)


def test_a_failure_of_the_encoder_ends_the_drawing(tmp_path: Path) -> None:
    engine = WrongSizeEngine()
    with pytest.raises(OutputError, match="256"):
        render(fake_avatar(lambda: engine), tone_clip(20.0), tmp_path / "a.mp4", Encoding())
    assert len(engine.heard) < 10 * 16_000
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_checked_before_any_work(tmp_path: Path) -> None:
    """None of the inputs exists: the output is what the message is about."""
    nowhere = tmp_path / "missing"
    with pytest.raises(OutputError, match="there is no folder"):
        generate(nowhere / "face.jpg", nowhere / "voice.wav", nowhere / "out.mp4")


@pytest.mark.parametrize("made_of", ["recording", "photo", "model", "background"])
def test_what_a_video_is_made_of_is_not_written_over(tmp_path: Path, made_of: str) -> None:
    """Not even with leave to replace files, and whatever way the path is written."""
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"not to be lost")
    (tmp_path / "sub").mkdir()
    again, other = tmp_path / "sub" / ".." / "mine.mp4", tmp_path / "other"
    face, audio = (again if made_of == kind else other for kind in ("photo", "recording"))
    options = AvatarOptions(
        model=again if made_of == "model" else None, background=str(again) if made_of == "background" else None
    )
    with pytest.raises(OutputError, match="is what the video is made of"):
        generate(face, audio, mine, options, encoding=Encoding(overwrite=True))
    assert mine.read_bytes() == b"not to be lost"
