"""What benchmarks say at the end: percentiles, the machine, a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from s2v.machine import processor_name, usable_cores

LIBRARIES = (
    *("speech2vid", "aiortc", "av", "numpy", "onnx", "onnxruntime", "openvino"),
    *("opencv-contrib-python", "opencv-python-headless"),
    *("torch", "triton", "tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "cuda-bindings"),
)


@dataclass(frozen=True)
class Spread:
    """How a measured quantity is spread, in its own unit; all NaN-free, None where nothing was measured."""

    n: int
    p50: float | None
    p95: float | None
    p99: float | None
    highest: float | None

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 2) -> Spread:
        """Nearest-rank percentiles: each of them is a value that occurred, rounded to so many decimals."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, None, None, None, None)
        ranks = [ordered[-(-share * len(ordered) // 100) - 1] for share in (50, 95, 99, 100)]
        return cls(len(ordered), *(round(rank, digits) for rank in ranks))


def machine() -> dict[str, str | int | float]:
    """The machine and how busy it is, for a report; figures without it mean little."""
    load = {"load_1min": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        **load,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def stolen_s() -> float | None:
    """Processor seconds that this virtual machine wanted and its host gave to others, so far; None where none says."""
    try:
        times = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(times[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError, AttributeError):  # another system
        return None


def stolen_cores(begin_s: float | None, end_s: float | None, seconds: float) -> float | None:
    """Between two calls of `stolen_s`."""
    return None if begin_s is None or end_s is None else round((end_s - begin_s) / seconds, 2)


def versions() -> dict[str, str]:
    """Installed versions of what the figures depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def short_ms(spread: Spread) -> tuple[str | None, ...]:
    """Its percentiles for a table: two decimals, four where that would be too few."""
    return tuple(
        None if value is None else f"{value:.{2 if value >= 1 else 4}f}"
        for value in (spread.p50, spread.p95, spread.p99)
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns lined up: the first to the left, figures to the right; None is a dash."""
    texts = [list(head), *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = np.max([[len(cell) for cell in row] for row in texts], axis=0)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    )
