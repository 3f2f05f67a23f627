"""One timed run of a network, by the wall's clock and, where there is one, the GPU's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    pass


class TimedRun(NamedTuple):
    """One run of one batch."""

    wall_ms: float
    gpu_ms: float | None  # by CUDA events


Run = Callable[[], TimedRun]
