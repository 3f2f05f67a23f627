"""What the documents of this repository say, in pieces that tests can hold against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each of these is read by people who type what it says; LOG.md tells what was typed once.
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md")))
    if path.is_file() and path.name != "LOG.md"
]


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int  # of its fence, from 1
    language: str  # "" where none is given
    text: str
    note: str = ""  # the HTML comment right above it

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks_of(document: Path, text: str | None = None) -> Iterator[Block]:
    """The fenced blocks of a document, in order; `text` stands in for what the file holds."""
    lines = (document.read_text(encoding="utf-8") if text is None else text).splitlines()
    fence, begun, note = "", 0, ""
    for number, line in enumerate(lines, 1):
        mark = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if not fence and mark:
            fence, begun = mark[1], number
        elif fence and mark and mark[1].startswith(fence) and not mark[2].strip():
            head = lines[begun - 1].strip().lstrip(fence[0]).split()
            body = lines[begun : number - 1]
            yield Block(document, begun, head[0] if head else "", "".join(f"{one}\n" for one in body), note)
            fence, note = "", ""
        elif not fence and line.strip():
            comment = re.fullmatch(r"<!--\s*(.*?)\s*-->", line.strip())
            note = comment[1] if comment else ""
    assert not fence, f"{document.name}:{begun}: this block has no end"


def sections_of(text: str) -> dict[str, str]:
    """Each heading, without its marks, and the text up to the next heading of any level; fenced blocks hold none."""
    sections: dict[str, str] = {}
    heading, fenced = "", False
    for line in text.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and (mark := re.fullmatch(r"#{1,6} (.+)\n", line)):
            heading = mark[1].strip()
            assert heading not in sections, f"two sections are called {heading!r}"
            sections[heading] = ""
        elif heading:
            sections[heading] += line
    return sections


def table_of(section: str, first_column: str) -> list[list[str]]:
    """The rows of the one table whose first column is called so, cell by cell, without its head."""
    tables = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    found = [rows for table in tables if (rows := [_cells(line) for line in table.splitlines()])[0][0] == first_column]
    assert len(found) == 1, f"{len(found)} tables begin with a column {first_column!r}"
    return found[0][2:]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def in_code(cell: str) -> str:
    """What a cell holds between backticks, and it holds nothing else."""
    assert re.fullmatch(r"`[^`]+`", cell), f"{cell!r} is not code"
    return cell[1:-1]
