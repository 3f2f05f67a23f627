"""A network out of somebody else's checkout: imported from where the user says, and forgotten afterwards."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from s2v.benchmarks.baselines.source import BaselineSource, Shape
from s2v.errors import ModelError


@contextmanager
def baseline_network(source: BaselineSource) -> Iterator[nn.Module]:
    """The network, in evaluation mode, on the CPU in float32, while the caller's block runs.

    Raises: ModelError, the checkout lacks the file or the class, or the network cannot be built or loaded.
    """
    file = source.folder.joinpath(*source.module.split(".")).with_suffix(".py")
    if not file.is_file() and not (file.with_suffix("") / "__init__.py").is_file():
        raise ModelError(f"there is no {file}: give the folder of the baseline's checkout that holds {source.module}")
    with _importing_from(source.folder, source.module.split(".")[0]):
        yield _built(source).eval().requires_grad_(False)


@contextmanager
def _importing_from(folder: Path, package: str) -> Iterator[None]:
    """Python finds the baseline's modules, and afterwards none of them is left."""
    place = str(folder.resolve())
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}
    before, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name.split(".")[0] == package or file.startswith(place + "/"):
                del sys.modules[name]
        sys.modules.update(hidden)


def _built(source: BaselineSource) -> nn.Module:
    where = f"{source.module}:{source.name} of {source.folder}"
    torch.manual_seed(0)  # whatever weights it begins with
    try:
        made = getattr(importlib.import_module(source.module), source.name)()
    except AttributeError as error:
        raise ModelError(f"{where} cannot be built ({_said(error)}): give DIR:package.module:Class") from error
    except Exception as error:  # other people's code: anything
        raise ModelError(f"{where} cannot be built ({_said(error)}): it must need no arguments") from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"{where} is a {type(made).__name__}, and must be a torch.nn.Module")
    if source.weights is not None:
        _load(made, source.weights, where)
    return made


def _load(network: nn.Module, path: Path, where: str) -> None:
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as weights ({_said(error)}): give a checkpoint of {where}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} holds a {type(loaded).__name__}: give a checkpoint with a state_dict of {where}")
    try:  # networks trained on several GPUs have one more level of names
        network.load_state_dict({str(name).removeprefix("module."): value for name, value in state.items()})
    except (RuntimeError, AttributeError) as error:
        raise ModelError(f"the weights {path} do not fit {where} ({_said(error)}): leave --weights out") from error


def try_inputs(network: nn.Module, shapes: tuple[Shape, ...]) -> tuple[tuple[Shape, ...], int]:
    """Run one frame.

    Returns: the outputs' shapes without the batch dimension, and the multiply-adds.
    Raises: ModelError, the network does not take such inputs.
    """
    given = [torch.rand(1, *shape) for shape in shapes]
    wanted = ",".join("x".join(map(str, shape)) for shape in shapes)
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            made = network(*given)
    except Exception as error:  # other people's code: anything
        raise ModelError(f"the baseline does not take inputs {wanted} ({_said(error)}): correct --inputs") from error
    return tuple(tuple(tensor.shape[1:]) for tensor in _tensors(made)), counter.get_total_flops() // 2


def _tensors(made: Any) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    parts = made.values() if isinstance(made, Mapping) else made if isinstance(made, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
