"""The streams that drawing is queued on.

The faces of one stream are drawn in turn, and what they record shares its memory; streams draw at the same time.
torch has 32 streams and hands them out in turn, so a process makes few: one that two users believe to be theirs would
be recorded by one while the other queues on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from itertools import count, cycle
from typing import TypeVar
from weakref import WeakValueDictionary

import torch

from s2v.engine.backends.base import ComputeDevice
from s2v.engine.backends.torch.device import TorchCudaDevice, TorchDevice
from s2v.engine.backends.torch.streams import own_stream

N_DRAW_STREAMS = 4  # of a process, for faces that do not share the stream of their network
_FORKS = 2  # streams of a device besides its first

R = TypeVar("R")


class DrawStream:
    """One device's stream, and those beside it. Hold `lock` while queueing.

    Args:
        device: where; no other draw_stream may have the same one (see `draw_stream_of`).
    """

    def __init__(self, device: TorchDevice) -> None:
        self.device = device
        self.lock = threading.RLock()
        forks = range(_FORKS if device.stream is not None else 0)
        streams = [own_stream(self, device.device) for _ in forks]
        self._next = cycle(streams) if streams else None

    def fork(self, work: Callable[[], R], /) -> Callable[[], R]:
        """Start work that runs at the same time as what is queued next; the result lets that wait for it.

        Keep what it reads and what it returns until all of it is queued.
        """
        if self._next is None:
            result = work()
            return lambda: result
        first, own = torch.cuda.current_stream(self.device.device), next(self._next)
        own.wait_stream(first)
        with torch.cuda.stream(own):
            result = work()
        ready = own.record_event()

        def join() -> R:
            first.wait_event(ready)
            return result

        return join


_of_devices: WeakValueDictionary[int, DrawStream] = WeakValueDictionary()  # by id: a stream keeps its device
_lock = threading.Lock()
_turns = count()


def draw_stream_of(device: TorchDevice) -> DrawStream:
    """The stream of a device that somebody else queues on too, such as a backend's: always the same one."""
    with _lock:
        draw_stream = _of_devices.get(id(device))
        if draw_stream is None:
            draw_stream = _of_devices[id(device)] = DrawStream(device)
        return draw_stream


def draw_stream_for(device: ComputeDevice) -> DrawStream:
    """To draw what a network on this device puts out: behind it, if torch runs it; else `next_draw_stream`."""
    return draw_stream_of(device) if isinstance(device, TorchDevice) else next_draw_stream()


def next_draw_stream() -> DrawStream:
    """One of this process's draw_streams on the first GPU, in turn. Raises: BackendError, torch sees no GPU."""
    return _cuda_draw_stream(next(_turns) % N_DRAW_STREAMS)


@cache
def _cuda_draw_stream(number: int) -> DrawStream:
    return DrawStream(TorchCudaDevice())
