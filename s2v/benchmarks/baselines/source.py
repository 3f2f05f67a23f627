"""Where a baseline comes from, and one way to run it beside ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from s2v.benchmarks.timed_run import Run

Shape = tuple[int, ...]


@dataclass(frozen=True)
class BaselineSource:
    """A torch network in a checkout, or one exported to ONNX."""

    folder: Path
    module: str  # "models.wav2lip"
    name: str  # of its class, which needs no arguments
    inputs: tuple[Shape, ...]  # of one frame, without the batch dimension
    weights: Path | None = None  # None: random ones
    about: str = "whatever it does in one call"


def wav2lip(folder: Path, weights: Path | None = None) -> BaselineSource:
    """The generator of github.com/Rudrabha/Wav2Lip."""
    about = (
        "draws the whole 96x96 crop of the face, lower half and all, from 0.2 s of mel spectrum; its encoder of the "
        "person runs for every frame"
    )
    return BaselineSource(folder, "models.wav2lip", "Wav2Lip", ((1, 80, 16), (6, 96, 96)), weights, about)


class RuntimePair(NamedTuple):
    """One way to run both."""

    how: str  # "torch, one thread, fp32"
    ours: Callable[[int], Run]  # args: the batch; makes everything ready
    baseline: Callable[[int], Run]


@dataclass(frozen=True)
class Network:
    """What one of the two is, and asks for."""

    name: str
    about: str
    outputs: tuple[Shape, ...]
    multiply_adds: int  # a frame
    parameters: int | None
