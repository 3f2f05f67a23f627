"""A second device without hardware: nothing is computed there, but what mixes it with the host's memory fails.

torch keeps a place for devices that others add (PrivateUse1), and runs operators on shapes alone (FakeTensorMode).
Together they show on any machine what else only a GPU would: a tensor left in host memory, types that do not fit, a
number that the host asks for while work is captured. They change torch for the whole process, so tests run this file
in one of its own, with a model file whose network encodes faces. It prints one JSON object: what was tried, and "" or
what went wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from fakes import drawn_face
from recording_device import WAITING
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from s2v.engine.backends import bundled_model
from s2v.engine.backends.half_precision import to_half
from s2v.engine.backends.model_file import ModelFile, read_model_file
from s2v.engine.backends.torch.device import TorchCpuDevice, Work
from s2v.engine.backends.torch.runner import TorchGraph, TorchRunner
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor.torch.compositor import TorchBatchCompositor, TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream

APART = "apart"


class Shapes(TorchDispatchMode):
    """What touches the device runs on shapes alone; host memory is computed with as ever."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not say
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        there = torch.device(kwargs.get("device") or "cpu").type == APART
        if not there and not any(isinstance(x, torch.Tensor) and x.device.type == APART for x in tree_leaves(args)):
            return func(*args, **kwargs)
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0  # a constant's number, while a graph is read; any will do, where only shapes count
        with self._fake:
            if func is torch.ops.aten._to_copy.default and there and args[0].device.type == "cpu":
                given, dtype = args[0], kwargs.get("dtype")  # torch would compute with small constants, and cannot
                return torch.empty_strided(given.shape, given.stride(), dtype=dtype or given.dtype, device=APART)
            return func(*args, **kwargs)


class Capturing(TorchDispatchMode):
    """Refuses what a CUDA graph cannot hold: waiting for a number, and copies of memory that is not pinned."""

    def __init__(self, pinned: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pinned = pinned

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name in WAITING:
            raise AssertionError(f"{name} asks the device for a number")
        for leaf in tree_leaves((args, kwargs)):
            on_host = isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" and leaf.ndim > 0
            if on_host and leaf.untyped_storage().data_ptr() not in self._pinned:
                raise AssertionError(f"{name} touches host memory that is not pinned: {tuple(leaf.shape)} {leaf.dtype}")
        return func(*args, **(kwargs or {}))


class ShapeOnlyDevice(TorchCpuDevice):
    """Fills `TorchDevice`; sizes, layouts and batch sizes as on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.device, self.channels_last = APART, torch.device(APART, 0), True
        self.batch_sizes, self.faces = (1, 4), (4, 8)
        self.captured = 0
        self._shapes = Shapes()
        self._kept: list[torch.Tensor] = []  # pinned memory, which is real

    @contextmanager
    def running(self, exact: bool = False) -> Iterator[None]:
        with torch.no_grad(), self._shapes:
            yield

    def host(self, n_bytes: int) -> torch.Tensor:
        memory = torch.from_numpy(np.zeros(n_bytes, np.uint8))
        self._kept.append(memory)
        return memory

    def capture(self, work: Work, exact: bool = False) -> Work:
        with Capturing({memory.untyped_storage().data_ptr() for memory in self._kept}):
            work()
        self.captured += 1
        return work


def network(graph: bytes, half: bool) -> int:
    """All that a runner captures, and what a face goes through. Returns: how much was captured."""
    device = ShapeOnlyDevice()
    runner = TorchRunner(to_half(graph) if half else graph, device, exact=not half)
    faces = {name: np.zeros((5, *shape), np.float32) for name, shape in runner.inputs.items() if name != "mfcc"}
    with device.running():
        if faces:
            runner._bring([faces])  # one more than there is room for at first
        for batch in device.batch_sizes:
            for course in ("whole", "up", "network"):
                runner._course(batch, course)
    return device.captured


def with_faces() -> ModelFile:
    return read_model_file(Path(sys.argv[1]))


def encoder() -> int:
    """The face encoder is not captured: it runs once a face."""
    device = ShapeOnlyDevice()
    face_graph = with_faces().face_graph
    assert face_graph is not None
    graph = TorchGraph(face_graph, device)
    with device.running():
        shapes = {name: (1, *shape) for name, shape in graph.inputs.items()}
        given = [torch.zeros(shape, device=device.device) for shape in shapes.values()]
        return len(graph._program.plan(shapes)(*given))


def drawing(alive: bool, pixels: PixelFormat, faces: int = 0) -> int:
    """All that is captured of one face or of several. Returns: how much that was."""
    spec, device = bundled_model().spec, ShapeOnlyDevice()
    one = TorchCompositor(drawn_face(spec), spec, alive, DrawStream(device), pixels)
    if faces:
        TorchBatchCompositor([one] * faces, pixels=pixels)
    return device.captured


def mixed() -> int:
    """Must fail: a sum of both memories."""
    with ShapeOnlyDevice().running():
        return len(torch.zeros(2, device=APART) + torch.zeros(2))


def unpinned() -> int:
    """Must fail: a copy, in what is captured, of host memory that is not pinned."""
    there = torch.zeros(2)
    return captured(lambda numbers: numbers.copy_(there))


def asking() -> int:
    """Must fail: a number that the host asks for, in what is captured."""
    return captured(lambda numbers: numbers.sum().item())


def captured(work: Callable[[torch.Tensor], object]) -> int:
    """Args: work: on two numbers of the device."""
    device = ShapeOnlyDevice()
    with device.running():
        numbers = torch.zeros(2, device=APART)

        def done() -> None:
            work(numbers)

        device.capture(done)
    return device.captured


TRIED: dict[str, Callable[[], int]] = {
    "network, half": lambda: network(bundled_model().frame_graph, half=True),
    "network, float": lambda: network(bundled_model().frame_graph, half=False),
    "network with faces, half": lambda: network(with_faces().frame_graph, half=True),
    "network with faces, float": lambda: network(with_faces().frame_graph, half=False),
    "encoder": encoder,
    "still face, bgr": lambda: drawing(False, "bgr"),
    "moving face, rgb": lambda: drawing(True, "rgb"),
    "moving face, i420": lambda: drawing(True, "i420"),
    "moving batch, nv12": lambda: drawing(True, "nv12", faces=3),
    "still batch, nv12": lambda: drawing(False, "nv12", faces=2),
    "mixed": mixed,
    "unpinned": unpinned,
    "asking": asking,
}


def main() -> None:
    _setup_privateuseone_for_python_backend(APART)
    said = {}
    for what, attempt in TRIED.items():
        try:
            said[what] = "" if attempt() else "nothing was captured"
        except Exception as error:
            said[what] = " ".join(f"{type(error).__name__}: {error}".split())
    print(json.dumps(said))


if __name__ == "__main__":
    main()
