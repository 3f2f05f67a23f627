"""The rooms of s2v as docs/architecture.toml describes them, and who imports whom as the import statements have it."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "s2v"
FILES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Room:
    """A folder of the package, or a module of the package itself, by its path below s2v."""

    name: str  # "engine/audio", "spec"
    purpose: str
    may_import: tuple[str, ...] | None  # None: what the room around it may
    libraries: tuple[str, ...]


def read_rooms(path: Path = ROOT / "docs" / "architecture.toml") -> dict[str, Room]:
    """The rooms in the order of the file."""
    rooms = {}
    for name, row in tomllib.loads(path.read_text(encoding="utf-8")).items():
        may_import = tuple(row["may_import"]) if "may_import" in row else None
        rooms[name] = Room(name, row["for"], may_import, tuple(row.get("libraries", ())))
        assert row.keys() <= {"for", "may_import", "libraries"}, f"{name} has a row that nobody reads"
    return rooms


def folder_of(path: Path) -> str:
    """ "engine/audio" for a module in it, "spec" for a module of the package itself."""
    inside = path.relative_to(PACKAGE)
    return inside.parent.as_posix() if len(inside.parts) > 1 else inside.stem


def nearest(table: Mapping[str, object], folder: str) -> str | None:
    """The nearest row for a folder: its own or that of one around it."""
    parts = folder.split("/")
    return next((name for n in range(len(parts), 0, -1) if (name := "/".join(parts[:n])) in table), None)


def is_within(folder: str, around: str) -> bool:
    return folder == around or folder.startswith(f"{around}/")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name, not a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def target_of(name: str) -> str:
    """The folder of a module that is imported by its full name; "" for a name of the package itself."""
    parts = name.split(".")
    for n in range(len(parts), 1, -1):
        at = PACKAGE.joinpath(*parts[1:n])
        if at.is_dir():
            return at.relative_to(PACKAGE).as_posix()
        if at.with_suffix(".py").is_file():
            return folder_of(at.with_suffix(".py"))
    return ""


def arrows() -> Counter[tuple[str, str]]:
    """How many imports go from one folder to another; the package's own names (its version) aside."""
    found: Counter[tuple[str, str]] = Counter()
    for path in FILES:
        for _, name in imports_of(path):
            here, there = folder_of(path), target_of(name)
            if name.split(".")[0] == "s2v" and there not in ("", here):
                found[here, there] += 1
    return found


def modules() -> Counter[str]:
    """How many modules each folder has, `__init__` aside."""
    return Counter(folder_of(path) for path in FILES if path.parent == PACKAGE or path.stem != "__init__")
