"""Streams of GPUs, each with one owner at a time, and how what is queued on one is captured."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal

import torch

from s2v.engine.backends.graphs import one_line

_idle: list[tuple[torch.device, torch.cuda.Stream]] = []
_choosing = threading.Lock()
_failed: list[torch.cuda.CUDAGraph] = []  # that torch 2.11 goes on asking whether they are being captured


def own_stream(
    owner: object, device: torch.device, make: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream
) -> torch.cuda.Stream:
    """A stream that nobody else has while its owner lives; then the next one gets it.

    cuBLAS keeps working memory for each stream on which a matrix product was ever computed, 32 MiB on a Hopper GPU:
    with new streams for each backend that is opened, memory would be lost until all of torch's 32 have been used.
    """
    with _choosing:
        found = next((one for one in reversed(_idle) if one[0] == device), None)
        if found is not None:
            _idle.remove(found)
    stream = make(device) if found is None else found[1]
    weakref.finalize(owner, _idle.append, (device, stream)).atexit = False
    return stream


def captured(
    work: Callable[[], object],
    stream: torch.cuda.Stream,
    pool: Any,
    errors_of: Literal["global", "thread_local"] = "thread_local",
) -> torch.cuda.CUDAGraph:
    """Capture work as a CUDA graph. With the stream being the current one.

    Args:
        pool: of `torch.cuda.graph_pool_handle`.
        errors_of: whose forbidden calls make it fail: with "thread_local", other threads may allocate meanwhile.
    Raises: whatever torch and the driver raise, see `reason`; the pool must not be used again then, but others can.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=errors_of):
            work()
    except Exception:
        # Up to 2.11, torch's allocators then think for ever that this pool is being filled (pytorch/pytorch#180395):
        # nothing could be captured any more. The one of the device can be told, that of the host need not be.
        try:
            torch._C._cuda_endAllocateToPool(stream.device.index, pool)
        except Exception:
            pass  # newer ones know, and take the memory back with the graph
        else:
            _failed.append(graph)
        raise
    return graph


def reason(error: Exception) -> str:
    """Why a capture failed: ending one in which something went wrong fails, too, and only says that it did."""
    first = error.__context__
    return one_line(first if isinstance(first, Exception) else error)
