"""What `import s2v` offers: the names, what they cost, and the example of the README as it stands there."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import av
import pytest

import s2v
from s2v import errors

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"

EXAMPLE = """
import s2v

avatar = s2v.load_avatar("me.jpg")
s2v.generate(avatar, "speech.wav", "talking.mp4")

with avatar.engine() as engine:
    for chunk in microphone_chunks():  # mono float32 at 16 kHz, any length
        for frame in engine.push(chunk):
            show(frame.pixels)  # belongs to audio sample frame.centre_sample
    for frame in engine.flush():
        show(frame.pixels)
"""
BEFORE = """
import json
from pathlib import Path
from s2v.media.audio_file import read_audio

shown, said = [], read_audio(Path("speech.wav")).pcm_16k

def microphone_chunks():
    yield from (said[:100], said[100:100], said[100:9000], said[9000:])

def show(pixels):
    shown.append([*pixels.shape, str(pixels.dtype), frame.centre_sample])
"""
AFTER = """
print(json.dumps({"samples": len(said), "shown": shown, "frame_size": avatar.frame_size}))
"""


def run(code: str, folder: Path) -> str:
    """What the code prints in a new Python that starts elsewhere, as a user's does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_the_names_are_these_and_dir_tells_no_others() -> None:
    raised = [name for name, one in vars(errors).items() if isinstance(one, type)]
    parts = [
        "Avatar",
        "AvatarOptions",
        "DrawnFrame",
        "DubOptions",
        "DubReport",
        "Encoding",
        "GenerateReport",
        "LipSyncEngine",
        "LipSyncSpec",
    ]
    parts += ["generate", "load_avatar"]
    assert s2v.__all__ == sorted(["__version__", *raised, *parts]) == dir(s2v)
    assert s2v.__version__ == "0.2.0"


def test_what_a_type_checker_sees_is_what_there_is() -> None:
    tree = ast.parse(Path(s2v.__file__).read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(seen) == set(s2v.__all__), "nothing is loaded by `import s2v` itself"
    for name, module in seen.items():
        assert getattr(s2v, name) is getattr(import_module(str(module)), name)
    for name in s2v.__all__:
        assert getattr(s2v, name) is not None


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 's2v' has no attribute 'talker'"):
        s2v.talker  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(s2v, "avatar")


def test_importing_it_loads_nothing_heavy_and_each_name_only_its_own(tmp_path: Path) -> None:
    loaded = "print(*sorted({'numpy', 'cv2', 'av', 'mediapipe', 'openvino', 'onnxruntime'} & sys.modules.keys()))"
    assert run(f"import sys, s2v; dir(s2v); s2v.LipSyncSpec, s2v.S2vError; {loaded}", tmp_path).split() == []
    assert run(f"import sys, s2v; s2v.load_avatar, s2v.LipSyncEngine; {loaded}", tmp_path).split() == ["cv2", "numpy"]
    assert "av" in run(f"import sys, s2v; s2v.generate; {loaded}", tmp_path).split()


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="finds the face")
    shutil.copy(DATA / "closed_lips.jpg", tmp_path / "me.jpg")
    shutil.copy(DATA / "speech.flac", tmp_path / "speech.wav")  # what is in a file counts, not what it is called
    told = json.loads(run(BEFORE + EXAMPLE + AFTER, tmp_path))
    spec, (width_px, height_px) = s2v.LipSyncSpec(), told["frame_size"]
    frames = spec.frame_count(told["samples"])
    assert told["shown"] == [[height_px, width_px, 3, "uint8", spec.frame_centre(n)] for n in range(frames)]
    with av.open(str(tmp_path / "talking.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
    assert {path.name for path in tmp_path.iterdir()} == {"me.jpg", "speech.wav", "talking.mp4"}


def test_generate_takes_a_path_in_place_of_an_avatar_and_reports(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="finds the face")
    output = tmp_path / "out.mp4"
    output.touch()
    photo, speech = str(DATA / "closed_lips.jpg"), str(DATA / "speech.flac")
    with pytest.raises(s2v.OutputError, match="exists already"):
        s2v.generate(photo, speech, str(output))
    report = s2v.generate(photo, speech, str(output), encoding=s2v.Encoding(preset="ultrafast", overwrite=True))
    assert report.output == str(output) and report.frames == s2v.LipSyncSpec().frame_count(round(report.seconds * 16e3))
    with av.open(str(output)) as container:
        frames = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    brow = frames[0].shape[0] // 3
    assert max(abs(frame[:brow] - frames[0][:brow]).max() for frame in frames) > 20, "alive, as on the command line"


def test_options_for_an_avatar_that_has_its_own_are_a_mistake(tmp_path: Path) -> None:
    from streaming.fakes import fake_avatar

    with pytest.raises(TypeError, match="load_avatar"):
        s2v.generate(fake_avatar(), DATA / "speech.flac", tmp_path / "out.mp4", face_index=1)
