from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from s2v import __version__
from s2v.bundled import BUNDLED_FACE
from s2v.cli import COMMANDS, main
from s2v.commands.command import Command
from s2v.errors import AudioError

ROOT = Path(__file__).parents[1]
SPEECH = Path(__file__).parent / "data" / "speech.flac"


def _command(run: Callable[[argparse.Namespace], int]) -> list[Command]:
    return [Command("try", "run a test's function", lambda parser: None, run)]


def _raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


def _refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a call that must end with 2 and print nothing else."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"s2v: .+\n", err), err
    return err


def test_a_command_gives_the_exit_code() -> None:
    assert main(["try"], _command(lambda _: 0)) == 0
    assert main(["try"], _command(lambda _: 7)) == 7


def test_an_expected_failure_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try"], _command(_raising(AudioError("it hums:\nuse another")))) == 2
    assert capsys.readouterr() == ("", "s2v: it hums: use another\n")


def test_ctrl_c_is_exit_code_130_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try"], _command(_raising(KeyboardInterrupt()))) == 130
    assert capsys.readouterr() == ("", "")


def test_a_library_that_cannot_be_loaded_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    missing = ImportError("libGL.so.1: cannot open shared object file", name="cv2")
    assert main(["try"], _command(_raising(missing))) == 2
    said = r"s2v: the library libGL\.so\.1 cannot be loaded \(it is not there\): .*install.+\n"
    assert re.fullmatch(said, capsys.readouterr().err)
    through_ctypes = OSError("libEGL.so.1: cannot open shared object file: No such file or directory")
    assert main(["try"], _command(_raising(through_ctypes))) == 2
    assert re.fullmatch(r"s2v: the library libEGL\.so\.1 cannot.+\n", capsys.readouterr().err)
    missing = ImportError("No module named 'onnxscript'", name="onnxscript")
    assert main(["try"], _command(_raising(missing))) == 2
    said = "s2v: cannot load onnxscript (No module named 'onnxscript'): pip install 'speech2vid[train]'\n"
    assert capsys.readouterr().err == said


def test_what_the_system_refuses_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()

    def run(_: argparse.Namespace) -> int:
        (file / "folder").mkdir(parents=True)
        return 0

    assert main(["try"], _command(run)) == 2
    assert re.fullmatch(rf"s2v: {file}.*: Not a directory: check .+\n", capsys.readouterr().err)


@pytest.mark.parametrize("bug", [ZeroDivisionError(), ImportError("no such name", name="s2v.engine")])
def test_a_bug_keeps_its_traceback(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        main(["try"], _command(_raising(bug)))


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: s2v {name}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"s2v {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["dance"],
        ["generate"],
        ["generate", "--audio", "a.wav"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--crf", "high"],
        ["live", "--port", "65536"],
        ["live", "--port", "-1"],
        ["live", "--prot", "80"],
        ["live", "--seed", "-1"],
        ["live", "--articulation", "0.4"],
        ["live", "--articulation", "nan"],
        ["live", "--liveliness", "1.6"],
        ["live", "--mood", "angry"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--liveliness", "lots"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--mood", "Friendly"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--articulation", "1.51"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--articulation", "loud"],
        ["generate", "--audio", "a.wav", "-o", "a.mp4", "--seed", "9223372036854775808"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert re.fullmatch(r"s2v: .+: see s2v( \w+)? --help\n", capsys.readouterr().err)


def test_a_port_in_use_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2v.media.audio_file.read_audio", _raising(ZeroDivisionError()))
    monkeypatch.setattr("s2v.streaming.render.client.RenderClient", _raising(ZeroDivisionError()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["live", "--port", port]) == 2
    assert capsys.readouterr().err == f"s2v: port {port} on 127.0.0.1 is in use: stop the other server or pass --port\n"


def test_looping_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--audio FILE" in _refused(["live", "--loop"], capsys)


def test_generate_refuses_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, audio, photo = str(tmp_path / "out.mp4"), str(SPEECH), str(BUNDLED_FACE)
    text = tmp_path / "notes.txt"
    text.write_text("not a sound, not a picture")
    cases = [
        (["--audio", str(tmp_path / "no.wav"), "-o", out], "no.wav"),
        (["--audio", str(text), "-o", out], "notes.txt"),
        (["--audio", str(tmp_path / ("a" * 300)), "-o", out], "too long"),
        (["--audio", audio, "-o", str(tmp_path / ("a" * 300 + ".mp4"))], "too long"),
        (["--audio", audio, "-o", str(tmp_path / "out.gif")], ".mp4"),
        (["--audio", audio, "-o", str(tmp_path / "no" / "out.mp4")], "no folder"),
        (["--audio", audio, "-o", out, "--crf", "99"], "99"),
        (["--audio", audio, "-o", out, "--listen-to", str(tmp_path / "other.wav")], "other.wav"),
        (["--audio", audio, "-o", out, "--listen-to", str(text)], "notes.txt"),
        (["--audio", audio, "-o", out, "--listen-to", audio, "--no-idle"], "--listen-to has nothing to move"),
        (["--audio", audio, "-o", out, "--mood", "serious", "--no-idle"], "--mood has nothing to move"),
        (["--audio", audio, "-o", out, "--preset", "hasty"], "hasty"),
        (["--audio", audio, "-o", out, "--model", str(tmp_path / "no.onnx")], "no.onnx"),
        (["--audio", audio, "-o", out, "--model", photo], "face.jpg"),
    ]
    for arguments, expected in cases:
        assert expected in _refused(["generate", *arguments], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture(scope="session")
def tiny_model_path() -> Path:
    """A model file with random weights: what is tested here is the way, not the lips."""
    pytest.importorskip("torch", reason="the small test model is exported with torch")
    from tiny_networks import tiny_model

    return tiny_model("s2v").path


def test_generate_refuses_a_photo_or_backend_it_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_model_path: Path
) -> None:
    common = ["generate", "--audio", str(SPEECH), "-o", str(tmp_path / "out.mp4"), "--model", str(tiny_model_path)]
    cases = [
        (["--face", str(tmp_path / "no.jpg")], "no.jpg"),
        (["--face", str(SPEECH)], "speech.flac"),
        (["--face-index", "5"], "--face-index 5"),
        (["--backend", "abacus"], "abacus"),
    ]
    for arguments, expected in cases:
        assert expected in _refused([*common, *arguments], capsys)
    assert list(tmp_path.iterdir()) == []


def test_generate_does_not_quietly_draw_on_the_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_model_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    common = ["generate", "--audio", str(SPEECH), "-o", str(tmp_path / "out.mp4"), "--model", str(tiny_model_path)]
    assert "no CUDA device" in _refused([*common, "--compose", "gpu"], capsys)
    assert list(tmp_path.iterdir()) == []


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "s2v", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_generate_makes_the_video_and_one_json_object(tmp_path: Path, tiny_model_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = _run("generate", "--audio", str(SPEECH), "-o", str(out), "--model", str(tiny_model_path), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.audio[0].duration == pytest.approx(48_000 * report["seconds"], abs=1)
    assert len(frames) == report["frames"] == -(-round(25 * report["seconds"] * 1000) // 1000)
    assert (frames[0].width, frames[0].height) == (report["width_px"], report["height_px"])
    assert report["realtime_factor"] > 0
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]

    again = _run("generate", "--audio", str(SPEECH), "-o", str(out), "--model", str(tiny_model_path), "--quiet")
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_the_face_is_alive_unless_told_otherwise(tmp_path: Path, tiny_model_path: Path) -> None:
    def brow(*options: str) -> np.ndarray:
        """The upper third of each frame."""
        out = tmp_path / "out.mp4"
        common = ["--audio", str(short), "-o", str(out), "--model", str(tiny_model_path), "--quiet", "--force"]
        assert main(["generate", *common, "--crf", "0", *options]) == 0
        with av.open(str(out)) as container:
            frames = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
        return frames[:, : frames.shape[1] // 3].astype(int)

    short = tmp_path / "short.wav"
    _write_hum(short, seconds=2)
    alive = brow()
    assert (brow("--seed", "1")[-1] != alive[-1]).any()
    assert np.ptp(alive, axis=0).max() > 20
    assert np.ptp(brow("--no-idle"), axis=0).max() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_generate_stopped_half_way_leaves_nothing(
    tmp_path: Path, tiny_model_path: Path, number: signal.Signals, code: int
) -> None:
    long = tmp_path / "long.wav"
    _write_hum(long, seconds=600)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "s2v", "generate", "--audio", str(long), "-o", str(out / "a.mp4")]
    with subprocess.Popen(
        [*command, "--model", str(tiny_model_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        began = _wait_for(
            lambda: any(path.stat().st_size for path in out.iterdir()), lambda: process.poll() is not None
        )
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert began, err
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert list(out.iterdir()) == []


def _write_hum(path: Path, seconds: int) -> None:
    import wave

    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(range(160)) * (seconds * 200))


def _wait_for(reached: Callable[[], bool], ended: Callable[[], bool]) -> bool:
    """Look ten times a second, for a minute."""
    pause = threading.Event()
    for _ in range(600):
        if reached():
            return True
        if ended():
            return False
        pause.wait(0.1)
    return False


def test_python_dash_m_is_the_same_command() -> None:
    assert _run("--version").stdout == f"s2v {__version__}\n"
