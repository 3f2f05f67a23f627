"""A film in, the same film with another mouth out."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from films import moved, numbered, read_film, write_film
from numpy.typing import NDArray

from s2v.bundled import BUNDLED_MODEL
from s2v.engine.avatar import AvatarOptions
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import OUTER_LIPS, Points
from s2v.engine.face.mouth_look import MouthLook
from s2v.engine.face.photo import Image
from s2v.errors import FaceError, NoFaceError, OutputError, S2vError, SeveralFacesError
from s2v.media.audio_file import AudioClip, read_audio
from s2v.media.dub.reference import reference_face
from s2v.media.dub.shot_painter import ShotPainter
from s2v.media.dub_film import DubOptions, clip_of_length, dub
from s2v.media.dub_track import TrackedFilm, tracked_film
from s2v.media.film import Film
from s2v.media.generate import generate
from s2v.media.generate_report import DubReport
from s2v.media.mp4 import Encoding
from s2v.spec import TRACT_AT_REST, LipSyncSpec

DATA = Path(__file__).parents[1] / "data"
SPEC = LipSyncSpec.of("s2v")
SIDE_PX = 256
AT_REST = {"motion": np.zeros((1, SPEC.n_motion), np.float32), "tract": np.array([TRACT_AT_REST], np.float32)}


def _small(photo: Image) -> Image:
    return np.asarray(cv2.resize(photo, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _voice(seconds: float) -> AudioClip:
    clip = read_audio(DATA / "speech.flac")
    n = round(seconds * 16_000)
    return AudioClip(clip.pcm_48k[: 3 * n], clip.pcm_16k[:n])


def _tracked(path: Path) -> TrackedFilm:
    return tracked_film(Film(path), float("inf"), None, SPEC)


def _outlines(tracked: TrackedFilm) -> Points:
    """(n, 20, 2) where the lips at rest would be drawn."""
    painter = ShotPainter(reference_face(tracked.first_reference, SPEC), SPEC)
    return np.stack([painter.outline(one.state, AT_REST, 1.0) for one in tracked.dubbings if one is not None])


@pytest.fixture(scope="module")
def cut_film(tmp_path_factory: pytest.TempPathFactory, closed_photo: Image, smiling_photo: Image) -> Path:
    """A man for 8 pictures, nobody for 5, a woman for 7, at 25 Hz."""
    nobody = np.full((SIDE_PX, SIDE_PX, 3), (90, 140, 60), np.uint8)
    nobody[::16] = 20
    pictures = [_small(closed_photo)] * 8 + [nobody] * 5 + [_small(smiling_photo)] * 7
    return write_film(tmp_path_factory.mktemp("films") / "cut.mp4", pictures)


def test_shots_begin_anew_and_pictures_without_a_face_are_passed_through(cut_film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    voice = tmp_path / "voice.wav"
    _write_wav(voice, _voice(0.8))
    report = generate(cut_film, voice, out, AvatarOptions(), encoding=Encoding(crf=6))
    assert isinstance(report, DubReport)
    assert (report.frames, report.frames_dubbed, report.frames_passed, report.shots) == (20, 15, 5, 3)
    assert (report.width_px, report.height_px, report.fps) == (SIDE_PX, SIDE_PX, 25)
    assert report.realtime_factor == pytest.approx(report.seconds / report.render_s, rel=0.01)  # as of a photo
    assert report.setup_s + report.render_s == pytest.approx(report.elapsed_s, abs=0.002)
    before, after = (np.stack(read_film(path)).astype(int) for path in (cut_film, out))
    off = np.abs(after - before).mean((2, 3))  # of each line of each picture
    assert off[8:13].max() < 4  # nobody: only coded once more
    spoken = np.abs(after - before)[:, SIDE_PX // 2 :].max((1, 2, 3))
    assert spoken[[*range(8), *range(13, 20)]].min() > 25  # everybody else says something
    assert off[:, : SIDE_PX // 4].max() < 4  # and foreheads are the film's
    with av.open(str(out)) as container:
        assert "Synthetic" in container.metadata["comment"]
        assert "film" in container.metadata["comment"]
    assert abs(len(read_audio(out).pcm_16k) - 0.8 * 16_000) <= 1


def _write_wav(path: Path, clip: AudioClip) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((clip.pcm_16k * 32767).astype("<i2").tobytes())


def test_lips_go_where_the_head_goes(tmp_path: Path, closed_face: EnrolledFace) -> None:
    """A portrait moved by known similarities: the lips must be within a fraction of a pixel of them."""
    photo = closed_face.photo
    ways: list[NDArray[np.float64]] = []
    pictures = []
    for n in range(20):
        picture, way = moved(
            photo, 5 * np.sin(n / 6), 0.6 + 0.03 * np.sin(n / 5), (20 * np.sin(n / 8), 12 * np.cos(n / 7))
        )
        pictures.append(picture)
        ways.append(way)
    found = _outlines(_tracked(write_film(tmp_path / "a.mp4", pictures)))
    lips = closed_face.landmarks[list(OUTER_LIPS), :2]
    expected = np.stack([lips @ way[:, :2].T + way[:, 2] for way in ways])
    off = (found - expected).mean(1)  # what is the same in all pictures is the detector's idea of these lips
    assert np.linalg.norm(off - off.mean(0), axis=1).max() < 0.6
    assert np.linalg.norm(off - off.mean(0), axis=1).mean() < 0.25


def test_lips_stand_still_on_a_still_head(tmp_path: Path, closed_photo: Image) -> None:
    """One picture with noise, coded badly: the outline may jitter by 0.2 px."""
    noise = np.random.default_rng(0)
    photo = _small(closed_photo)
    pictures = [np.clip(photo + noise.normal(0, 5, photo.shape), 0, 255).astype(np.uint8) for _ in range(20)]
    outlines = _outlines(_tracked(write_film(tmp_path / "a.mp4", pictures, options={"crf": "30"})))
    assert outlines.std(0).max() < 0.2
    assert np.abs(np.diff(outlines, axis=0)).max() < 0.1


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), 50])
def test_a_film_keeps_its_rate_and_sound_its_length(tmp_path: Path, closed_photo: Image, rate: Fraction | int) -> None:
    film = write_film(tmp_path / "film.mp4", [_small(closed_photo)] * 6, rate)
    clip = _voice(0.3)
    made = dub(film, clip, tmp_path / "out.mp4", AvatarOptions())
    assert made.fps == round(float(rate), 4)
    assert made.frames == len(read_film(tmp_path / "out.mp4")) == int(np.ceil(0.3 * rate))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == rate
    assert len(read_audio(tmp_path / "out.mp4").pcm_16k) == len(clip.pcm_16k)


def test_a_longer_film_goes_on_in_silence_if_it_is_asked_to(cut_film: Path, tmp_path: Path) -> None:
    made = dub(cut_film, _voice(0.2), tmp_path / "a.mp4", AvatarOptions(), DubOptions(length="film"))
    assert made.frames == 20
    assert made.seconds == pytest.approx(0.8, abs=0.001)
    short = dub(cut_film, _voice(0.2), tmp_path / "b.mp4", AvatarOptions())
    assert (short.frames, short.shots) == (5, 1)


def test_a_shorter_film_goes_back_and_forth(tmp_path: Path, closed_photo: Image) -> None:
    marked = [_small(closed_photo).copy() for _ in range(4)]
    for number, picture in enumerate(marked):
        picture[:16, :64] = 40 + 50 * number
    film = write_film(tmp_path / "film.mp4", marked)
    dub(film, _voice(0.4), tmp_path / "out.mp4", AvatarOptions())
    marks = [round((float(picture[4:12, 8:56].mean()) - 40) / 50) for picture in read_film(tmp_path / "out.mp4")]
    assert marks == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]


def test_the_chosen_one_of_two_is_dubbed(tmp_path: Path, closed_photo: Image, smiling_photo: Image) -> None:
    both = np.hstack([_small(closed_photo), _small(smiling_photo)])
    alone = np.hstack([_small(smiling_photo), np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)])
    film = write_film(tmp_path / "film.mp4", [both] * 4 + [alone] * 4)
    clip = _voice(0.32)
    with pytest.raises(SeveralFacesError, match=r"--face-index 0\.\.1"):
        dub(film, clip, tmp_path / "a.mp4", AvatarOptions())
    made = dub(film, clip, tmp_path / "b.mp4", AvatarOptions(), face_index=1, encoding=Encoding(crf=6))
    assert made.frames_dubbed == 8  # after the cut she is on the other side
    off = np.abs(np.stack(read_film(tmp_path / "b.mp4")).astype(int) - np.stack(read_film(film)))
    assert off[:4, :, :SIDE_PX].mean() < 2 < off[:4, SIDE_PX // 2 :, SIDE_PX:].max() / 10
    other = dub(film, clip, tmp_path / "c.mp4", AvatarOptions(), face_index=0)
    assert (other.frames_dubbed, other.frames) == (4, 8)  # he is gone after the cut, and nobody else speaks for him
    with pytest.raises(FaceError, match="--face-index 4"):
        dub(film, clip, tmp_path / "d.mp4", AvatarOptions(), face_index=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.mp4", "c.mp4", "film.mp4"]


def test_what_cannot_be_dubbed_is_refused_in_one_line(tmp_path: Path, closed_photo: Image) -> None:
    clip, out = _voice(0.2), tmp_path / "out.mp4"
    with pytest.raises(NoFaceError, match="no face found in"):
        dub(write_film(tmp_path / "none.mp4", numbered(5)), clip, out, AvatarOptions())
    with pytest.raises(FaceError, match="1 picture"):
        dub(write_film(tmp_path / "one.mp4", [_small(closed_photo)]), clip, out, AvatarOptions())
    tiny = cv2.copyMakeBorder(cv2.resize(closed_photo, (110, 110)), 50, 50, 50, 50, cv2.BORDER_REPLICATE)
    with pytest.raises(FaceError, match="too small"):
        dub(write_film(tmp_path / "tiny.mp4", [np.asarray(tiny)] * 3), clip, out, AvatarOptions())
    film = write_film(tmp_path / "film.mp4", [_small(closed_photo)] * 3)
    for options, name in (
        (AvatarOptions(mood="friendly"), "--mood"),
        (AvatarOptions(background="blur"), "--background"),
        (AvatarOptions(liveliness=0.5), "--liveliness"),
        (AvatarOptions(idle_seed=None), "--no-idle"),
        (AvatarOptions(idle_seed=7), "--seed"),
        (AvatarOptions(max_side_px=512), "--max-side"),
    ):
        with pytest.raises(S2vError, match=f"^{name} is for photos"):
            dub(film, clip, out, options)
    with pytest.raises(OutputError, match="what the video is made of"):
        generate(film, DATA / "speech.flac", film, encoding=Encoding(overwrite=True))
    with pytest.raises(FaceError, match="is not there"):
        generate(tmp_path / "missing.mov", DATA / "speech.flac", out)
    with pytest.raises(S2vError, match="for films"):
        generate(DATA / "closed_lips.jpg", DATA / "speech.flac", out, dubbing=DubOptions(extend="loop"))
    with pytest.raises(S2vError, match="choose one of pingpong, loop, freeze"):
        DubOptions(extend="rewind")
    assert not out.exists()


@pytest.mark.parametrize(
    "rate", [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)]
)
def test_sound_as_long_as_a_film_makes_as_many_pictures(rate: Fraction) -> None:
    clip = AudioClip(np.ones(48_000 * 3, np.float32), np.ones(16_000 * 3, np.float32))
    for n in range(1, 60):
        cut = clip_of_length(clip, n / rate)
        assert math.ceil(len(cut.pcm_16k) * rate / 16_000) == n


def test_the_mouth_of_a_persons_own_model_is_drawn_into_his_film(tmp_path: Path, closed_photo: Image) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(BUNDLED_MODEL))
    look = MouthLook(teeth_l=-35.0, cavity_l=12.0, show_mm=4.0)
    model.metadata_props.add(key="s2v_mouth", value=look.to_json())
    onnx.save(model, str(tmp_path / "me.onnx"))
    film, voice = write_film(tmp_path / "a.mp4", [_small(closed_photo)] * 6), _voice(0.24)
    drawn: list[NDArray[np.int_]] = []
    for options in (AvatarOptions(), AvatarOptions(model=tmp_path / "me.onnx")):
        out = tmp_path / f"out{len(drawn)}.mp4"
        dub(film, voice, out, options, encoding=Encoding(crf=6))
        drawn.append(np.stack(read_film(out)).astype(int))
    assert np.abs(drawn[1] - drawn[0]).max() > 25
