"""The GPU of this machine, for a report; needs torch or cuda-bindings, whichever is there."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from s2v.benchmarks.peaks import Peak, known_peak
from s2v.errors import BackendError

DRIVER_FILE = Path("/proc/driver/nvidia/version")

Found = TypeVar("Found")

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class GpuDevice:
    """One GPU, its driver, and what it could do at most."""

    name: str
    facts: dict[str, str | int]  # memory, compute capability, CUDA, driver, clocks: what could be found
    peak: Peak | None  # None where it is neither known nor can be measured
    step_us: float | None  # see `probe.step_us`


def find_gpu() -> GpuDevice:
    """The first GPU. Raises: BackendError, none: it says what was looked for."""
    looked: list[str] = []
    facts: dict[str, str | int] | None = None
    try:
        from s2v.benchmarks.gpu.probe import measured_peak, step_us, torch_device
    except ImportError as error:
        looked.append(f"torch is missing ({error})")
    else:
        facts = torch_device()
        if facts is not None:
            name = str(facts.pop("name"))
            peak = known_peak(name) or _attempt(lambda: measured_peak(name))
            return GpuDevice(name, facts | _driver(), peak, _attempt(lambda: round(step_us(), 3)))
        looked.append("torch sees no CUDA device")
    try:
        from s2v.engine.backends.tensorrt.cuda import CudaDevice

        device = CudaDevice()
    except (BackendError, ImportError) as error:
        looked.append(f"cuda-bindings finds none ({' '.join(str(error).split())[:200]})")
    else:
        capability = ".".join(map(str, device.capability))
        return GpuDevice(device.name, {"compute_capability": capability, **_driver()}, known_peak(device.name), None)
    looked.append(f"{DRIVER_FILE} is {'there' if DRIVER_FILE.exists() else 'missing'}")
    raise BackendError(
        f"no NVIDIA GPU can be used here: {', '.join(looked)}: check nvidia-smi, or name a CPU backend, "
        "as in --backend torch-cpu"
    )


def _attempt(measure: Callable[[], Found]) -> Found | None:
    """What only explains the other figures must not cost them."""
    try:
        return measure()
    except RuntimeError as error:  # torch's, and the driver's
        _log.warning("the GPU's own figures are missing: %s", " ".join(str(error).split())[:300])
        return None


def _driver() -> dict[str, str | int]:
    """What nvidia-smi says of the first GPU; where it is missing, the driver's version alone."""
    asked = ("driver_version", "clocks.max.sm", "clocks.max.memory", "power.limit", "mig.mode.current")
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(asked)}", "--format=csv,noheader", "--id=0"],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip
        values = [value.strip() for value in said.strip().splitlines()[0].split(",")]
        return {name.replace(".", "_"): value for name, value in zip(asked, values, strict=True)}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        _log.info("nvidia-smi says nothing: %s", error)
    try:
        found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", DRIVER_FILE.read_text(encoding="utf-8"))
    except OSError:
        found = None
    return {"driver_version": found[1]} if found else {}
