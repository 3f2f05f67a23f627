"""Graphs as straight lines of torch calls: folded, split, without anything that waits or breaks."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tiny_networks import tiny_model

from s2v.engine.backends import bundled_model
from s2v.engine.backends.graphs import PER_FRAME
from s2v.engine.backends.half_precision import to_half
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.backends.torch.program import Program
from s2v.engine.backends.torch.runner import compiled, network
from s2v.errors import BackendError

CPU = torch.device("cpu")


def frame_graph(name: str) -> bytes:
    return bundled_model().frame_graph if name == "bundled" else read_model_file(tiny_model(name).path).frame_graph


def small(nodes: list[NodeProto], output: str, **constants: np.ndarray) -> bytes:
    """Inputs mfcc (b, 4) and identity (b, 3)."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", w]) for n, w in (("mfcc", 4), ("identity", 3))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def some(shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))).to(kind)


@pytest.mark.parametrize("name", ["bundled", "speech2vid"])
def test_the_network_is_one_piece_for_torch_compile(name: str) -> None:
    program = Program(to_half(frame_graph(name)), CPU, loose_outputs=True, channels_last=True)
    early, late = program.split(PER_FRAME)
    _, kinds = early.results_of(1)
    shapes = {value: (2, *shape) for value, shape in late.inputs.items()}
    compute = network(late.plan(shapes), list(early.outputs))
    faces = tuple(some(shapes[value], kinds[value]) for value in early.outputs)
    wanted, found = (tuple(torch.zeros(2, *shape) for shape in late.outputs.values()) for _ in range(2))
    with torch.no_grad():
        compute(some(shapes["mfcc"]), faces, wanted)
        compiled(compute, 2, compiler="eager")(some(shapes["mfcc"]), faces, found)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(bool(a.abs().max() > 0) for a in wanted)


def test_each_batch_size_can_be_compiled() -> None:
    """torch refuses to compile one function for more than eight sizes."""
    nodes = [
        helper.make_node("MatMul", ["identity", "weights"], ["m"]),
        helper.make_node("Add", ["m", "mfcc"], ["out"]),
    ]
    program = Program(small(nodes, "out", weights=np.eye(3, 4, dtype=np.float32)), CPU)
    for batch in range(1, 12):
        compute = network(program.plan({"mfcc": (batch, 4), "identity": (batch, 3)}), ["identity"])
        out = torch.zeros(batch, 4)
        compiled(compute, batch, compiler="eager")(some((batch, 4)), (torch.ones(batch, 3),), (out,))
        assert torch.equal(out, some((batch, 4)) + torch.eye(3, 4).sum(0))


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    nodes = [
        helper.make_node("Exp", ["weights"], ["grown"]),
        helper.make_node("MatMul", ["identity", "grown"], ["mixed"]),
        helper.make_node("Add", ["mixed", "mfcc"], ["out"]),
    ]
    program = Program(small(nodes, "out", weights=np.eye(3, 4, dtype=np.float32)), CPU)
    plan = program.plan({"mfcc": (2, 4), "identity": (2, 3)})
    assert [step.kind for step in plan.steps] == ["MatMul", "Add"]
    mfcc, identity = some((2, 4)), some((2, 3))
    (found,) = plan(mfcc, identity)
    assert torch.allclose(found, identity @ torch.eye(3, 4).exp() + mfcc)


def test_shapes_are_plain_numbers_by_the_time_it_runs() -> None:
    nodes = [
        helper.make_node("Shape", ["mfcc"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Concat", ["rows", "halves"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["mfcc", "wanted"], ["out"]),
    ]
    numbers = {"zero": np.array([0]), "one": np.array([1]), "halves": np.array([2, 2])}
    program = Program(small(nodes, "out", **numbers), CPU)
    for batch in (1, 5):
        plan = program.plan({"mfcc": (batch, 4), "identity": (batch, 3)})
        assert [(step.kind, step.numbers) for step in plan.steps] == [("Reshape", ((1, [batch, 2, 2]),))]
        assert plan(some((batch, 4)), some((batch, 3)))[0].shape == (batch, 2, 2)


def test_what_belongs_to_the_face_is_split_off_and_gives_the_same() -> None:
    nodes = [
        helper.make_node("MatMul", ["identity", "weights"], ["known"]),
        helper.make_node("Relu", ["known"], ["bent"]),
        helper.make_node("Add", ["bent", "mfcc"], ["sum"]),
        helper.make_node("Concat", ["sum", "known"], ["out"], axis=1),
    ]
    program = Program(small(nodes, "out", weights=np.eye(3, 4, dtype=np.float32)), CPU)
    early, late = program.split(PER_FRAME)
    assert list(early.inputs) == ["identity"] and sorted(late.inputs) == ["bent", "known", "mfcc"]
    assert early.outputs == {"bent": (4,), "known": (4,)}
    mfcc, identity = some((3, 4)), some((3, 3))
    (wanted,) = program.plan({"mfcc": (3, 4), "identity": (3, 3)})(mfcc, identity)
    between = dict(zip(early.outputs, early.plan({"identity": (3, 3)})(identity), strict=True))
    given = {"mfcc": mfcc, **between}
    plan = late.plan({name: tuple(tensor.shape) for name, tensor in given.items()})
    assert torch.equal(plan(*[given[name] for name in plan.inputs])[0], wanted)


def test_a_face_is_kept_as_it_came_where_its_values_do_not_go_row_by_row() -> None:
    nodes = [
        helper.make_node("Transpose", ["identity"], ["turned"]),
        helper.make_node("ReduceMean", ["turned"], ["mean"], keepdims=1),
        helper.make_node("Add", ["mean", "mfcc"], ["out"]),
    ]
    early, late = Program(small(nodes, "out"), CPU).split(PER_FRAME)
    assert list(early.outputs) == ["identity"] and sorted(late.inputs) == ["identity", "mfcc"]


def test_values_are_let_go_when_nobody_needs_them_any_more() -> None:
    program = Program(frame_graph("bundled"), CPU)
    plan = program.plan({name: (1, *shape) for name, shape in program.inputs.items()})
    ended: set[str] = set()
    for step in plan.steps:
        assert not ended & {name for name in step.inputs if name}, step
        ended |= set(step.last_use)
    made = {name for step in plan.steps for name in (*step.inputs, *step.outputs) if name}
    assert ended == made - set(plan.results.values())


def test_an_output_that_only_changes_its_type_is_left_to_whoever_copies_it() -> None:
    graph = to_half(frame_graph("s2v"))
    loose, exact = Program(graph, CPU, loose_outputs=True), Program(graph, CPU)
    assert set(loose.results_of(1)[1].values()) == {torch.float16}
    assert set(exact.results_of(1)[1].values()) == {torch.float32}


def test_weights_of_convolutions_have_channels_last_where_that_is_asked_for() -> None:
    for wanted in (True, False):
        program = Program(frame_graph("bundled"), CPU, channels_last=wanted)
        weights = [w for w in program.constants.values() if w.ndim == 4 and w.shape[1] > 1 and w.shape[3] > 1]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) == wanted for w in weights)


def test_a_size_that_the_model_leaves_open_is_refused() -> None:
    nodes = [helper.make_node("Add", ["mfcc", "mfcc"], ["out"])]
    program = Program(small(nodes, "out"), CPU)
    program.inputs["identity"] = (-1,)
    with pytest.raises(BackendError, match="leaves sizes of identity open"):
        program.split(PER_FRAME)
