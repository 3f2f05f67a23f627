"""A straight line of torch calls: what remains of a graph once its shapes are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from s2v.engine.backends.torch.ops import Attributes, Operator


@dataclass(frozen=True)
class Step:
    """One node of the graph."""

    kind: str  # the ONNX operator's name
    operator: Operator
    inputs: tuple[str, ...]  # an empty name is an input left out
    outputs: tuple[str, ...]
    attributes: Attributes
    numbers: tuple[tuple[int, Any], ...] = ()  # inputs that are known already, by position
    last_use: tuple[str, ...] = ()  # values that nobody needs afterwards

    def run(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Its outputs, of the values so far."""
        given = [values[name] if name else None for name in self.inputs]
        for at, number in self.numbers:
            given[at] = number
        results = self.operator(given, self.attributes)
        return results if isinstance(results, tuple) else (results,)


class Plan:
    """A straight line of torch calls for inputs of fixed shapes."""

    def __init__(
        self,
        inputs: tuple[str, ...],
        results: Mapping[str, str],
        steps: tuple[Step, ...],
        constants: Mapping[str, Tensor],
        made: Mapping[str, Tensor],
    ) -> None:
        used = {name for step in steps for name in step.inputs} | set(results.values())
        self.inputs, self.results, self.steps = inputs, dict(results), steps
        self.constants = {name: value for name, value in constants.items() if name in used}
        self.made = {name: made[value] for name, value in results.items()}  # each output's shape and type

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Args: tensors: as `inputs` names them. Returns: the outputs, in the order of `results`."""
        values: dict[str, Any] = {**self.constants, **dict(zip(self.inputs, tensors, strict=True))}
        for step in self.steps:
            values.update(zip(step.outputs, step.run(values), strict=True))
            for name in step.last_use:  # the memory of a value is free for later ones
                del values[name]
        return tuple(values[name] for name in self.results.values())


def with_last_uses(steps: list[Step], results: set[str]) -> tuple[Step, ...]:
    """Each step with the names of what it is the last to need; an output that nobody needs ends at once."""
    needed = set(results)
    backwards = []
    for step in reversed(steps):
        touched = {name for name in (*step.inputs, *step.outputs) if name}
        backwards.append(replace(step, last_use=tuple(sorted(touched - needed))))
        needed |= touched
    return tuple(reversed(backwards))
