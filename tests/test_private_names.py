"""What begins with an underscore is read in the module that defines it, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "s2v"
FILES = sorted(PACKAGE.rglob("*.py"))
ENGINE = [path for path in FILES if path.is_relative_to(PACKAGE / "engine")]
# Of other people's libraries, which offer no public name for it.
OF_LIBRARIES = {
    "engine/backends/torch/streams.py": {"_C", "_cuda_endAllocateToPool"},
}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _own(tree: ast.AST) -> set[str]:
    """Private names that a module defines: functions, classes, variables, attributes that are assigned to `self`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            found.add(node.attr)
    return {name for name in found if _is_private(name)}


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign(source: str) -> Iterator[str]:
    """Private names of other modules and of other modules' objects that some code reads, with their lines."""
    tree = ast.parse(source)
    own = _own(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names] + (node.module or "").split(".")
            yield from (f"{node.lineno}: {name}" for name in names if _is_private(name))
        elif isinstance(node, ast.Attribute) and not _is_self(node.value):
            yield from (f"{node.lineno}: {name}" for name in [node.attr] if _is_private(name) and name not in own)


def test_the_search_finds_what_it_is_for() -> None:
    source = """
from s2v.engine.compositor.warp import _STEPS, remap
class Head:
    def __init__(self, other, warp):
        self._own = other._own  # of the same class
        self._flows = warp._grid
        self.__dict__.update(_private=1)
    def __call__(self):
        return self._inherited, compositor._alive._head
"""
    assert sorted(foreign(source)) == ["2: _STEPS", "6: _grid", "9: _alive", "9: _head"]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.is_relative_to(PACKAGE / "engine")], ids=lambda path: path.stem
)
def test_the_engine_reads_no_private_name_of_another_module(path: Path) -> None:
    allowed = OF_LIBRARIES.get(path.relative_to(PACKAGE).as_posix(), set())
    found = [name for name in foreign(path.read_text(encoding="utf-8")) if name.split(": ")[1] not in allowed]
    assert found == [], f"{path.relative_to(ROOT)} reads private names: give them public ones, or pass what is needed"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_a_private_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "s2v":
            assert not [alias.name for alias in node.names if _is_private(alias.name)], f"{path}:{node.lineno}"
