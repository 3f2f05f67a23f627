"""The two TensorRT modules, `tensorrt` and `tensorrt_rtx`: found, told apart, and made to report their errors."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from s2v.engine.backends.graphs import one_line
from s2v.errors import BackendError
from s2v.extras import how_to_install

RuntimeName = Literal["auto", "tensorrt", "tensorrt_rtx"]

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class TensorRT:
    """One of the two modules."""

    trt: Any
    name: str  # "tensorrt" or "tensorrt_rtx"
    version: str

    @property
    def portable(self) -> bool:
        """Engines are built for a list of GPUs, on any machine."""
        return self.name == "tensorrt_rtx"


def load_tensorrt(name: RuntimeName = "auto", has_gpu: bool = True) -> TensorRT:
    """Import the module; "auto" prefers `tensorrt` where there is a GPU, and skips it where there is none.

    Raises: BackendError, it is not installed or cannot be loaded.
    """
    names = (name,) if name != "auto" else ("tensorrt", "tensorrt_rtx") if has_gpu else ("tensorrt_rtx",)
    reasons = []
    for one in names:
        try:
            trt = import_module(one)
            return TensorRT(trt, one, str(trt.__version__))
        except Exception as error:  # a missing library shows as ImportError, OSError or RuntimeError
            reasons.append(f"{one}: {one_line(error)}")
    wanted = "tensorrt_rtx" if names == ("tensorrt_rtx",) else "tensorrt"
    raise BackendError(f"TensorRT cannot be loaded ({'; '.join(reasons)}): {how_to_install(wanted)}")


def make_logger(trt: Any) -> Any:
    """A TensorRT logger whose `errors` are the lines it was told; warnings go to our debug log."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)
            else:
                _log.debug("tensorrt: %s", message)

    return Logger()


def logged_error(logger: Any, otherwise: str) -> str:
    """The first error of a logger of ours as one line: the later ones follow from it."""
    return one_line(BackendError(logger.errors[0] if logger.errors else otherwise))


def targets_known(tensorrt: TensorRT) -> tuple[str, ...]:
    """GPU architectures that a portable engine can be built for: "sm_89"."""
    capabilities = getattr(tensorrt.trt, "ComputeCapability", None)
    names = getattr(capabilities, "__members__", {})
    return tuple(f"sm_{name[2:]}" for name in names if name.startswith("SM") and name[2:].isdigit())
