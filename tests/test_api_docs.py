"""docs/api.md is what scripts/make-api-docs makes of the docstrings."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import ROOT, sections_of

import s2v

SCRIPT = ROOT / "scripts" / "make-api-docs"
DOCUMENT = ROOT / "docs" / "api.md"
SAMPLE = '''
"""A package to be documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

Sound = Callable[[int], "bytes"]
Kind = Literal["loud", "soft"]
_Hidden = int


class WrongError(Exception):
    """Something is wrong."""


class DeepError(WrongError):
    """Deep down.

    More.
    """


class OtherError(WrongError):
    """Another."""


class Meter(Protocol):
    """Measures."""

    unit: str  # "dB"

    def read(self) -> float: ...


@dataclass(frozen=True)
class Level:
    """How loud."""

    level_db: float  # below full scale
    kind: Kind = "soft"
    names: list[str] = field(default_factory=list)
    _own: int = 0  # nobody's business


class Player:
    """Plays."""

    def __init__(self, path: Path = Path("/somewhere/on/this/machine"), on_end: Sound = print) -> None:
        """
        Args:
            path: what to play, a file or
                a folder.
            on_end: called at the end.
        """

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""

    @property
    def meter(self) -> Meter:
        """The meter."""
        raise NotImplementedError

    @cached_property
    def level(self) -> Level:
        """The level."""
        raise NotImplementedError

    @classmethod
    def of(cls, *paths: str, loud: bool = False, **more: object) -> Player:
        """One for these. Returns: never written.

        Returns: a player,
            ready.
        Raises: WrongError, no paths.
        """
        raise NotImplementedError

    def play(self, at: int, /, speed: float = 1.0, *, kind: Kind = "loud", pauses: tuple[int, ...] = (1, 2)) -> None:
        """Play."""

    def _hidden(self, what: _Hidden) -> None:
        """Not shown."""


def open_player(path: str | None = None) -> Player:
    """Open one."""
    raise NotImplementedError


rate_hz = 8
__version__ = "9"
__all__ = ["DeepError", "OtherError", "Player", "WrongError", "__version__", "open_player", "rate_hz"]
'''


def _script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("make_api_docs", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document of a package made up here."""
    path = tmp_path_factory.mktemp("sample") / "s2v_sample.py"
    path.write_text(SAMPLE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("s2v_sample", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["s2v_sample"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return str(_script().document(module))
    finally:
        del sys.modules["s2v_sample"]


def test_the_document_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_everything_offered_has_its_place() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = sections_of(text)
    errors = sections.get("Errors", "")
    for name in s2v.__all__:
        if not name.startswith("_"):
            assert name in sections or re.search(rf"\b{name}\b", errors), name


def test_nothing_of_this_machine_is_in_it(sample: str) -> None:
    for text in (DOCUMENT.read_text(encoding="utf-8"), sample):
        assert not re.search(r"0x[0-9a-f]{6}|PosixPath|<function|<built-in", text)
        assert str(ROOT) not in text and str(Path.home()) not in text and "/somewhere" not in text


def test_a_class_is_shown_as_a_stub_with_its_documentation(sample: str) -> None:
    player = sections_of(sample)["Player"]
    stub = (
        "class Player:\n"
        "    def __init__(self, path: Path = ..., on_end: Sound = ...) -> None: ...\n"
        "    @property\n    def meter(self) -> Meter: ...\n"
        "    @property\n    def level(self) -> Level: ...\n"
        "    @classmethod\n    def of(cls, *paths: str, loud: bool = False, **more: object) -> Player: ...\n"
        "    def play(\n        self,\n        at: int,\n        /,\n        speed: float = 1.0,\n        *,\n"
        '        kind: Kind = "loud",\n        pauses: tuple[int, ...] = (1, 2),\n    ) -> None: ...\n'
    )
    assert stub in player
    compile(stub, "stub", "exec")
    assert "Plays." in player and "`with` block" in player and "_hidden" not in sample
    assert "- `path`: what to play, a file or\n  a folder.\n- `on_end`: called at the end.\n" in player
    of = sections_of(sample)["Player.of"]
    assert of.strip() == (
        "One for these. Returns: never written.\n\n*Returns:* a player,\n    ready.\n\n*Raises:* WrongError, no paths."
    )


def test_types_that_are_only_named_are_shown_with_the_comments_of_their_fields(sample: str) -> None:
    sections = sections_of(sample)
    assert 'level_db: float  # below full scale\n    kind: Kind = "soft"\n' in sections["Level"]
    assert "_own" not in sample and "Level(" not in sample
    assert (
        'unit: str  # "dB"\n\n    def read(self) -> float: ...' in sections["Meter"]
        and "__init__" not in sections["Meter"]
    )
    assert 'Kind = Literal["loud", "soft"]' in sections["Kind"]
    assert "Sound = Callable[[int], " in sections["Sound"] and "_Hidden" not in sections
    assert sections["open_player"].strip().endswith("Open one.") and "rate_hz" in sections
    assert "def open_player(path: str | None = None) -> Player: ..." in sections["open_player"]


def test_errors_are_a_tree(sample: str) -> None:
    assert sections_of(sample)["Errors"].strip() == (
        "```text\nWrongError      Something is wrong.\n├── DeepError   Deep down.\n└── OtherError  Another.\n```"
    )
