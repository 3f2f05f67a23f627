"""What torch knows and measures of a GPU: its peaks where no data sheet is at hand, and how fast kernels follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from s2v.benchmarks.peaks import Peak
from s2v.engine.backends.torch.streams import captured

SIDE = 8192  # of the matrices: 1.1e12 operations, some milliseconds
COPIED_BYTES = 2**30
STEPS = 200  # of a chain of kernels that do next to nothing
TRIALS = 5  # the fastest counts: what disturbs it only makes it slower


def torch_device() -> dict[str, str | int] | None:
    """Name, memory and versions of the first CUDA device; None if torch sees none."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_mib": properties.total_memory // 2**20,
        "memory_free_mib": torch.cuda.mem_get_info(0)[0] // 2**20,  # before: what others hold is missing
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }


def measured_peak(name: str, device: str = "cuda", side: int = SIDE, copied_bytes: int = COPIED_BYTES) -> Peak:
    """Products of large matrices, and copies from the device's memory to itself. Args: smaller ones are for tests."""
    with _exact_fp32():
        rates = []
        for dtype in (torch.float16, torch.float32):
            a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
            out = torch.empty_like(a)
            rates.append(2 * side**3 / _fastest_s(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device))  # type: ignore[misc]
    source = torch.zeros(copied_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    bytes_s = 2 * copied_bytes / _fastest_s(lambda: target.copy_(source), device)
    return Peak(name, rates[0], rates[1], bytes_s, "measured")


def step_us(device: str = "cuda") -> float:
    """Microseconds from the begin of one small kernel to that of the next, in a CUDA graph where each waits for the
    one before: what a graph of n such steps takes at least n times."""
    value = torch.zeros(1, device=device)

    def chain() -> None:
        for _ in range(STEPS):
            value.add_(1.0)

    if device == "cpu":
        return 1e6 * _fastest_s(chain, device) / STEPS
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        chain()
        side.synchronize()
        graph = captured(chain, side, torch.cuda.graph_pool_handle())
    torch.cuda.current_stream().wait_stream(side)
    return 1e6 * _fastest_s(graph.replay, device) / STEPS


def _fastest_s(work: Callable[[], object], device: str) -> float:
    """Of some runs after a first one that does not count."""
    work()
    return min(_seconds(work, device) for _ in range(TRIALS))


def _seconds(work: Callable[[], object], device: str) -> float:
    if device == "cpu":
        from time import perf_counter

        began_s = perf_counter()
        work()
        return perf_counter() - began_s
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    end.synchronize()
    taken_ms: float = begin.elapsed_time(end)
    return taken_ms / 1000


@contextmanager
def _exact_fp32() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before
