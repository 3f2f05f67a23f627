"""What the README and the other documents tell people to type works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import av
import pytest
from documents import DOCUMENTS, ROOT, Block, blocks_of, sections_of
from python_blocks import FRAMES, needs_of, run_block, write_speech

from s2v.bundled import BUNDLED_FACE
from s2v.cli import build_parser

README = ROOT / "README.md"
SHELL = {"sh", "bash", "shell", "console"}
HARMLESS = {"", "text", "http"}
# Programs of the reader's own machine: nothing of ours to check. test_http_docs.py runs every line with curl.
FOREIGN = {"git", "cd", "sudo", "apt-get", "pip", "python3", "source", ".", "curl", "torchrun", "tensorboard", "ray"}
BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def shell_commands(block: Block) -> list[list[str]]:
    """The words of every command of a shell block; comments, prompts and output are left out."""
    commands = []
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        for part in line.split("&&"):
            if words := shlex.split(part, comments=True):
                commands.append(words)
    return commands


COMMANDS = [words for block in BLOCKS if block.language in SHELL for words in shell_commands(block)]
OURS = [words for words in COMMANDS if words[0] == "s2v"]


def _of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_blocks_are_found_whatever_way_they_are_written() -> None:
    markdown = (
        "```sh\ncd here && s2v one  # first\n\ns2v two \\\n  --long 'a b'\n```\n"
        "text\n\n```console\n$ s2v three\noutput\n```\n"
        "<!-- run with: show -->\n\n~~~python\ns2v = 4\n```\n~~~\n````\n```\n````\n"
    )
    sh, console, python, bare = blocks_of(README, markdown)
    assert shell_commands(sh) == [["cd", "here"], ["s2v", "one"], ["s2v", "two", "--long", "a b"]]
    assert shell_commands(console) == [["s2v", "three"]]
    assert (python.language, python.text, python.line) == ("python", "s2v = 4\n```\n", 15)
    assert [block.note for block in (sh, console, python, bare)] == ["", "", "run with: show", ""]
    assert (bare.language, bare.text) == ("", "```\n")
    with pytest.raises(AssertionError, match="no end"):
        list(blocks_of(README, "```sh\n"))


def test_somebody_checks_every_block() -> None:
    assert README in DOCUMENTS and len(DOCUMENTS) > 3
    known = SHELL | HARMLESS | {"python", "json", "toml"}
    assert [str(block) for block in BLOCKS if block.language not in known] == []
    assert [str(block) for block in BLOCKS if block.language != "python" and needs_of(block)] == []


def test_every_command_is_ours_or_the_systems() -> None:
    for words in COMMANDS:
        program = words[0].removeprefix("./")
        assert program == "s2v" or program in FOREIGN or program.startswith("scripts/"), " ".join(words)
    said = {words[0].removeprefix("./") for words in COMMANDS}
    assert {"scripts/live", "scripts/test", "s2v"} <= said


def test_the_scripts_are_there_and_can_be_run(tmp_path: Path) -> None:
    scripts = {words[0] for words in COMMANDS if "scripts/" in words[0]}
    assert scripts
    for script in scripts:
        path = ROOT / script
        assert path.is_file(), script
        assert os.access(path, os.X_OK), f"{script} is not executable"
        is_python = "python" in path.read_text(encoding="utf-8").splitlines()[0]
        check = [sys.executable, "-m", "py_compile"] if is_python else ["bash", "-n"]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
        subprocess.run([*check, str(path)], check=True, timeout=30, env=environment)


@pytest.mark.parametrize(
    "words", OURS + [["s2v", "live", *words[1:]] for words in COMMANDS if words[0] == "scripts/live"], ids=" ".join
)
def test_every_s2v_line_is_understood(words: list[str]) -> None:
    try:
        build_parser().parse_args(words[1:])
    except SystemExit as end:  # --help and --version end with 0, a wrong line with 2
        assert end.code == 0, " ".join(words)


@pytest.mark.parametrize("words", [words for words in OURS if words[1:2] == ["generate"]], ids=" ".join)
def test_every_generate_example_makes_its_video(words: list[str], tmp_path: Path) -> None:
    """As it stands, but from a folder of its own, with a short recording, and with our files for the reader's."""
    speech = write_speech(tmp_path / "speech.wav")
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
    _holds_the_speech(next(Path(tmp_path, word) for word in arguments if word.endswith(".mp4")))


def _holds_the_speech(video: Path) -> None:
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == FRAMES


@pytest.mark.parametrize("block", _of("python"), ids=str)
def test_every_python_block_runs_or_is_a_signature(block: Block, tmp_path: Path) -> None:
    if block.document.name == "api.md":  # signatures: nothing to run
        compile(block.text, str(block), "exec")
        return
    run_block(block, tmp_path)
    for video in re.findall(r"\"([\w.]+\.mp4)\"", block.text):
        _holds_the_speech(tmp_path / video)


def test_a_python_block_gets_what_it_asks_for_and_nothing_else(tmp_path: Path) -> None:
    text = (
        "import numpy as np, pathlib\n"
        "chunks = list(microphone_chunks())\n"
        "assert sum(map(len, chunks)) == 8000 and chunks[0].dtype == np.float32\n"
        "assert np.abs(np.concatenate(chunks)).max() > 0.01\n"
        "assert pathlib.Path('speech.wav').is_file() and not pathlib.Path('me.jpg').exists()\n"
        "for _ in range(13):\n    show(np.zeros((4, 4, 3), np.uint8))\n"
    )
    run_block(Block(README, 1, "python", text, "run with: microphone_chunks, show"), tmp_path)
    for wrong, says in (
        (Block(README, 1, "python", text, "run with: show"), "microphone_chunks"),
        (Block(README, 1, "python", text.replace("range(13)", "range(12)"), "run with: microphone_chunks, show"), "12"),
        (Block(README, 1, "python", "show(None)\n", "run with: show"), "AttributeError"),
        (Block(README, 1, "python", "", "run with: cat"), "nobody knows what cat"),
    ):
        (tmp_path / "shown.txt").unlink(missing_ok=True)
        with pytest.raises(AssertionError, match=says):
            run_block(wrong, tmp_path)


def test_every_json_and_toml_block_can_be_read() -> None:
    for block in _of("json"):
        json.loads(block.text)
    for block in _of("toml"):
        tomllib.loads(block.text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_in_the_repository(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)
    for link in linked:
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists() and target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in {_anchor(heading) for heading in sections_of(target.read_text(encoding="utf-8"))}, link
    assert linked or document != README


def _anchor(heading: str) -> str:
    """As GitHub makes it: in small letters, without punctuation, a hyphen for each space."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_document_can_be_found_from_the_readme() -> None:
    linked = re.findall(r"\]\((docs/[^)#]+\.md)", README.read_text(encoding="utf-8"))
    assert {path.relative_to(ROOT).as_posix() for path in DOCUMENTS if path.parent != ROOT} <= set(linked)
