"""docs/architecture.md, .toml and .svg say what the folders and imports are."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from _architecture import FILES, PACKAGE, folder_of, imports_of, modules, read_rooms, target_of
from _layered import place, rows_of, without_implied
from documents import ROOT, sections_of, table_of

DOCUMENT = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"
SVG = "{http://www.w3.org/2000/svg}"


def _script() -> ModuleType:
    path = str(ROOT / "scripts" / "draw-architecture")
    loader = importlib.machinery.SourceFileLoader("draw_architecture", path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_picture_and_tables_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "draw-architecture"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_the_same_code_makes_the_same_picture(seed: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "draw-architecture"), "--check"]
    assert subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, timeout=60).returncode == 0


def test_every_folder_has_a_row_and_every_row_a_folder() -> None:
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    folders = {path.parent.as_posix() for path in files} - {"."}
    alone = {path.stem for path in PACKAGE.glob("*.py")}
    rooms = read_rooms()
    assert {name for name in rooms if name not in alone} == folders
    assert alone <= rooms.keys()
    assert all(room.purpose for room in rooms.values())
    named = {row[0] for row in table_of(sections_of(DOCUMENT.read_text(encoding="utf-8"))["Rooms"], "room")}
    assert named == {f"`s2v/{name}/`" for name in folders} | {f"`s2v/{name}.py`" for name in alone}


def test_the_picture_holds_every_room_and_arrow_of_the_code() -> None:
    """Counted here once more, and read back out of the picture."""
    metadata = ElementTree.parse(PICTURE).getroot().find(f"{SVG}metadata")
    assert metadata is not None and metadata.text is not None
    facts = json.loads(metadata.text)
    found = set()
    for path in FILES:
        for _, name in imports_of(path):
            if name.startswith("s2v.") and (there := target_of(name)) and there != folder_of(path):
                found.add((folder_of(path), there))
    assert {tuple(arrow) for arrow in facts["arrows"]} == found
    counts = Counter(folder_of(path) for path in FILES if path.parent == PACKAGE or path.name != "__init__.py")
    assert facts["rooms"] == dict(counts) == dict(modules())


def test_every_room_with_modules_has_its_box_and_no_two_boxes_overlap() -> None:
    root = ElementTree.parse(PICTURE).getroot()
    boxes, titles = [], []
    for group in root.iter(f"{SVG}g"):
        rectangle, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        if rectangle is not None and title is not None and "box" in rectangle.attrib["class"].split():
            boxes.append([float(rectangle.attrib[name]) for name in ("x", "y", "width", "height")])
            titles.append(str(title.text).split(":")[0].removeprefix("s2v/"))
    assert sorted(titles) == sorted(name for name in read_rooms() if modules()[name])
    for (x, y, w, h), (u, v, a, b) in itertools.combinations(boxes, 2):
        assert x + w < u or u + a < x or y + h < v or v + b < y


def test_every_arrow_of_the_picture_points_down_and_misses_the_groups_between() -> None:
    root = ElementTree.parse(PICTURE).getroot()
    groups = [
        [float(rectangle.attrib[name]) for name in ("x", "y", "width", "height")]
        for rectangle in root.iter(f"{SVG}rect")
        if rectangle.attrib["class"].startswith("group")
    ]
    outer = [path for path in root.iter(f"{SVG}path") if path.attrib.get("class") == "out"]
    assert len(groups) > 4 and len(outer) > 5
    for path in outer:
        points = _points(path.attrib["d"])
        assert all(one[1] <= two[1] for one, two in itertools.pairwise(points)), "down"
        for px, py in points:
            assert not any(x < px < x + w and y + 1 < py < y + h - 1 for x, y, w, h in groups), path.attrib["d"]


def _points(d: str) -> list[tuple[float, float]]:
    """Points along a path of cubic curves, close together."""
    numbers = [float(one) for one in re.findall(r"-?[\d.]+", d)]
    here, points = (numbers[0], numbers[1]), []
    for i in range(2, len(numbers), 6):
        (ax, ay), (bx, by), (cx, cy) = (tuple(numbers[i + k : i + k + 2]) for k in (0, 2, 4))
        for t in (n / 20 for n in range(21)):
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            xs, ys = (here[0], ax, bx, cx), (here[1], ay, by, cy)
            points.append(tuple(round(sum(w * v for w, v in zip(weights, vs, strict=True)), 3) for vs in (xs, ys)))
        here = (cx, cy)
    return [(x, y) for x, y in points]


def test_the_layout_leaves_out_what_follows_and_puts_below_what_is_pointed_at() -> None:
    arrows = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert without_implied(arrows) == {("a", "b"), ("b", "c"), ("a", "d")}
    assert rows_of(["c", "d", "b", "a"], arrows) == {"a": 0, "b": 1, "c": 2, "d": 1}
    placed = place(dict.fromkeys("abcd", (20.0, 10.0)), arrows, (5.0, 7.0))
    for here, there in arrows:
        assert placed.corners[there][1] >= placed.corners[here][1] + 10 + 7
        assert placed.paths[here, there][0][1] == placed.corners[here][1] + 10
        assert placed.paths[here, there][-1][1] == placed.corners[there][1]
    assert placed.height == 3 * 10 + 2 * 7
    (left, _), (right, _) = sorted([placed.corners["b"], placed.corners["d"]])
    assert right >= left + 20 + 5


def test_the_script_finds_what_is_out_of_date() -> None:
    script = _script()
    rooms = script.tables(read_rooms(), modules())
    text = DOCUMENT.read_text(encoding="utf-8")
    assert script.filled_in(text, rooms) == text
    stale = text.replace("| `s2v/engine/audio/` |", "| `s2v/engine/sound/` |")
    assert stale != text and script.filled_in(stale, rooms) == text
    with pytest.raises(AssertionError, match="0 places"):
        script.filled_in("no marks", rooms)


@pytest.mark.parametrize("path", sorted(set(re.findall(
    r"\b(?:engine|streaming|media|training|benchmarks|commands|spec|errors|machine)(?:/[a-z_/]+)?(?:/|\.py)(?=[\s`,)])",
    re.sub(r"<!-- (\w+): .*?<!-- end of \1 -->", "", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL),
))))  # fmt: skip
def test_what_the_prose_names_is_there(path: str) -> None:
    assert (PACKAGE / path).exists()


def test_every_class_and_method_in_the_prose_exists() -> None:
    names = {
        f"{node.name}.{inner.name}"
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef)
    }
    said = set(re.findall(r"`([A-Z]\w+\.\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert said and said <= names


def test_no_path_of_a_machine_gets_into_the_picture() -> None:
    assert str(Path.home()) not in PICTURE.read_text(encoding="utf-8") and str(ROOT) not in PICTURE.read_text("utf-8")
