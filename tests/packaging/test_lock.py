"""The lock holds what pyproject.toml asks for, once, with hashes, and nothing about where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LAYERS = sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem != "torch")
EXTRAS = {"live": [], "mic": ["mic"], "train": ["train"], "voices": ["train", "voices"], "rtx": ["rtx"]} | {
    "test": ["mic", "train", "ray", "dev"]
}
RELOCK = "run scripts/lock"


def test_there_is_a_file_for_each_script() -> None:
    assert set(LAYERS) == {"build", *EXTRAS}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_version_is_exact_and_has_hashes(layer: str) -> None:
    text = (FOLDER / f"{layer}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith(("#", "-r ")):
            continue
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", line), line[:80]


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_nothing_says_where_packages_come_from(path: Path) -> None:
    assert not re.search(r"://|index|find-links|file:|@ ", re.sub(r"#.*", "", path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("layer", EXTRAS)
def test_it_is_what_pyproject_asks_for(layer: str) -> None:
    locked = _locked(layer) | _torch()
    lines = PROJECT["dependencies"] + [
        line for extra in EXTRAS[layer] for line in PROJECT["optional-dependencies"][extra]
    ]
    for wanted in map(Requirement, lines):
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{name} is not in {layer}.txt: {RELOCK}"
        assert wanted.specifier.contains(locked[name]), f"{wanted}, but {locked[name]} in {layer}.txt: {RELOCK}"


def test_a_package_has_one_version_in_all_files() -> None:
    versions: dict[str, str] = {}
    for layer in LAYERS:
        for name, version in _locked(layer).items():
            assert versions.setdefault(name, version) == version, f"{name}: {RELOCK}"


def test_what_live_installs_has_no_torch_and_no_tools() -> None:
    assert not {"torch", "mypy", "pytest", "onnx", "pyaudio"} & _locked("live").keys()


def test_torch_stands_alone() -> None:
    everywhere = {name for layer in LAYERS for name in _locked(layer)}
    assert not [name for name in everywhere if re.fullmatch(r"torch|triton|nvidia-.*|cuda-toolkit", name)]
    assert set(_torch()) == {"torch"}


def _locked(layer: str) -> dict[str, str]:
    """Name -> version, of a file and of those it builds on."""
    text = (FOLDER / f"{layer}.txt").read_text(encoding="utf-8")
    found = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    for below in re.findall(r"^-r (\w+)\.txt$", text, re.MULTILINE):
        found |= _locked(below)
    assert all(Version(version) for version in found.values())
    return found


def _torch() -> dict[str, str]:
    return _locked("torch")
