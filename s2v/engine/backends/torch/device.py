"""Where torch computes: the few things that differ between a CPU and a GPU, behind one protocol.

On a GPU all work goes into one stream that is not the default one, and what is done again and again is captured as a
CUDA graph. torch's rules for that (docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs): run it some times before,
on the stream that will capture (cuBLAS and cuDNN then have their working memory, and cuDNN has chosen its algorithms),
let it touch only memory that stays where it is, ask the GPU for no value, and capture in one thread at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from s2v.engine.backends.base import ComputeDevice, DeviceKind
from s2v.engine.backends.graphs import one_line
from s2v.engine.backends.resident import batch_sizes
from s2v.engine.backends.torch.streams import captured, own_stream, reason
from s2v.errors import BackendError

Work = Callable[[], None]  # reads and writes tensors that were there before, and leaves no other behind

WARM_UPS = 3
MOST_ROWS = 256

_CAPTURING = threading.RLock()  # one capture at a time in a process, as torch asks for
_log = logging.getLogger("s2v")


@runtime_checkable
class TorchDevice(ComputeDevice, Protocol):
    """One device. Used by one thread at a time."""

    device: torch.device
    stream: torch.cuda.Stream | None  # where all work is queued; None where calls return when they are done
    batch_sizes: tuple[int, ...]  # what is worth preparing for
    faces: tuple[int, int]  # identities to have room for, at first and at most
    channels_last: bool

    def running(self, exact: bool = False) -> AbstractContextManager[None]:
        """Around all torch calls of the calling thread: this device, its stream, no gradients.

        Args: exact: float32 is float32, not TF32. What is captured has a setting of its own.
        """

    def host(self, n_bytes: int) -> Tensor:
        """Zeroed host memory, uint8, that the device can read and write by itself."""

    def capture(self, work: Work, exact: bool = False) -> Work:
        """Run `work` a few times, and return what does it again at the least cost. Within `running`.

        Args: exact: float32 is float32, not TF32.
        """

    def wait(self) -> None:
        """Return when everything queued is done."""

    def fence(self) -> Callable[[], None]:
        """A call that returns when what is queued now is done."""

    def times_ms(self, work: Work, runs: int) -> list[float]:
        """How long the device takes for each of several runs. Within `running`."""

    def captured_bytes(self) -> int:
        """Device memory that captured work keeps for itself."""

    def release(self) -> None:
        """Give back what torch keeps for later and nobody uses."""


class TorchCpuDevice:
    """Fills `TorchDevice`. Nothing is queued, so nothing is captured: work is called again."""

    kind: DeviceKind = "cpu"
    runs_torch = True

    def __init__(self) -> None:
        self.name = "cpu"
        self.device = torch.device("cpu")
        self.stream: torch.cuda.Stream | None = None
        self.batch_sizes = tuple(range(1, 9))
        self.faces = (8, 64)
        self.channels_last = False

    def running(self, exact: bool = False) -> AbstractContextManager[None]:
        return torch.no_grad()

    def host(self, n_bytes: int) -> Tensor:
        return torch.zeros(n_bytes, dtype=torch.uint8)

    def capture(self, work: Work, exact: bool = False) -> Work:
        work()
        return work

    def wait(self) -> None:
        pass

    def fence(self) -> Callable[[], None]:
        return self.wait

    def times_ms(self, work: Work, runs: int) -> list[float]:
        found = []
        for _ in range(runs):
            began_s = time.perf_counter()
            work()
            found.append(1000 * (time.perf_counter() - began_s))
        return found

    def captured_bytes(self) -> int:
        return 0

    def release(self) -> None:
        pass


class TorchCudaDevice:
    """Fills `TorchDevice` with an NVIDIA GPU."""

    kind: DeviceKind = "cuda"
    runs_torch = True

    def __init__(self, number: int = 0) -> None:
        """Raises: BackendError, torch sees no such GPU, or cannot use it."""
        if not torch.cuda.is_available():
            raise BackendError(
                f"torch {torch.__version__} sees no CUDA device: check nvidia-smi, or choose torch-cpu or onnxruntime"
            )
        if not 0 <= number < torch.cuda.device_count():
            raise BackendError(
                f"there are {torch.cuda.device_count()} CUDA devices, and no {number}: look at nvidia-smi"
            )
        self.device = torch.device("cuda", number)
        try:
            self.name: str = torch.cuda.get_device_name(self.device)
            self.stream: torch.cuda.Stream | None = own_stream(self, self.device)
            self._pool: Any = torch.cuda.graph_pool_handle()
        except Exception as error:  # whatever the driver says
            raise BackendError(f"CUDA cannot be used ({one_line(error)}): look at nvidia-smi") from error
        self.batch_sizes = batch_sizes(MOST_ROWS)
        self.faces = (128, 2048)
        self.channels_last = True
        self._said = False
        self._first: tuple[Tensor, torch.cuda.CUDAGraph] | None = None

    @contextmanager
    def running(self, exact: bool = False) -> Iterator[None]:
        settings = _cudnn(False, exact) if exact else nullcontext()
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream), torch.no_grad(), settings:
            yield

    def host(self, n_bytes: int) -> Tensor:
        return torch.zeros(n_bytes, dtype=torch.uint8, pin_memory=True)

    def capture(self, work: Work, exact: bool = False) -> Work:
        said = ""
        for searching in (True, False):  # cuDNN's search for the fastest algorithm may be what cannot be captured
            with _CAPTURING, _cudnn(searching, exact):
                for _ in range(WARM_UPS):
                    work()
                try:
                    self._keep_pool()
                    return self._graph(work).replay
                except Exception as error:  # torch's and the driver's are many
                    said = reason(error)
        if not self._said:
            _log.warning("no CUDA graph (%s): each step is queued by itself", said)
        self._said = True

        def plainly() -> None:
            with _cudnn(False, exact):
                work()

        return plainly

    def wait(self) -> None:
        assert self.stream is not None
        self.stream.synchronize()

    def fence(self) -> Callable[[], None]:
        event = torch.cuda.Event()
        event.record(self.stream)
        waits: Callable[[], None] = event.synchronize
        return waits

    def times_ms(self, work: Work, runs: int) -> list[float]:
        """Runs are queued one behind the other, so that the time until the host has queued them does not count."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * runs)]
        pairs = list(zip(events[::2], events[1::2], strict=True))
        for begin, end in pairs:
            begin.record(self.stream)
            work()
            end.record(self.stream)
        self.wait()
        return [begin.elapsed_time(end) for begin, end in pairs]

    def captured_bytes(self) -> int:
        segments: list[dict[str, Any]] = torch.cuda.memory_snapshot()
        own = [part for part in segments if tuple(part.get("segment_pool_id", ())) == tuple(self._pool)]
        return sum(int(part["total_size"]) for part in own)

    def release(self) -> None:
        with _CAPTURING, self.running():  # torch wants no capture underway
            self._begin_pool()
            try:
                torch.cuda.empty_cache()
            except RuntimeError as error:  # of a GPU that has failed; whoever closes can do nothing about it
                _log.warning("GPU memory could not be given back: %s", one_line(error))

    def _graph(self, work: Work) -> torch.cuda.CUDAGraph:
        assert self.stream is not None
        self.wait()
        try:
            return captured(work, self.stream, self._pool)
        except Exception:
            self._begin_pool()
            raise

    def _begin_pool(self) -> None:
        """The old one goes with its last graph."""
        self._first, self._pool = None, torch.cuda.graph_pool_handle()

    def _keep_pool(self) -> None:
        """A pool must not be used again once all of its graphs are gone: one graph stays."""
        if self._first is None:
            number = torch.ones(1, device=self.device)

            def zero() -> None:
                number.zero_()

            zero()
            self._first = number, self._graph(zero)


@contextmanager
def _cudnn(searching: bool, exact: bool) -> Iterator[None]:
    """cuDNN's settings are the whole process's: one thread at a time, and leave them as they were."""
    settings: Any = torch.backends.cudnn
    with _CAPTURING:
        searched, precision = settings.benchmark, settings.conv.fp32_precision
        settings.benchmark = searching
        if exact:
            settings.conv.fp32_precision = "ieee"
        try:
            yield
        finally:
            settings.benchmark, settings.conv.fp32_precision = searched, precision
