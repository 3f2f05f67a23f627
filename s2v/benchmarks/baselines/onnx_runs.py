"""A baseline that was exported to ONNX, and ours, both through ONNX Runtime on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from s2v.benchmarks.baselines.source import Network, RuntimePair, Shape
from s2v.benchmarks.our_network import batch_of, identities
from s2v.benchmarks.roofline import count
from s2v.benchmarks.timed_run import Run, TimedRun
from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import Graph, one_line
from s2v.engine.backends.model_file import MAX_FILE_BYTES, ModelFile
from s2v.errors import BackendError, ModelError
from s2v.extras import how_to_install

HOW = "ONNX Runtime, one thread, fp32"


def onnx_pairs(path: Path, model: ModelFile, batches: tuple[int, ...]) -> tuple[Network, list[RuntimePair]]:
    """Raises: ModelError, the file is not one that ONNX Runtime can run; BackendError, ONNX Runtime is missing."""
    try:
        from s2v.engine.backends.onnx import OnnxRuntimeGraph, open_model
    except ImportError as error:
        raise BackendError(f"an ONNX baseline needs ONNX Runtime ({error}): {how_to_install('onnxruntime')}") from error
    graph = _read(path)
    inputs = _inputs(path, graph, batches)
    work = count(graph, 1 if batches == () else batches[0], "fp32")
    try:
        theirs = OnnxRuntimeGraph(graph, threads=1)
        made = theirs.run(_random(inputs, batches[0]))
    except Exception as error:  # its exceptions share no public base
        raise ModelError(f"onnxruntime cannot run {path}: {one_line(error)}") from error
    backend = open_model(model, threads=1)
    identity = identities(backend)

    def ready(batch: int) -> Run:
        mfcc, faces = batch_of(model.spec, identity, batch)
        return _timed(ours, {"mfcc": mfcc, **faces})

    ours = OnnxRuntimeGraph(model.frame_graph, threads=1)
    outputs = tuple(rows.shape[1:] for rows in made.values())
    weights = work.weight_bytes // 4
    baseline = Network(path.name, "whatever it does in one call", outputs, work.multiply_adds // work.batch, weights)
    return baseline, [RuntimePair(HOW, ready, _ready(theirs, inputs))]


def _ready(graph: Graph, inputs: dict[str, Shape]) -> Callable[[int], Run]:
    return lambda batch: _timed(graph, _random(inputs, batch))


def _timed(graph: Graph, tensors: Tensors) -> Run:
    def run() -> TimedRun:
        began_s = time.perf_counter()
        graph.run(tensors)
        return TimedRun(1000 * (time.perf_counter() - began_s), None)

    return run


def _random(inputs: dict[str, Shape], batch: int) -> Tensors:
    random = np.random.default_rng(0)
    return {name: random.random((batch, *shape), np.float32) for name, shape in inputs.items()}


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(f"there is no {path}: give the baseline's ONNX file")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise ModelError(f"{path} has {size} bytes; at most {MAX_FILE_BYTES} can be compared")
    return path.read_bytes()


def _inputs(path: Path, graph: bytes, batches: tuple[int, ...]) -> dict[str, Shape]:
    """Shapes without the batch dimension. Raises: ModelError, other than float32 of a known size."""
    try:
        values = onnx.load_model_from_string(graph).graph.input
    except Exception as error:  # protobuf has exceptions of its own
        raise ModelError(f"{path} is not an ONNX model ({one_line(error)})") from error
    found: dict[str, Shape] = {}
    for value in values:
        kind, sizes = value.type.tensor_type.elem_type, list(value.type.tensor_type.shape.dim)
        shape = tuple(size.dim_value for size in sizes[1:])
        if kind != TensorProto.FLOAT or not sizes or 0 in shape:
            raise ModelError(
                f"input {value.name!r:.80} of {path} is {TensorProto.DataType.Name(kind)} of shape {shape}; wanted is "
                "FLOAT of a fixed size behind the batch: export it so"
            )
        fixed = sizes[0].dim_value
        if fixed and any(batch != fixed for batch in batches):
            raise ModelError(f"{path} runs batches of {fixed} only: give --batches {fixed}, or export it with any")
        found[value.name] = shape
    if not found:
        raise ModelError(f"{path} has no inputs: is it the right file?")
    return found
