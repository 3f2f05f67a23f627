"""What is built from this checkout works on its own, installed elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import urllib.request
import venv
import wave
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

for _module in ("build", "setuptools", "twine"):
    pytest.importorskip(_module, reason=f"{_module} is not installed: pip install -e .[dev]")

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """What goes to a package index."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and everything else from the one that runs the tests."""

    python: Path
    program: Path
    packages: Path

    def run(self, *command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, command)], cwd=folder, env=_environment(), capture_output=True, text=True, timeout=180
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel from that, with the build backend that is installed here: no network."""
    folder = tmp_path_factory.mktemp("dist")
    _check([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("elsewhere") / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    (packages,) = (home / "lib").glob("python*/site-packages")
    # The checkout is not on this path: what makes it editable is read only in an environment's own folder.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    _check([*pip, str(built.wheel)])
    return Installed(python, home / "bin" / "s2v", packages)


def test_an_index_would_take_it(built: Built) -> None:
    _check([sys.executable, "-m", "twine", "check", "--strict", str(built.wheel), str(built.sdist)])


def test_every_file_of_the_package_is_in_it(built: Built) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix(): path.stat().st_size
        for path in (ROOT / "s2v").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built.wheel) as wheel:
        held = {file.filename: file.file_size for file in wheel.infolist()}
    assert wanted.items() - held.items() == set()
    assert {name for name in held if name.split("/")[0] != "s2v" and ".dist-info/" not in name} == set()
    assert {re.sub(r".*\.dist-info/", "", name) for name in held} >= {"licenses/LICENSE", "licenses/NOTICE"}


def test_the_source_brings_what_is_needed_to_build_and_to_know_its_terms(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "pyproject.toml", "setup.py"} <= names
    assert {f"requirements/{path.name}" for path in (ROOT / "requirements").iterdir()} <= names


def test_the_index_gets_a_readme_whose_links_are_whole(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode("utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


def test_it_makes_a_video_far_from_the_checkout(installed: Installed, tmp_path: Path) -> None:
    where = installed.run(installed.python, "-c", "import s2v; print(s2v.__file__)", folder=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed.packages), where
    _write_half_a_second(tmp_path / "speech.wav")
    made = installed.run(installed.program, "generate", "--audio", "speech.wav", "-o", "out.mp4", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 13  # 25 a second, the last one half covered


def test_it_serves_the_page_far_from_the_checkout(installed: Installed, tmp_path: Path) -> None:
    command = [str(installed.program), "live", "--port", "0", "--max-sessions", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        too_long = threading.Timer(120, process.kill)
        too_long.start()
        try:
            address, said = _address(process)
            page = _fetch(address)
            assert b"<html" in page
            parts = set(re.findall(rb'"(/static/[^"]+)"', page))
            assert parts
            for part in parts:
                assert _fetch(address + part.decode()), part
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
            too_long.cancel()
    assert process.returncode == 130, said


def _address(process: subprocess.Popen[str]) -> tuple[str, str]:
    said = ""
    assert process.stdout
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0], said
    raise AssertionError(f"it ended without an address:\n{said}")


def _fetch(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:
        return bytes(reply.read())


def _check(command: list[str]) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """Nothing that leads back to the checkout, and no proxy between a test and its own server."""
    unwanted = ("PYTHON", "COVERAGE", "COV_", "http_proxy", "HTTP_PROXY")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def _write_half_a_second(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(range(160)) * 100)
