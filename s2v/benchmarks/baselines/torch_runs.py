"""A torch baseline and ours on one device: eager, and on a GPU also as captured CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from s2v.benchmarks.baselines.checkout import try_inputs
from s2v.benchmarks.baselines.source import BaselineSource, Network, RuntimePair
from s2v.benchmarks.timed_run import Run, TimedRun
from s2v.engine.backends.graphs import PER_FRAME
from s2v.engine.backends.half_precision import to_half
from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.torch.program import Program
from s2v.engine.backends.torch.streams import captured, reason
from s2v.errors import BackendError

CAPTURE_WARM_UP = 3  # cuDNN and cuBLAS prepare themselves in the first runs, which cannot be captured

Forward = Callable[..., Any]
Make = Callable[[int], tuple[Forward, list[Tensor]]]  # of a batch: what to call, and with what


def chosen_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """Raises: BackendError, there is no GPU."""
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise BackendError(f"torch {torch.__version__} sees no CUDA device: check nvidia-smi, or give --device cpu")
    return "cuda" if has_cuda and wanted != "cpu" else "cpu"


def label(device: str) -> str:
    """For a report: with the GPU's name."""
    return f"{device} ({torch.cuda.get_device_name()}, CUDA {torch.version.cuda})" if device == "cuda" else device


@contextmanager
def torch_pairs(
    source: BaselineSource, network: nn.Module, model: ModelFile, device: str, notes: list[str]
) -> Iterator[tuple[Network, list[RuntimePair]]]:
    """Raises: ModelError, the network does not take such inputs."""
    outputs, multiply_adds = try_inputs(network, source.inputs)
    parameters = sum(weights.numel() for weights in network.parameters())
    baseline = Network(source.name, source.about, outputs, multiply_adds, parameters)
    if source.weights is None:
        notes.append("the baseline's weights are random: its time does not depend on them")
    notes.append("the baseline runs as its code is written; our normalisations are folded into the convolutions before")
    if device == "cpu":
        with _one_thread():
            how = "torch, one thread, fp32"
            yield (
                baseline,
                [RuntimePair(how, _on_cpu(_ours(model, "cpu", "fp32")), _on_cpu(_theirs(source, network, "fp32")))],
            )
        return
    notes.append("convolutions of both see their values channels last, which GPUs like; fp32 is without TF32")
    with _exact_fp32():
        pairs = []
        for precision in ("fp32", "fp16"):
            ours = _ours(model, device, precision)
            theirs = _theirs(source, deepcopy(network).to(device), precision)
            pairs.append(RuntimePair(f"eager, {precision}", _eager(ours), _eager(theirs)))
            pairs.append(RuntimePair(f"CUDA graph, {precision}", _captured(ours), _captured(theirs)))
        yield baseline, pairs


def _ours(model: ModelFile, device: str, precision: str) -> Make:
    """The frame graph as plain torch calls; what depends on the face alone has been computed before."""
    graph = to_half(model.frame_graph) if precision == "fp16" else model.frame_graph
    place = torch.device(device)
    program = Program(graph, place, loose_outputs=True, channels_last=device == "cuda")
    early, late = program.split(PER_FRAME)

    def make(batch: int) -> tuple[Forward, list[Tensor]]:
        shapes = {name: (batch, *shape) for name, shape in program.inputs.items()}
        given = {name: torch.rand(shape, device=place).to(program.kinds[name]) for name, shape in shapes.items()}
        with torch.no_grad():
            faces = early.plan({name: shapes[name] for name in early.inputs})
            given |= dict(zip(faces.results, faces(*(given[name] for name in early.inputs)), strict=True))
        frame = late.plan({name: tuple(given[name].shape) for name in late.inputs})
        return frame, [given[name] for name in late.inputs]

    return make


def _theirs(source: BaselineSource, network: nn.Module, precision: str) -> Make:
    dtype = torch.float16 if precision == "fp16" else torch.float32
    network = network.to(dtype)
    device = next((weights.device for weights in network.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make(batch: int) -> tuple[Forward, list[Tensor]]:
        return network, [torch.rand(batch, *shape).to(device, dtype) for shape in source.inputs]

    return make


def _on_cpu(make: Make) -> Callable[[int], Run]:
    def ready(batch: int) -> Run:
        forward, inputs = make(batch)

        def run() -> TimedRun:
            began_s = time.perf_counter()
            with torch.inference_mode():
                forward(*inputs)
            return TimedRun(1000 * (time.perf_counter() - began_s), None)

        return run

    return ready


def _eager(make: Make) -> Callable[[int], Run]:
    def ready(batch: int) -> Run:
        forward, inputs = make(batch)

        def call() -> object:
            with torch.inference_mode():
                return forward(*inputs)

        return _timed_on_gpu(call)

    return ready


def _captured(make: Make) -> Callable[[int], Run]:
    def ready(batch: int) -> Run:
        forward, inputs = make(batch)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        made: list[Any] = []
        try:
            with torch.inference_mode(), torch.cuda.stream(side):
                for _ in range(CAPTURE_WARM_UP):
                    forward(*inputs)
                side.synchronize()
                graph = captured(lambda: made.append(forward(*inputs)), side, torch.cuda.graph_pool_handle(), "global")
        except RuntimeError as error:
            raise BackendError(f"cannot be captured as a CUDA graph ({reason(error)})") from error
        torch.cuda.current_stream().wait_stream(side)
        alive = made, inputs  # the graph writes to and reads from their memory

        def call() -> object:
            graph.replay()
            return alive

        return _timed_on_gpu(call)

    return ready


def _timed_on_gpu(call: Callable[[], object]) -> Run:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def run() -> TimedRun:
        torch.cuda.synchronize()
        began_s = time.perf_counter()
        begin.record()
        call()
        end.record()
        end.synchronize()
        wall_ms = 1000 * (time.perf_counter() - began_s)
        return TimedRun(wall_ms, begin.elapsed_time(end))

    return run


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _exact_fp32() -> Iterator[None]:
    """fp32 is fp32 for both, no TF32, which is torch's default in convolutions; cuDNN looks for its fastest ways."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    conv = cudnn.conv  # type: ignore[attr-defined]
    before = conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark
    conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark = "ieee", "ieee", True
    try:
        yield
    finally:
        conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark = before
