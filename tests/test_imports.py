"""Keeps the arrows of the architecture: who may import whom, read from the import statements."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from _architecture import FILES, PACKAGE, ROOT, folder_of, imports_of, is_within, nearest, read_rooms, target_of

# Who may import whom, and which libraries, by folder: the nearest row counts; nothing points up.
ROOMS = read_rooms()
ARROWS = {name: set(room.may_import) for name, room in ROOMS.items() if room.may_import is not None}
LIBRARIES = {name: set(room.libraries) for name, room in ROOMS.items() if room.libraries}
MOST_MODULES = 15  # in a folder: what can be taken in at a glance
# These cost most of a second, or need more than numpy and OpenCV: never while `s2v.engine` is imported.
RUNTIMES = ["mediapipe", "onnxruntime", "openvino", "torch", "onnx", "tensorrt", "scipy", "matplotlib"]
STREAMING_LIBRARIES = ["av", "aiortc", "aioice", "aiohttp", "pyaudio", "tqdm"]


def _at_import_time(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module is loaded: not those in functions, not for type checking only."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _at_import_time(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "handlers", "finalbody"):
                yield from _at_import_time(getattr(node, field, []))


def test_every_row_is_about_something() -> None:
    folders = {folder_of(path) for path in FILES}
    for table in (ARROWS, LIBRARIES):
        for name in table:
            assert any(is_within(folder, name) for folder in folders), (
                f"{name} is not there: see docs/architecture.toml"
            )
    assert {folder.split("/")[0] for folder in folders} == {name.split("/")[0] for name in ARROWS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    folder = folder_of(path)
    row = nearest(ARROWS, folder)
    assert row is not None, f"{folder} has no row in docs/architecture.toml"
    libraries = {library for name, some in LIBRARIES.items() if is_within(folder, name) for library in some}
    for line, name in imports_of(path):
        head = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}: {folder} may not import {name}"
        if head == "s2v":
            target = target_of(name)
            allowed = (
                target in ARROWS[row]
                if not target
                else any(is_within(target, one) for one in {row, *ARROWS[row]} - {""})
            )
            assert allowed, where
        elif head not in sys.stdlib_module_names:
            assert head in libraries or _is_optional(path, head), where


def _is_optional(path: Path, library: str) -> bool:
    """TensorRT and CUDA come through `import_module`; a test's stand-in may be in their place."""
    return library in {"tensorrt", "tensorrt_rtx", "cuda"} and "tensorrt" in path.parts


@pytest.mark.parametrize("folders", [False, True], ids=["modules", "folders"])
def test_nothing_imports_in_a_circle(folders: bool) -> None:
    names = {".".join(("s2v", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    arrows: dict[str, set[str]] = {}
    for name, path in names.items():
        for _, imported in imports_of(path):
            target = next((one for one in (imported, imported.rpartition(".")[0]) if one in names), None)
            here, there = (folder_of(path), folder_of(names[target])) if folders and target else (name, target)
            if there is not None and here != there:
                arrows.setdefault(here, set()).add(there)
    graphlib.TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    modules = Counter(folder_of(path) for path in FILES if path.parent != PACKAGE and path.stem != "__init__")
    assert {folder: n for folder, n in modules.items() if n > MOST_MODULES} == {}


def test_no_class_name_stands_twice() -> None:
    """Private ones aside: these are read in one file only."""
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, n in classes.items() if n > 1] == []


def test_the_command_line_imports_only_the_standard_library_until_a_command_runs() -> None:
    modules = ("bundled", "errors", "extras", "interrupts", "loading", "logs", "terminal", "version", "commands")
    ours = ("s2v", *(f"s2v.{name}" for name in modules))
    for file in [PACKAGE / "cli.py", *(PACKAGE / "commands").rglob("*.py")]:
        for node in _at_import_time(ast.parse(file.read_text(encoding="utf-8")).body):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                is_ours = name in ours or name.startswith("s2v.commands.")
                assert is_ours or name.split(".")[0] in sys.stdlib_module_names, (file.name, name)


def _loaded_by(code: str, *refused: str) -> set[str]:
    """Top-level modules in memory after `code` has run in a new Python that refuses to load `refused`."""
    script = f"""
import sys
for name in {refused!r}:
    sys.modules[name] = None
{code}
print(*(name for name, module in sys.modules.items() if module is not None and "." not in name))
"""
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    return set(outcome.stdout.split())


@pytest.mark.parametrize(
    "code", ["import s2v", "import s2v.cli", "import s2v.cli; s2v.cli.build_parser().format_help()"]
)
def test_the_package_and_its_help_load_nothing_heavy(code: str) -> None:
    loaded = _loaded_by(code)
    assert "s2v" in loaded
    assert not loaded & {"numpy", "cv2", *RUNTIMES, *STREAMING_LIBRARIES}


# What a bare machine has not got, by what loads it: only `open_backend`, or a benchmark that places a call.
HEAVY = {
    "engine/backends/torch",
    "engine/backends/tensorrt",
    "engine/compositor/torch",
    "benchmarks/live",
    "benchmarks/baselines",
}
HEAVY_FILES = {"__init__", "onnx", "openvino", "half_precision", "roofline", "encoders", "measure", "backend", "probe"}
HEAVY_FILES |= {"plot", "stages_plot"}


def _light(top: str) -> list[str]:
    bare = [path for path in FILES if not any(is_within(folder_of(path), heavy) for heavy in HEAVY)]
    light = [path for path in bare if path.stem not in HEAVY_FILES]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in light if is_within(folder_of(path), top)]


@pytest.mark.parametrize(("top", "among"), [("engine", "s2v.engine.lipsync"), ("benchmarks", "s2v.benchmarks.stages")])
def test_engine_and_benchmarks_load_where_only_numpy_and_opencv_are_installed(top: str, among: str) -> None:
    names = _light(top)
    assert among in names
    loaded = _loaded_by("\n".join(f"import {name}" for name in names), *RUNTIMES, *STREAMING_LIBRARIES)
    assert {"numpy", "cv2"} <= loaded


def test_live_and_generate_need_no_torch() -> None:
    code = "import s2v.streaming.server.serve, s2v.streaming.render.client, s2v.media.generate"
    assert "torch" not in _loaded_by(code, "torch", "onnx", "scipy")
