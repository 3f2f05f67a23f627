"""Keeps the arrows of the architecture: who may import whom, read from the import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "s2v"
FILES = sorted(PACKAGE.rglob("*.py"))

# A room is a folder of s2v or one of its own modules.
ROOMS = {
    "cli": {"streaming", "errors", "cli_bench", "cli_command", "cli_compile", "cli_doctor", "cli_face"}
    | {"cli_live", "cli_evaluate", "cli_training", ""},
    "cli_live": {"streaming", "errors", "cli_command", "cli_face", "cli_access", "cli_sessions", "cli_voice"},
    "cli_sessions": {"engine", "streaming", "cli_face"},
    "cli_access": {"streaming", "errors"},
    "cli_voice": {"streaming", "errors"},
    "cli_doctor": {"streaming", "errors", "cli_command", "cli_access"},
    "cli_compile": {"engine", "errors", "cli_command"},
    "cli_bench": {"benchmarks", "cli_bench_gpu", "cli_bench_options", "cli_command", "cli_face"},
    "cli_bench_gpu": {"benchmarks", "errors", "cli_bench_options"},
    "cli_bench_options": set(),
    "cli_face": set(),
    "cli_training": {"training", "spec", "errors", "cli_command"},
    "cli_evaluate": {"engine", "training", "spec", "errors", "cli_command"},
    "cli_command": set(),
    "__main__": {"cli"},
    "__init__": {"spec", "errors"},
    "benchmarks": {"streaming", "engine", "spec", "errors", ""},
    "streaming": {"engine", "spec", "errors", ""},
    "training": {"engine", "spec", "errors", ""},
    "engine": {"spec", "errors"},
    "spec": {"errors"},
    "errors": set(),
}
# Everything that is not the standard library, by room ...
LIBRARIES = {
    "streaming": {"numpy", "cv2", "av", "aiortc", "aioice", "aiohttp", "pyaudio", "tqdm"},
    "benchmarks": {"numpy"},
    "cli_bench_options": {"tqdm"},
    "cli_compile": {"tqdm"},
    "training": {"numpy", "cv2", "torch", "onnx", "onnxscript", "tqdm", "pocketsphinx", "av"},
    "engine": {"numpy", "cv2"},
}
# ... and what only some files of a room may use besides.
OWN_LIBRARIES = {
    "engine/face.py": {"mediapipe"},
    "engine/backends/half_precision.py": {"onnx"},
    "engine/backends/onnx.py": {"onnxruntime"},
    "engine/backends/openvino.py": {"openvino"},
    "engine/backends/tensorrt/backend.py": set(),  # only through onnx.py beside it; TensorRT and CUDA when it is opened
    "engine/backends/tensorrt/compile.py": set(),
    "engine/backends/torch/backend.py": {"torch"},
    "engine/backends/torch_drawing/canvas.py": {"torch"},
    "engine/backends/torch_drawing/compose.py": set(),  # only through those beside it
    "engine/backends/torch/device.py": {"torch"},
    "engine/backends/torch_drawing/draw.py": {"torch"},
    "engine/backends/torch_drawing/eyes.py": {"torch"},
    "engine/backends/torch_drawing/frame.py": {"torch"},
    "engine/backends/torch_drawing/lane.py": {"torch"},
    "engine/backends/torch/memory.py": {"torch"},
    "engine/backends/torch_drawing/mouth_tables.py": {"torch"},
    "engine/backends/torch_drawing/numbers.py": {"torch"},
    "engine/backends/torch/ops.py": {"torch"},
    "engine/backends/torch_drawing/paint.py": {"torch"},
    "engine/backends/torch/plan.py": {"torch"},
    "engine/backends/torch/program.py": {"torch", "onnx"},
    "engine/backends/torch/runner.py": {"torch"},
    "engine/backends/torch/streams.py": {"torch"},
    "engine/backends/torch_drawing/tables.py": {"torch"},
    "engine/backends/torch_drawing/warp.py": {"torch"},
    "streaming/metrics.py": {"prometheus_client"},
    "benchmarks/caller.py": {"av", "aiohttp", "aiortc"},
    "benchmarks/crowd.py": set(),  # only through the two beside it
    "benchmarks/ears.py": {"av", "aiortc"},
    "benchmarks/encoders.py": {"aiortc"},
    "benchmarks/end_to_end_plot.py": {"matplotlib"},
    "benchmarks/gpu.py": set(),  # only through roofline.py beside it
    "benchmarks/gpu_backend.py": set(),
    "benchmarks/gpu_plot.py": {"matplotlib"},
    "benchmarks/gpu_probe.py": {"torch"},
    "benchmarks/load_plot.py": {"matplotlib"},
    "benchmarks/peer_code.py": {"torch"},
    "benchmarks/peer_onnx.py": {"onnx"},
    "benchmarks/peer_torch.py": {"torch"},
    "benchmarks/plotting.py": {"matplotlib"},  # only for its types
    "benchmarks/roofline.py": {"onnx"},
    "benchmarks/stages_plot.py": {"matplotlib"},
    "benchmarks/wire.py": {"aioice", "aiortc"},
    "training/evaluation/plots.py": {"matplotlib"},
    "training/synthesizers.py": {"hibari"},
    "training/words.py": {"num2words"},
}
# These cost most of a second, or need more than numpy and OpenCV: never while `s2v.engine` is imported.
RUNTIMES = ["mediapipe", "onnxruntime", "openvino", "torch", "onnx", "tensorrt", "scipy", "matplotlib"]
STREAMING_LIBRARIES = ["av", "aiortc", "aioice", "aiohttp", "pyaudio", "tqdm"]


def _room(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


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


def _is_public_name(name: str) -> bool:
    """`from s2v import __version__` and the like: a name of the package itself, not a room."""
    head = name.split(".")[1] if "." in name else ""
    return not ((PACKAGE / head).is_dir() or (PACKAGE / f"{head}.py").is_file())


def test_there_is_something_to_check() -> None:
    assert {_room(path) for path in FILES} == set(ROOMS)
    for name in OWN_LIBRARIES:
        assert (PACKAGE / name).is_file(), f"{name} is gone: take it out of OWN_LIBRARIES"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room, own = _room(path), OWN_LIBRARIES.get(path.relative_to(PACKAGE).as_posix(), set())
    for line, name in _imports(path):
        head = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}: {room} may not import {name}"
        if head == "s2v":
            target = "" if _is_public_name(name) else name.split(".")[1]
            assert target in ROOMS[room] | {room}, where
        elif head not in sys.stdlib_module_names:
            assert head in LIBRARIES.get(room, set()) | own, where


def test_the_command_line_imports_only_the_standard_library_until_a_command_runs() -> None:
    ours = {
        "s2v",
        "s2v.errors",
        "s2v.cli_command",
        "s2v.cli_face",
        "s2v.cli_voice",
        "s2v.cli_access",
        "s2v.cli_bench_gpu",
        "s2v.cli_bench_options",
        "s2v.cli_sessions",
    }
    for file in PACKAGE.glob("cli*.py"):
        for node in _at_import_time(ast.parse(file.read_text(encoding="utf-8")).body):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names or name in ours, (file.name, name)


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


ENGINE_MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if _room(path) == "engine"
    and OWN_LIBRARIES.get(path.relative_to(PACKAGE).as_posix(), {"mediapipe"}) == {"mediapipe"}
]


def test_the_engine_loads_where_only_numpy_and_opencv_are_installed() -> None:
    """All of it but the runtimes' own files, which only `open_backend` loads."""
    assert "s2v.engine.lipsync" in ENGINE_MODULES
    code = "\n".join(f"import {name}" for name in ENGINE_MODULES)
    loaded = _loaded_by(code, *RUNTIMES, *STREAMING_LIBRARIES)
    assert {"numpy", "cv2"} <= loaded


def test_benchmarks_load_on_a_machine_without_the_streaming_libraries() -> None:
    """All but the files that place a call."""
    names = [path.stem for path in FILES if _room(path) == "benchmarks"]
    calling = {Path(name).stem for name in OWN_LIBRARIES if name.startswith("benchmarks/")}
    light = [f"s2v.benchmarks.{name}" for name in names if name not in {"__init__", *calling}]
    assert "s2v.benchmarks.end_to_end" in light
    _loaded_by("\n".join(f"import {name}" for name in light), *RUNTIMES, *STREAMING_LIBRARIES)


def test_live_and_generate_need_no_torch() -> None:
    code = "import s2v.streaming.server, s2v.streaming.generate, s2v.streaming.talker"
    assert "torch" not in _loaded_by(code, "torch", "onnx", "scipy")
