"""An ONNX graph as torch calls: read once, folded once, then laid out for each batch size.

What depends on constants alone is computed when the graph is read. For each batch size, shapes are followed through the
graph without computing anything (torch's "meta" tensors), so that what remains is a straight line of calls with plain
numbers in it: nothing asks the GPU for a value, nothing waits, and torch.compile sees one graph without a break.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import onnx
import onnx.numpy_helper
import torch
from torch import Tensor

from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.torch.ops import OPERATORS
from s2v.engine.backends.torch.plan import Plan, Step, with_last_uses
from s2v.errors import BackendError

# inputs that must be plain numbers, by position: scales, the value to pad with, bounds
_NUMBERS = {"Resize": (1, 2), "Pad": (2,), "Clip": (1, 2)}
_SCALARS_ARE_NUMBERS = frozenset({"Add", "Sub", "Mul", "Div", "Pow"})


class Program:
    """One graph; its constants lie on one device."""

    def __init__(
        self, graph: bytes, device: torch.device, loose_outputs: bool = False, channels_last: bool = False
    ) -> None:
        """Read and fold.

        Args:
            loose_outputs: leave out conversions that only make an output float32: whoever copies it, converts it.
            channels_last: lay out the weights of convolutions so; what cuDNN makes of them is laid out so, too.
        Raises: BackendError, an operator that the table lacks.
        """
        model = onnx.load_model_from_string(graph)
        unknown = {node.op_type for node in model.graph.node} - OPERATORS.keys() - {"Constant"}
        if unknown:
            raise BackendError(f"the torch backend lacks ONNX operator {', '.join(sorted(unknown))}: use onnxruntime")
        self.inputs, self.outputs = _shapes(model.graph.input), _shapes(model.graph.output)
        self.kinds = {v.name: _DTYPES.get(v.type.tensor_type.elem_type, torch.float32) for v in model.graph.input}
        self.constants: dict[str, Tensor] = {}
        self._results = {name: name for name in self.outputs}  # the value that is each output
        for tensor in model.graph.initializer:
            self._keep(tensor.name, tensor, device)
        self._steps: list[Step] = []
        for node in model.graph.node:
            attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
            if node.op_type == "Constant":
                self._keep(node.output[0], attributes["value"], device)
                continue
            operator = OPERATORS[node.op_type]
            self._add(Step(node.op_type, operator, tuple(node.input), tuple(node.output), attributes))
        if loose_outputs:
            self._loosen()
        if channels_last:
            self._lay_out_weights()

    def split(self, late: Collection[str]) -> tuple[Program, Program]:
        """What can be computed before the late inputs are known, and the rest.

        The first gives the values that the second takes besides the late inputs, with one row for each of its own.
        Where that cannot be had, the first gives its inputs as they are.
        Raises: BackendError, an input's size is not known.
        """
        self._refuse_open_sizes()
        early_steps, known = self._before(late)
        if not self._is_row_by_row(early_steps, known):
            early_steps, known = [], {name for name in self.inputs if name not in late}
        rest = [step for step in self._steps if step not in early_steps]
        wanted = {name for step in rest for name in step.inputs} | set(self._results.values())
        between = sorted(known & wanted)
        early, after = _copy(self), _copy(self)
        early.inputs = {name: shape for name, shape in self.inputs.items() if name not in late}
        early._steps, early._results = early_steps, {name: name for name in between}
        early.outputs = dict.fromkeys(between, ())
        shapes, kinds = early.results_of(1)
        early.outputs = {name: tuple(shapes[name][1:]) for name in between}
        after.inputs = {**{name: self.inputs[name] for name in self.inputs if name in late}, **early.outputs}
        after.kinds = {**{name: self.kinds[name] for name in self.inputs if name in late}, **kinds}
        after._steps = rest
        return early, after

    def results_of(self, batch: int) -> tuple[dict[str, torch.Size], dict[str, torch.dtype]]:
        """Shapes and types of the outputs for a batch. Raises: BackendError, an input's size is not known."""
        self._refuse_open_sizes()
        plan = self.plan({name: (batch, *shape) for name, shape in self.inputs.items()})
        found = {name: plan.made[name] for name in self.outputs}
        return {name: t.shape for name, t in found.items()}, {name: t.dtype for name, t in found.items()}

    def plan(self, shapes: Mapping[str, Shape]) -> Plan:
        """The calls for inputs of these shapes, in the order of `self.inputs`."""
        meta = {name: torch.empty(shapes[name], dtype=self.kinds[name], device="meta") for name in self.inputs}
        made: dict[str, Tensor] = {name: value.to("meta") for name, value in self.constants.items()} | meta
        known = {name: value for name, value in self.constants.items() if not value.is_floating_point()}  # on the CPU
        left: list[Step] = []
        with torch.no_grad():
            for step in self._steps:
                if step.kind == "Shape" or all(name in known or not name for name in step.inputs):
                    source: Mapping[str, Any] = made if step.kind == "Shape" else known
                    results = step.run(source)
                    known.update(zip(step.outputs, results, strict=True))
                else:
                    step = self._with_numbers(step, known)
                    results = step.run(made)
                    left.append(step)
                made.update((name, value.to("meta")) for name, value in zip(step.outputs, results, strict=True))
        constants = {**self.constants, **known}
        results_at = {name: self._results[name] for name in self.outputs}
        return Plan(tuple(self.inputs), results_at, with_last_uses(left, set(results_at.values())), constants, made)

    def _refuse_open_sizes(self) -> None:
        if unknown := [name for name, shape in self.inputs.items() if -1 in shape]:
            raise BackendError(f"the model leaves sizes of {', '.join(unknown)} open: export it again")

    def _keep(self, name: str, tensor: onnx.TensorProto, device: torch.device) -> None:
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        # shapes and indices stay where they are read
        self.constants[name] = value.to(device) if value.is_floating_point() else value

    def _add(self, step: Step) -> None:
        """Keep the step, or its results if they never change."""
        if step.kind != "Shape" and all(name in self.constants or not name for name in step.inputs):
            with torch.no_grad():
                results = self._with_numbers(step, self.constants).run(self.constants)
            self.constants.update(zip(step.outputs, results, strict=True))
        else:
            self._steps.append(step)

    def _with_numbers(self, step: Step, known: Mapping[str, Tensor]) -> Step:
        """Whole numbers, and others that steer a step rather than being worked on, become part of it."""
        numbers, inputs = list(step.numbers), list(step.inputs)
        for at, name in enumerate(step.inputs):
            value = known.get(name, self.constants.get(name))
            if value is None:
                continue
            steers = at in _NUMBERS.get(step.kind, ())
            is_scalar = value.ndim == 0 and step.kind in _SCALARS_ARE_NUMBERS and len(set(step.inputs)) > 1
            if not value.is_floating_point() or steers or is_scalar:
                numbers.append((at, value.tolist()))
                inputs[at] = ""
        if numbers and not any(inputs):  # something must remain to be worked on
            return step
        return replace(step, inputs=tuple(inputs), numbers=tuple(numbers))

    def _before(self, late: Collection[str]) -> tuple[list[Step], set[str]]:
        """Steps that need none of the late inputs nor the batch size, and all values that are known by then."""
        known = {name for name in self.inputs if name not in late}
        steps = []
        for step in self._steps:
            needed = {name for name in step.inputs if name and name not in self.constants}
            if needed and needed <= known and step.kind != "Shape":
                steps.append(step)
                known |= set(step.outputs)
        return steps, known

    def _is_row_by_row(self, steps: list[Step], known: set[str]) -> bool:
        made = []
        for batch in (1, 2):
            values = {name: value.to("meta") for name, value in self.constants.items()}
            for name, shape in self.inputs.items():
                if name in known:
                    values[name] = torch.empty((batch, *shape), dtype=self.kinds[name], device="meta")
            for step in steps:
                step = self._with_numbers(step, {})
                values.update(zip(step.outputs, step.run(values), strict=True))
            made.append(values)
        one, two = made
        return all(
            one[name].ndim > 0 and (one[name].shape[0], two[name].shape[0]) == (1, 2)
            and one[name].shape[1:] == two[name].shape[1:]
            for name in known
        )  # fmt: skip

    def _loosen(self) -> None:
        for name in self.outputs:
            last = next((step for step in self._steps if name in step.outputs), None)
            used = any(name in step.inputs for step in self._steps)
            if last is not None and last.kind == "Cast" and not used:
                self._results[name] = last.inputs[0]
                self._steps.remove(last)

    def _lay_out_weights(self) -> None:
        for step in self._steps:
            weight = self.constants.get(step.inputs[1]) if step.kind in ("Conv", "ConvTranspose") else None
            if weight is not None and weight.ndim == 4:
                self.constants[step.inputs[1]] = weight.contiguous(memory_format=torch.channels_last)


def _copy(program: Program) -> Program:
    copied = object.__new__(Program)
    copied.__dict__.update(program.__dict__)
    return copied


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Shape]:
    return {v.name: tuple(size.dim_value or -1 for size in list(v.type.tensor_type.shape.dim)[1:]) for v in values}


_DTYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16}


def _plain(value: Any) -> Any:
    """Attribute text comes as bytes; lists come as protobuf containers."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, onnx.TensorProto | int | float | str) else list(value)
