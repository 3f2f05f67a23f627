"""The programs of examples/ do what their first lines show."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from aiohttp.test_utils import TestClient, TestServer
from documents import ROOT
from PIL import Image
from python_blocks import FRAMES, write_speech
from streaming.fakes import FakeEngine
from streaming.http_document import live

from s2v.bundled import BUNDLED_FACE
from s2v.streaming.broadcast.broadcast import BroadcastSource
from s2v.streaming.server.access import Access
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.sources.push import PushSource

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
ENVIRONMENT["PYTHONPATH"] = str(ROOT)


def run(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def usage_lines() -> list[tuple[Path, list[str]]]:
    lines = []
    for path in EXAMPLES:
        own = re.findall(rf"^python examples/{path.name} (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert own, f"{path.name} does not show how it is called"
        lines += [(path, shlex.split(line)) for line in own]
    return lines


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_explains_itself(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 115
    done = run(tmp_path, path.name, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout and not done.stderr


@pytest.mark.parametrize(("path", "words"), usage_lines())
def test_every_call_that_an_example_shows_is_understood(path: Path, words: list[str]) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = module.build_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    parser.parse_args(words)


def test_one_photo_says_every_recording(tmp_path: Path) -> None:
    shutil.copy(BUNDLED_FACE, tmp_path / "me.jpg")
    for name in ("one.wav", "two.wav"):
        write_speech(tmp_path / name)
    done = run(tmp_path, "say_a_file.py", "me.jpg", "one.wav", "two.wav", "--folder", "videos")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(Path("videos", name)) for name in ("one.mp4", "two.mp4")]
    for name in done.stdout.split():
        with av.open(str(tmp_path / name)) as container:
            assert len(list(container.decode(video=0))) == FRAMES
    again = run(tmp_path, "say_a_file.py", "me.jpg", "one.wav", "--folder", "videos")
    assert again.returncode == 2 and len(again.stderr.splitlines()) == 1 and "one.mp4" in again.stderr


def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    write_speech(tmp_path / "speech.wav")
    for name, arguments in (
        ("say_a_file.py", ["nobody.jpg", "speech.wav"]),
        ("microphone_loop.py", ["nobody.jpg", "--audio", "speech.wav"]),
        ("microphone_loop.py", ["nobody.jpg", "--audio", "nothing.wav"]),
        ("speak_from_tts.py", ["--audio", "nothing.wav"]),
        ("speak_from_tts.py", ["--audio", "speech.wav", "--url", "http://127.0.0.1:9"]),
    ):
        done = run(tmp_path, name, *arguments)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(name.removesuffix(".py")), done.stderr


def test_a_microphones_chunks_become_a_strip_of_pictures_where_there_is_no_screen(tmp_path: Path) -> None:
    shutil.copy(BUNDLED_FACE, tmp_path / "me.jpg")
    write_speech(tmp_path / "speech.wav", 24_000)
    done = run(tmp_path, "microphone_loop.py", "me.jpg", "--audio", "speech.wav")
    assert done.returncode == 0, done.stderr
    strip = cv2.imread(str(tmp_path / "strip.jpg"))
    assert strip is not None
    height, width = strip.shape[:2]
    assert (height, width) == (160, 160 * 8), "every fifth of 38 frames, and the photo is square"
    tiles = [strip[:, left : left + 160] for left in range(0, width, 160)]
    assert max(int(cv2.absdiff(tiles[0], tile).max()) for tile in tiles) > 40, "the mouth moves"


def test_a_sheet_of_a_video_shows_the_frames_asked_for(tmp_path: Path) -> None:
    video = ROOT / "tests" / "data" / "grid_s1_pgid5s.mp4"
    done = run(tmp_path, "contact_sheet.py", video, "sheet.png", "--frames", 5, "--columns", 3, "--tile", 64)
    assert done.returncode == 0, done.stderr
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape[0] == 2 * 64
    assert sheet[64:, 2 * sheet.shape[1] // 3 :].max() == 0, "the sixth place is empty"
    assert sheet[:64].std() > 10


def test_a_moving_picture_shows_every_other_frame_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    video = ROOT / "tests" / "data" / "grid_s1_pgid5s.mp4"
    done = run(tmp_path, "moving_picture.py", video, "talking.webp", "--start", 0.4, "--seconds", 0.8, "--height", 64)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "talking.webp") as picture:
        assert (getattr(picture, "n_frames", 1), picture.height) == (10, 64)
        first = picture.convert("L").tobytes()
        assert b"compositeSynthetic" in picture.info["xmp"]
        picture.seek(9)
        assert picture.convert("L").tobytes() != first and picture.info["duration"] == 80


async def _speak(folder: Path, options: LiveOptions, *arguments: str, path: str = "") -> tuple[int, str, str]:
    """The example beside a server in this process."""
    async with asyncio.timeout(60), TestClient(TestServer(create_app(options))) as client:
        words = [str(ROOT / "examples" / "speak_from_tts.py"), *arguments, "--url", str(client.make_url(""))]
        environment = {**ENVIRONMENT, "PATH": f"{path}{os.pathsep}{ENVIRONMENT.get('PATH', '')}"}
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=folder, env=environment, stdout=pipe, stderr=pipe
        )
        out, err = await program.communicate()
        return program.returncode or 0, out.decode(), err.decode()


def _options(engine: FakeEngine, access: Access | None = None) -> LiveOptions:
    source = BroadcastSource("push", PushSource, waits_for_subscribers=True)
    return live(lambda: engine, broadcast_source=source, access=access or Access())


def test_a_program_speaks_and_is_told_when_it_has_been_heard(tmp_path: Path) -> None:
    write_speech(tmp_path / "speech.wav")
    engine = FakeEngine()
    code, out, err = asyncio.run(_speak(tmp_path, _options(engine), "--audio", "speech.wav"))
    assert (code, err) == (0, "") and re.fullmatch(r"heard after \d+\.\d s\n", out)
    assert (abs(engine.heard) > 1e-3).sum() > 2000, "the face has heard it"


def test_a_program_that_is_interrupted_has_the_rest_forgotten(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "long.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 16_000 * 20))
    arguments = ("--audio", "long.wav", "--interrupt-after", "1")
    code, out, err = asyncio.run(_speak(tmp_path, _options(FakeEngine()), *arguments))
    assert (code, err) == (0, "")
    forgotten = re.fullmatch(r"forgotten: (\d+) ms\n", out)
    assert forgotten and 2_000 < int(forgotten[1]) < 6_000, "no more was sent ahead than it takes to stay ahead"


def test_a_text_is_spoken_by_the_text_to_speech_program(tmp_path: Path) -> None:
    write_speech(tmp_path / "speech.wav")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "espeak-ng"  # stands in for the real one: the same call, one voice
    program.write_text(f'#!/bin/sh\n[ "$*" = "--stdout -- Good morning" ] && exec cat {tmp_path}/speech.wav\n')
    program.chmod(0o755)
    engine = FakeEngine()
    code, out, err = asyncio.run(_speak(tmp_path, _options(engine), "Good morning", path=str(program.parent)))
    assert (code, err) == (0, "") and out.startswith("heard")
    assert (abs(engine.heard) > 1e-3).sum() > 2000


def test_a_server_with_a_token_wants_it(tmp_path: Path) -> None:
    write_speech(tmp_path / "speech.wav")
    access = Access("a-token-for-the-tests")
    code, _, err = asyncio.run(_speak(tmp_path, _options(FakeEngine(), access), "--audio", "speech.wav"))
    assert code == 2 and "401" in err and len(err.splitlines()) == 1
    arguments = ("--audio", "speech.wav", "--token", "a-token-for-the-tests")
    assert asyncio.run(_speak(tmp_path, _options(FakeEngine(), access), *arguments))[0] == 0
