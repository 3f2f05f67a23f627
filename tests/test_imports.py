"""Keeps the arrows of the architecture: who may import whom, read from the import statements."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "s2v"
FILES = sorted(PACKAGE.rglob("*.py"))

# Who may import whom, by folder: itself, what is below it, and these. The nearest row counts; nothing points up.
ARROWS = {
    "__init__": {"engine", "media", "spec", "errors"},
    "__main__": {"cli"},
    "cli": {"commands", "errors", "extras", ""},
    "commands": {
        "doctor",
        "benchmarks",
        "training",
        "streaming",
        "media",
        "engine",
        "spec",
        "errors",
        "machine",
        "bundled",
    },
    "doctor": {"streaming", "engine", "errors", "machine", "bundled", "extras", ""},
    "benchmarks": {"streaming", "media", "engine", "spec", "errors", "machine", "files", "bundled", ""},
    "benchmarks/baselines": {"benchmarks", "engine", "errors", "extras"},
    "benchmarks/gpu": {"benchmarks", "engine", "errors", "bundled"},
    "benchmarks/live": {"benchmarks", "streaming", "media", "engine", "spec", "errors", "machine", "bundled"},
    "training": {"media", "engine", "spec", "errors", "machine", "files", "bundled", "extras", ""},
    "streaming": {"media", "engine", "spec", "errors", "machine"},
    "streaming/sources": {"media", "errors", "extras"},
    "streaming/session": {"streaming/sources", "media", "engine", "spec"},
    "streaming/webrtc": {"streaming/session", "streaming/sources", "errors"},
    "streaming/broadcast": {"streaming/session", "streaming/sources", "media", "errors"},
    "streaming/render": {"media", "engine", "spec", "errors", "machine"},
    "media": {"engine", "spec", "errors", "machine", "files", ""},
    "engine": {"spec", "errors", "machine", "extras"},
    "engine/audio": {"spec", "errors"},
    "engine/face": {"spec", "errors", "bundled"},
    "engine/backends": {"engine/face", "spec", "errors", "machine", "files", "bundled", "extras"},
    "engine/compositor": {"engine/backends", "engine/face", "spec", "errors"},
    "bundled": set(),
    "extras": set(),
    "files": set(),
    "machine": set(),
    "spec": {"errors"},
    "errors": set(),
}
# Everything that is not the standard library, by folder; what a folder may use, those in it may too.
LIBRARIES = {
    "engine": {"numpy", "cv2"},
    "engine/face": {"mediapipe"},
    "engine/backends": {"onnx", "onnxruntime", "openvino"},
    "engine/backends/torch": {"torch"},
    "engine/compositor/torch": {"torch"},
    "media": {"numpy", "cv2", "av", "tqdm"},
    "streaming": {"numpy", "cv2", "av", "aiortc", "aioice", "aiohttp"},
    "streaming/sources": {"pyaudio"},
    "streaming/server": {"prometheus_client"},
    "doctor": {"aiortc", "aioice", "aiohttp", "av", "numpy"},
    "commands": {"tqdm"},
    "benchmarks": {"numpy", "matplotlib", "onnx", "aiortc"},
    "benchmarks/baselines": {"torch"},
    "benchmarks/gpu": {"torch"},
    "benchmarks/live": {"av", "aiohttp", "aioice"},
    "training": {"numpy", "cv2", "torch", "onnx", "onnxscript", "tqdm", "av", "matplotlib"},
    "training/voices": {"pocketsphinx", "hibari", "num2words"},
}
MOST_MODULES = 16  # in a folder: what can be taken in at a glance
# These cost most of a second, or need more than numpy and OpenCV: never while `s2v.engine` is imported.
RUNTIMES = ["mediapipe", "onnxruntime", "openvino", "torch", "onnx", "tensorrt", "scipy", "matplotlib"]
STREAMING_LIBRARIES = ["av", "aiortc", "aioice", "aiohttp", "pyaudio", "tqdm"]


def _folder(path: Path) -> str:
    """ "engine/audio" for a module in it, "spec" for a module of the package itself."""
    inside = path.relative_to(PACKAGE)
    return inside.parent.as_posix() if len(inside.parts) > 1 else inside.stem


def _row(table: Mapping[str, object], folder: str) -> str | None:
    """The nearest row for a folder: its own or that of one around it."""
    parts = folder.split("/")
    return next((name for n in range(len(parts), 0, -1) if (name := "/".join(parts[:n])) in table), None)


def _is_within(folder: str, around: str) -> bool:
    return folder == around or folder.startswith(f"{around}/")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name, not a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


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


def _target(name: str) -> str:
    """The folder of a module that is imported by its full name; "" for a name of the package itself."""
    parts = name.split(".")
    for n in range(len(parts), 1, -1):
        at = PACKAGE.joinpath(*parts[1:n])
        if at.is_dir():
            return at.relative_to(PACKAGE).as_posix()
        if at.with_suffix(".py").is_file():
            return _folder(at.with_suffix(".py"))
    return ""


def test_every_row_is_about_something() -> None:
    folders = {_folder(path) for path in FILES}
    for table in (ARROWS, LIBRARIES):
        for name in table:
            assert any(_is_within(folder, name) for folder in folders), f"there is no {name}: take its row out"
    assert {folder.split("/")[0] for folder in folders} == {name.split("/")[0] for name in ARROWS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    folder = _folder(path)
    row = _row(ARROWS, folder)
    assert row is not None, f"{folder} has no row in ARROWS"
    libraries = {library for name, some in LIBRARIES.items() if _is_within(folder, name) for library in some}
    for line, name in _imports(path):
        head = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}: {folder} may not import {name}"
        if head == "s2v":
            target = _target(name)
            allowed = (
                target in ARROWS[row]
                if not target
                else any(_is_within(target, one) for one in {row, *ARROWS[row]} - {""})
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
        for _, imported in _imports(path):
            target = next((one for one in (imported, imported.rpartition(".")[0]) if one in names), None)
            here, there = (_folder(path), _folder(names[target])) if folders and target else (name, target)
            if there is not None and here != there:
                arrows.setdefault(here, set()).add(there)
    graphlib.TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    modules = Counter(_folder(path) for path in FILES if path.parent != PACKAGE and path.stem != "__init__")
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
    ours = ("s2v", "s2v.bundled", "s2v.errors", "s2v.extras", "s2v.commands")
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
    light = [path for path in FILES if _folder(path) not in HEAVY and path.stem not in HEAVY_FILES]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in light if _is_within(_folder(path), top)]


@pytest.mark.parametrize(("top", "among"), [("engine", "s2v.engine.lipsync"), ("benchmarks", "s2v.benchmarks.stages")])
def test_engine_and_benchmarks_load_where_only_numpy_and_opencv_are_installed(top: str, among: str) -> None:
    names = _light(top)
    assert among in names
    loaded = _loaded_by("\n".join(f"import {name}" for name in names), *RUNTIMES, *STREAMING_LIBRARIES)
    assert {"numpy", "cv2"} <= loaded


def test_live_and_generate_need_no_torch() -> None:
    code = "import s2v.streaming.server.serve, s2v.media.generate, s2v.media.talker"
    assert "torch" not in _loaded_by(code, "torch", "onnx", "scipy")
