from __future__ import annotations

import re
import shutil
from pathlib import Path

import av
import pytest

from s2v.cli import main
from s2v.commands.predict import beside

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def model() -> str:
    pytest.importorskip("torch", reason="the small test model is exported with torch")
    from tiny_networks import tiny_model

    return str(tiny_model("s2v").path)


def cut(source: Path, path: Path, seconds: float) -> Path:
    """The beginning of a recording as a wav file."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as part:
        stream = part.add_stream("pcm_s16le", rate=whole.streams.audio[0].rate)
        for frame in whole.decode(audio=0):
            if frame.time is not None and frame.time >= seconds:
                break
            part.mux(stream.encode(frame))
    return path


def test_each_target_becomes_a_video_beside_it_also_a_video(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = cut(DATA / "speech.flac", tmp_path / "hello.wav", 0.4)
    video = tmp_path / "clip.mp4"
    shutil.copy(DATA / "grid_s1_pgid5s.mp4", video)
    before = video.read_bytes()
    assert main(["predict", "-m", model, "-t", str(sound), str(video), "-f", str(DATA / "closed_lips.jpg")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clip-predicted.mp4", "clip.mp4", "hello.mp4", "hello.wav"
    ]  # fmt: skip
    assert video.read_bytes() == before
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in told] == [str(tmp_path / "hello.mp4"), str(tmp_path / "clip-predicted.mp4")]
    with av.open(str(tmp_path / "hello.mp4")) as container:
        assert len(container.streams.audio) == 1 and sum(1 for _ in container.decode(video=0)) >= 10


def test_an_output_that_cannot_be_is_refused_before_anything_is_drawn(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    (tmp_path / "b.mp4").touch()
    for more, told in (
        ([*sounds, "-o", str(tmp_path / "one.mp4")], "2 targets do not fit in .*one.mp4: leave it out"),
        ([sounds[0], str(tmp_path / "a.flac")], "two targets would both become .*a.mp4"),
        (sounds, "b.mp4 exists already: pass --force"),
        ([*sounds, "--force"], "a.wav is not there"),
    ):
        assert main(["predict", "-m", model, "-f", str(DATA / "closed_lips.jpg"), "-t", *more]) == 2
        assert re.fullmatch(f"s2v: .*{told}.*\n", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]


def test_without_a_target_it_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "-f", "me.jpg"])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ("a.wav", "a.mp4"),
        ("b/talk.b.flac", "b/talk.b.mp4"),
        ("clip.mp4", "clip-predicted.mp4"),
        ("said", "said.mp4"),
        ("A.MP4", "A-predicted.mp4"),
    ],
)
def test_a_video_goes_beside_its_target_and_never_over_it(target: str, output: str) -> None:
    assert beside(Path(target)) == Path(output)
