"""Weights of a model file, to go on training from: there each batch norm is part of the convolution before it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s2v.engine.backends.model_file import read_spec
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionTract

_OLD_NAMES = {"full.3.weight": "motion.weight", "full.3.bias": "motion.bias"}  # before there were tract variables
_FOLDED_BIAS = ".0.weight_bias"


def network_of_model_file(path: Path, seed: int = 0) -> MotionTract:
    """Network "s2v" as a model file has it; what the file lacks (tract variables, before 0.2) is fresh.

    Its batch norms do nothing: see `unfold_norms`. Raises: DataError, no model file of network "s2v".
    """
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(str(path))
        stored = json.loads({entry.key: entry.value for entry in model.metadata_props}["s2v_spec"])
        tensors = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
    except Exception as error:  # onnx raises whatever protobuf raises
        raise DataError(f"{path} is not a model file ({type(error).__name__})") from None
    if not isinstance(stored, dict) or stored.get("network") != "s2v":
        raise DataError(f"{path} is no model file of network s2v")
    field_names = {field.name for field in fields(LipSyncSpec)}
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored.items()
        if name in field_names
    }
    spec = read_spec(json.dumps(asdict(LipSyncSpec.of("s2v", automatic_gain=False)) | known))
    torch.manual_seed(seed)
    network = MotionTract(spec)
    weights = network.frame_decoder.state_dict()
    found = {_name(name): tensor for name, tensor in tensors.items()}
    taken = {name: tensor for name, tensor in found.items() if name in weights and weights[name].shape == tensor.shape}
    missing = sorted(
        name for name, _ in network.frame_decoder.named_parameters()
        if name not in taken and not name.startswith("tract.") and not name.endswith(".1.weight")
    )  # fmt: skip
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: it is of another version's network")
    network.frame_decoder.load_state_dict(weights | taken)
    return network.eval()


def _name(initializer: str) -> str:
    name = initializer.removeprefix("module.").removeprefix("motion_net.")
    if name.endswith(_FOLDED_BIAS):
        return name.removesuffix(_FOLDED_BIAS) + ".1.bias"
    return _OLD_NAMES.get(name, name)


def unfold_norms(network: MotionTract, columns: Iterable[Tensor]) -> None:
    """Give batch norms the statistics of what they see, and undo in their scale what that changes.

    The network says the same as before, but can be trained: in training, a norm would otherwise divide by a deviation
    that its scale knows nothing of. Args: columns: batches as `MotionNet.over` takes them.
    """
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen.setdefault(norm, []).append((inputs[0].mean((0, 2, 3)), (inputs[0] ** 2).mean((0, 2, 3))))

    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(look) for norm in norms]
    network.eval()
    with torch.no_grad():
        for batch in columns:
            network.frame_decoder.over(batch)
        for hook, norm in zip(hooks, norms, strict=True):
            hook.remove()
            assert norm.running_mean is not None and norm.running_var is not None
            mean = torch.stack([first for first, _ in seen[norm]]).mean(0)
            variance = (torch.stack([second for _, second in seen[norm]]).mean(0) - mean**2).clamp(min=0)
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            shift = norm.bias - norm.running_mean * scale
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
            norm.bias.copy_(shift + mean * scale)
