"""What the README tells people to type works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import wave
from pathlib import Path

import av
import pytest

from s2v.bundled import BUNDLED_FACE
from s2v.cli import build_parser

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SHELL = {"sh", "bash", "shell", "console"}
# Programs of the reader's own machine: nothing of ours to check.
FOREIGN = {"git", "cd", "sudo", "apt-get", "pip", "python3", "source", "."}


def shell_commands(markdown: str) -> list[list[str]]:
    """The words of every command in the fenced shell blocks; comments, prompts and output are left out."""
    commands = []
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        if language not in SHELL:
            continue
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in lines:
            for part in line.split("&&"):
                if words := shlex.split(part, comments=True):
                    commands.append(words)
    return commands


def _in_readme(program: str) -> list[list[str]]:
    if not README.is_file():
        return []
    return [words for words in shell_commands(README.read_text(encoding="utf-8")) if words[0] == program]


def test_commands_are_found_whatever_way_they_are_written() -> None:
    markdown = (
        "```sh\ncd here && s2v one  # first\n\ns2v two \\\n  --long 'a b'\n```\n"
        "```console\n$ s2v three\noutput\n```\n```python\ns2v = 4\n```\n"
    )
    assert shell_commands(markdown) == [
        ["cd", "here"],
        ["s2v", "one"],
        ["s2v", "two", "--long", "a b"],
        ["s2v", "three"],
    ]


def test_every_command_is_ours_or_the_systems() -> None:
    commands = shell_commands(README.read_text(encoding="utf-8"))
    for words in commands:
        program = words[0].removeprefix("./")
        assert program == "s2v" or program in FOREIGN or program.startswith("scripts/"), " ".join(words)
    said = {words[0].removeprefix("./") for words in commands}
    assert {"scripts/live", "scripts/test", "s2v"} <= said


def test_the_scripts_are_there_and_can_be_run(tmp_path: Path) -> None:
    scripts = {words[0] for words in shell_commands(README.read_text(encoding="utf-8")) if "scripts/" in words[0]}
    assert scripts
    for script in scripts:
        path = ROOT / script
        assert path.is_file(), script
        assert os.access(path, os.X_OK), f"{script} is not executable"
        is_python = "python" in path.read_text(encoding="utf-8").splitlines()[0]
        check = [sys.executable, "-m", "py_compile"] if is_python else ["bash", "-n"]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
        subprocess.run([*check, str(path)], check=True, timeout=30, env=environment)


@pytest.mark.parametrize("words", _in_readme("s2v") + [["s2v", "live", *w[1:]] for w in _in_readme("scripts/live")])
def test_every_s2v_line_is_understood(words: list[str]) -> None:
    try:
        build_parser().parse_args(words[1:])
    except SystemExit as end:  # --help and --version end with 0, a wrong line with 2
        assert end.code == 0, " ".join(words)


@pytest.mark.parametrize("words", [words for words in _in_readme("s2v") if words[1:2] == ["generate"]])
def test_every_generate_example_makes_its_video(words: list[str], tmp_path: Path) -> None:
    """As it stands, but from a folder of its own, with a short recording, and with our files for the reader's."""
    speech = _half_a_second(tmp_path / "speech.wav")
    arguments = list(words[1:])
    for at, word in enumerate(arguments[:-1]):
        if word == "--audio":
            arguments[at + 1] = str(speech)
        elif word == "--face":
            named = ROOT / arguments[at + 1]
            arguments[at + 1] = str(named if named.is_file() else BUNDLED_FACE)
        elif word in {"-o", "--output"}:
            arguments[at + 1] = Path(arguments[at + 1]).name
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "s2v", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    output = next(Path(tmp_path, word) for word in arguments if word.endswith(".mp4"))
    with av.open(str(output)) as container:
        assert len(list(container.decode(video=0))) == 13  # 0.5 s at 25 fps, the last one half covered


def _half_a_second(path: Path) -> Path:
    """The first half second of speech of the test data, as wav."""
    from s2v.media.audio_file import read_audio

    pcm = read_audio(ROOT / "tests" / "data" / "speech.flac").pcm_16k[:8000]
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes((pcm * 32_767).astype("<i2").tobytes())
    return path


def test_the_files_it_shows_are_in_the_repository() -> None:
    shown = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README.read_text(encoding="utf-8"))
    assert shown
    for name in shown:
        assert (ROOT / name).exists(), name
