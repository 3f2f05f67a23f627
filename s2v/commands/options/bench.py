"""What the benchmarks' options have in common: numbers within bounds, a plot, a bar that needs no library."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s2v.logs import tell

if TYPE_CHECKING:
    Kinds = argparse._SubParsersAction[argparse.ArgumentParser]  # argparse has no public name for it

Measure = Callable[[argparse.Namespace], object]


def add_kind(
    what: Kinds, name: str, text: str, description: str, measure: Measure, plot: str
) -> argparse.ArgumentParser:
    """One benchmark.

    Args:
        measure: returns a report with `as_text` and `as_json`.
        plot: the module of `s2v.benchmarks` whose function `plot` draws that report, and what it draws.
    """
    parser: argparse.ArgumentParser = what.add_parser(name, help=text, description=description)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    if plot:
        module, drawn = plot.split(": ")
        parser.add_argument("--plot", type=Path, metavar="FILE.png", help=f"draw {drawn} (needs matplotlib)")
        parser.set_defaults(plotter=module)
    else:
        parser.set_defaults(plot=None)
    parser.set_defaults(measure=measure)
    return parser


class Bar(Protocol):
    """The part of tqdm that is used here."""

    n: float

    def update(self, n: float) -> object: ...
    def set_description(self, text: str) -> object: ...


@contextmanager
def progress_bar(total: int | None, unit: str, text: str = "") -> Iterator[Bar]:
    """tqdm's on stderr, if it is a terminal; where tqdm is missing, a line whenever the description changes."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield _Lines()
        return
    with tqdm(total=total, unit=unit, desc=text, disable=None, file=sys.stderr) as bar:
        yield bar


class _Lines:
    """Fills `Bar`."""

    def __init__(self) -> None:
        self.n = 0.0

    def update(self, n: float) -> None:
        self.n += n

    def set_description(self, text: str) -> None:
        tell(logging.INFO, text)


def whole(what: str, lowest: int, highest: int) -> Callable[[str], int]:
    """Reads a whole number within bounds. Args: what: "a number of frames"."""

    def read(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not {what}: give {lowest} to {highest}")
        return int(text)

    return read


def several(one: Callable[[str], int]) -> Callable[[str], tuple[int, ...]]:
    """Reads whole numbers with commas between them."""
    return lambda text: tuple(one(part.strip()) for part in text.split(","))


def number(what: str, lowest: float, highest: float) -> Callable[[str], float]:
    """Reads a number within bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not {what} from {lowest:g} to {highest:g}")
        return value

    return read


side_px = whole("a long side in pixels", 128, 1080)
