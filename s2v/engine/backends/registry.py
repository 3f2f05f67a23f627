"""The runtimes that draw frames, and how one is chosen.

A runtime asked for by name is used, or refused with the reason. "auto" chooses and logs its choice once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from s2v.bundled import BUNDLED_MODEL
from s2v.engine.backends.base import Backend
from s2v.engine.backends.model_file import ModelFile, read_model_file
from s2v.errors import BackendError, ModelError, S2vError
from s2v.extras import how_to_install
from s2v.loading import unloadable

DEFAULT_THREADS = 1  # a frame takes a few of its 40 ms; more threads would take the cores of other sessions

_log = logging.getLogger("s2v")


class Runtime(NamedTuple):
    """How a backend of some name is opened."""

    module: str  # in this package; has open_model(model, threads, **options) -> Backend
    library: str  # what must be installed for it
    options: Mapping[str, str | bool] = MappingProxyType({})
    needs_gpu: bool = False
    fastest: Mapping[str, str | bool] = MappingProxyType({})  # options instead, where speed counts and not sameness

    @property
    def in_float32(self) -> bool:
        """Whether it was told to compute in float32: on a GPU, only for comparing."""
        return self.options.get("precision") in ("fp32", "f32")

    @property
    def is_compiled(self) -> bool:
        """Whether torch.compile makes its kernels."""
        return bool(self.options.get("compiled"))


_TENSORRT, _TORCH = ("tensorrt.backend", "tensorrt"), ("torch.backend", "torch")
RUNTIMES: Mapping[str, Runtime] = {
    "openvino": Runtime("openvino", "openvino", fastest={"precision": "auto"}),
    "openvino-f32": Runtime("openvino", "openvino", {"precision": "f32"}),
    "openvino-bf16": Runtime("openvino", "openvino", {"precision": "bf16"}),
    "onnxruntime": Runtime("onnx", "onnxruntime"),
    "tensorrt": Runtime(*_TENSORRT, needs_gpu=True),
    "tensorrt-fp16": Runtime(*_TENSORRT, {"precision": "fp16"}, needs_gpu=True),
    "tensorrt-fp32": Runtime(*_TENSORRT, {"precision": "fp32"}, needs_gpu=True),
    "torch": Runtime(*_TORCH),
    "torch-cpu": Runtime(*_TORCH, {"device": "cpu"}),
    "torch-cuda": Runtime(*_TORCH, {"device": "cuda"}, needs_gpu=True),
    "torch-cuda-fp32": Runtime(*_TORCH, {"device": "cuda", "precision": "fp32"}, needs_gpu=True),
    "torch-cuda-compiled": Runtime(*_TORCH, {"device": "cuda", "compiled": True}, needs_gpu=True),
}
# OpenVINO reports to its maker, from a forked process, that it was imported; without this it takes its own stand-in.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
_AUTO_ORDER = ("openvino", "onnxruntime")  # the fastest on a CPU first
_DRIVER_FILES = ("/proc/driver/nvidia/version", "/dev/dxg")  # Linux; Linux inside Windows
_ON_A_GPU = {  # the fastest first; what each needs: one module of each group
    "tensorrt": (("tensorrt", "tensorrt_rtx"), ("cuda",), ("onnx",)),
    "torch-cuda": (("torch",), ("onnx",)),
}
BACKEND_NAMES = ("auto", *RUNTIMES)


def open_backend(
    model_path: Path | None = None, name: str = "auto", threads: int | None = None, fastest: bool = False
) -> Backend:
    """Read a model file and make it ready to run.

    Args:
        model_path: what `s2v export` wrote; None is the model that comes with the package.
        name: one of BACKEND_NAMES; "openvino" computes in float32, or see `fastest`,
            "tensorrt" computes in float16, and builds an engine for this GPU unless `s2v compile` has done so;
            "torch-cuda" computes in float16, too, and "torch-cuda-compiled" does so through torch.compile, which takes
            seconds for each batch size; "torch" takes a CUDA device if there is one. "auto" is what an NVIDIA GPU can
            be used with, else what is fastest on the CPU. `Backend.name` says what it became.
        threads: for one inference on the CPU; None is DEFAULT_THREADS.
        fastest: "openvino" tries float32 against bfloat16 by the clock and takes the faster: for live pictures. Without
            it a machine draws the same pictures each time.
    Raises: ModelError, see `read_model_file`. BackendError, an unknown name or a missing runtime.
    """
    threads = DEFAULT_THREADS if threads is None else threads
    if threads < 1:
        raise BackendError(f"{threads} threads cannot run a network: give 1 or more")
    if name not in BACKEND_NAMES:
        raise BackendError(f"no backend is called {name!r}: choose one of {', '.join(BACKEND_NAMES)}")
    model = bundled_model() if model_path is None else read_model_file(model_path)
    if name == "auto":
        return open_auto(model, threads, gpu_backends(), fastest)
    return _open(name, model, threads, fastest)


def open_auto(model: ModelFile, threads: int, on_a_gpu: Sequence[str], fastest: bool = False) -> Backend:
    """The first of these that can be used; where none can, the log says why, and it is a CPU runtime."""
    for name in on_a_gpu:
        try:
            backend = _open(name, model, threads, fastest)
        except S2vError as error:
            _log.warning("backend auto: %s cannot be used: %s", name, error)
        else:
            _log.info("backend auto: chose %s", name)
            return backend
    return _open(_choose(), model, threads, fastest)


def _open(name: str, model: ModelFile, threads: int, fastest: bool) -> Backend:
    runtime = RUNTIMES[name]
    try:
        module = import_module(f"{__package__}.{runtime.module}")
    except (ImportError, OSError) as error:
        _, advice = unloadable(error) or ("", how_to_install(runtime.library))
        raise BackendError(
            f"backend {name} cannot be loaded ({' '.join(str(error).split())[:300]}): {advice}"
        ) from error
    backend: Backend = module.open_model(model, threads, **(runtime.fastest if fastest else {}) or runtime.options)
    return backend


@cache
def gpu_backends() -> tuple[str, ...]:
    """What is likely to work here: an NVIDIA driver seems to be there, and all packages; loads none of them."""
    if not any(Path(file).exists() for file in _DRIVER_FILES):
        return ()
    return tuple(
        name for name, needs in _ON_A_GPU.items() if all(any(find_spec(one) for one in group) for group in needs)
    )


def bundled_model() -> ModelFile:
    """The model that comes with the package. Raises: ModelError, this installation has none."""
    if not BUNDLED_MODEL.is_file():
        raise ModelError(
            f"this installation has no model at {BUNDLED_MODEL}: reinstall speech2vid, or give --model FILE"
        )
    return read_model_file(BUNDLED_MODEL)


@cache
def _choose() -> str:
    """The first of _AUTO_ORDER that this machine can import; says so in the log, once per process."""
    unusable = []
    for name in _AUTO_ORDER:
        try:
            import_module(name)
        except (ImportError, OSError) as error:
            _log.info("backend %s is not available: %s", name, error)
            unusable.append(": ".join(unloadable(error) or (f"{name} is not installed", how_to_install(name))))
        else:
            _log.info("backend auto: chose %s", name)
            return name
    raise BackendError(f"no runtime can be used for backend auto; {'; '.join(unusable)}")
