"""A GPU for torch that is none: torch's CPU, behind a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from s2v.engine.backends.resident import batch_sizes
from s2v.engine.backends.torch.device import TorchCpuDevice, Work

# what makes the host wait for a GPU, and cannot be captured
_WAITS = frozenset({"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero", "aten::equal"})


class _NothingWaits(TorchDispatchMode):
    def __torch_dispatch__(self, call: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        assert call.name().split(".")[0] not in _WAITS, f"{call.name()} would wait for the GPU"
        return call(*given, **(named or {}))


class QueueDevice(TorchCpuDevice):
    """Fills `TorchDevice`: what is captured is queued when it is called, and done when it is waited for."""

    def __init__(self, most_rows: int = 8, faces: tuple[int, int] = (2, 8)) -> None:
        super().__init__()
        self.name = "queue"
        self.batch_sizes = batch_sizes(most_rows)
        self.faces = faces
        self.channels_last = True
        self.captures = 0
        self.waits = 0
        self.is_running = False
        self._queue: list[Work] = []

    @contextmanager
    def running(self, exact: bool = False) -> Iterator[None]:
        before, self.is_running = self.is_running, True
        with torch.no_grad():
            yield
        self.is_running = before

    def host(self, n_bytes: int) -> torch.Tensor:
        return torch.full((n_bytes,), 0, dtype=torch.uint8)

    def capture(self, work: Work, exact: bool = False) -> Work:
        assert self.is_running
        self.wait()
        self.captures += 1
        with _NothingWaits():  # type: ignore[no-untyped-call]  # torch does not say
            work()

        def launch() -> None:
            assert self.is_running
            self._queue.append(work)

        return launch

    def wait(self) -> None:
        self.waits += 1
        while self._queue:
            self._queue.pop(0)()

    def fence(self) -> Callable[[], None]:
        return self.wait

    def times_ms(self, work: Work, runs: int) -> list[float]:
        def once() -> None:
            work()
            self.wait()

        return super().times_ms(once, runs)
