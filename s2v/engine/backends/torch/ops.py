"""ONNX operators as torch functions: the table behind the torch backend.

Only what exported graphs of ours contain, each as the ONNX operator specification (opset 18) defines it.
A function gets the node's inputs in order (None for one left out) and its attributes by name.
Shapes, indices, scales and bounds come as plain numbers and lists (`torch.program` resolves them beforehand) or as
tensors on the CPU, so that reading them never waits for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from s2v.errors import BackendError

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Tensor | tuple[Tensor, ...]]

TYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}


def _numbers(value: Any) -> list[Any]:
    listed = value.tolist() if isinstance(value, Tensor) else value
    return listed if isinstance(listed, list) else [listed]


def _ints(value: Any) -> list[int]:
    return [int(i) for i in _numbers(value)]


def _given(inputs: list[Any], at: int) -> Any:
    """Input number `at`, or None if the node leaves it out."""
    return inputs[at] if len(inputs) > at else None


def _padding(x: Tensor, a: Attributes, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """ONNX pads may differ between the two ends of an axis, torch's may not: then pad first."""
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise BackendError(f"the torch backend lacks auto_pad={a['auto_pad']}: export with explicit pads")
    n_axes = x.ndim - 2
    pads = list(a.get("pads") or [0] * (2 * n_axes))
    begin, end = pads[:n_axes], pads[n_axes:]
    if begin == end:
        return x, begin
    sides = [side for pair in reversed(list(zip(begin, end, strict=True))) for side in pair]
    return F.pad(x, sides, value=fill), [0] * n_axes


def _conv(i: list[Any], a: Attributes) -> Tensor:
    x, padding = _padding(i[0], a)
    bias = _given(i, 2)
    ones = [1] * (x.ndim - 2)
    conv = F.conv2d if x.ndim == 4 else F.conv1d
    return conv(x, i[1], bias, a.get("strides", ones), padding, a.get("dilations", ones), a.get("group", 1))


def _conv_transpose(i: list[Any], a: Attributes) -> Tensor:
    pads = a.get("pads") or [0, 0, 0, 0]
    if pads[:2] != pads[2:] or "output_shape" in a:
        raise BackendError("the torch backend lacks ConvTranspose with uneven pads: export with even ones")
    bias = _given(i, 2)
    extra, dilations = a.get("output_padding", [0, 0]), a.get("dilations", [1, 1])
    strides, group = a.get("strides", [1, 1]), a.get("group", 1)
    return F.conv_transpose2d(i[0], i[1], bias, strides, pads[:2], extra, group, dilations)


def _max_pool(i: list[Any], a: Attributes) -> Tensor:
    x, padding = _padding(i[0], a, fill=float("-inf"))
    kernel, ones = a["kernel_shape"], [1, 1]
    ceil = bool(a.get("ceil_mode", 0))
    return F.max_pool2d(x, kernel, a.get("strides", ones), padding, a.get("dilations", ones), ceil)


def _average_pool(i: list[Any], a: Attributes) -> Tensor:
    counts_pads = bool(a.get("count_include_pad", 0))
    x, padding = _padding(i[0], a) if counts_pads or not any(a.get("pads", [])) else (i[0], a["pads"][:2])
    ceil = bool(a.get("ceil_mode", 0))
    return F.avg_pool2d(x, a["kernel_shape"], a.get("strides", [1, 1]), padding, ceil, counts_pads)


def _gemm(i: list[Any], a: Attributes) -> Tensor:
    left = i[0].T if a.get("transA", 0) else i[0]
    right = i[1].T if a.get("transB", 0) else i[1]
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    if _given(i, 2) is not None:
        return torch.addmm(i[2], left, right, beta=beta, alpha=alpha)  # one kernel
    product: Tensor = left @ right
    return product if alpha == 1 else alpha * product


def _reshape(i: list[Any], a: Attributes) -> Tensor:
    wanted = _ints(i[1])
    if not a.get("allowzero", 0):
        wanted = [i[0].shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    reshaped: Tensor = i[0].reshape(wanted)
    return reshaped


def _resize(i: list[Any], a: Attributes) -> Tensor:
    x: Tensor = i[0]
    sizes = _given(i, 3)
    if sizes is not None:
        size = _ints(sizes)[2:]
    else:
        size = [int(n * scale) for n, scale in zip(x.shape[2:], _numbers(i[2])[2:], strict=True)]
    mode, place = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest" and place == "asymmetric" and a.get("nearest_mode") == "floor":
        return F.interpolate(x, size)
    if mode == "linear" and place in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return F.interpolate(x, size, mode="bilinear", align_corners=place == "align_corners")
    raise BackendError(f"the torch backend lacks Resize with {mode} and {place}: export another interpolation")


def _expand(i: list[Any], a: Attributes) -> Tensor:
    shape = np.broadcast_shapes(tuple(i[0].shape), tuple(_ints(i[1])))  # either side may have the longer axis
    expanded: Tensor = i[0].expand(shape)
    return expanded


def _slice(i: list[Any], a: Attributes) -> Tensor:
    starts, ends = _ints(i[1]), _ints(i[2])
    axes = list(range(len(starts))) if _given(i, 3) is None else _ints(i[3])
    steps = [1] * len(starts) if _given(i, 4) is None else _ints(i[4])
    if min(steps, default=1) < 1:
        raise BackendError("the torch backend lacks Slice with negative steps: export without flips")
    part = [slice(None)] * i[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        part[axis] = slice(start, end, step)
    cut: Tensor = i[0][tuple(part)]
    return cut


def _split(i: list[Any], a: Attributes) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    sizes = -(-i[0].shape[axis] // a["num_outputs"]) if _given(i, 1) is None else _ints(i[1])
    return torch.split(i[0], sizes, axis)


def _pad(i: list[Any], a: Attributes) -> Tensor:
    x, pads = i[0], _ints(i[1])
    if _given(i, 3) is not None:
        raise BackendError("the torch backend lacks Pad with axes: export pads for all of them")
    half = len(pads) // 2
    sides = [side for axis in reversed(range(half)) for side in (pads[axis], pads[half + axis])]
    while sides[-2:] == [0, 0]:  # torch's reflect and replicate take the padded axes only
        del sides[-2:]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[a.get("mode", "constant")]
    fill = float(i[2]) if mode == "constant" and _given(i, 2) is not None else None
    return F.pad(x, sides, mode, fill) if sides else x


def _clip(i: list[Any], a: Attributes) -> Tensor:
    return torch.clamp(i[0], _given(i, 1), _given(i, 2))


def _reduce(how: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def reduced(i: list[Any], a: Attributes) -> Tensor:
        axes = list(range(i[0].ndim)) if _given(i, 1) is None else _ints(i[1])
        return how(i[0], axes, bool(a.get("keepdims", 1)))

    return reduced


def _squeeze(i: list[Any], a: Attributes) -> Tensor:
    x: Tensor = i[0]
    return x.squeeze() if _given(i, 1) is None else x.squeeze(tuple(_ints(i[1])))


def _unsqueeze(i: list[Any], a: Attributes) -> Tensor:
    x: Tensor = i[0]
    axes = _ints(i[1])
    n_axes = x.ndim + len(axes)
    for axis in sorted(axis % n_axes for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _prelu(i: list[Any], a: Attributes) -> Tensor:
    return torch.where(i[0] < 0, i[0] * i[1], i[0])


def _cast(i: list[Any], a: Attributes) -> Tensor:
    if a["to"] not in TYPES:
        raise BackendError(f"the torch backend lacks conversion to ONNX type {a['to']}: use onnxruntime")
    cast: Tensor = i[0].to(TYPES[a["to"]])
    return cast


def _flatten(i: list[Any], a: Attributes) -> Tensor:
    axis = a.get("axis", 1) % (i[0].ndim + 1)
    flat: Tensor = i[0].reshape(i[0].shape[:axis].numel(), -1)
    return flat


OPERATORS: dict[str, Operator] = {
    "Add": lambda i, a: i[0] + i[1],
    "AveragePool": _average_pool,
    "BatchNormalization": lambda i, a: F.batch_norm(i[0], i[3], i[4], i[1], i[2], False, 0.0, a.get("epsilon", 1e-5)),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda i, a: torch.cat(i, a["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda i, a: i[0] / i[1],
    "Exp": lambda i, a: torch.exp(i[0]),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda i, a: i[0].mean(dim=tuple(range(2, i[0].ndim)), keepdim=True),
    "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
    "Log": lambda i, a: torch.log(i[0]),
    "MatMul": lambda i, a: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda i, a: i[0] * i[1],
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": lambda i, a: i[0] ** i[1],
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda i, a: F.relu(i[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda i, a: torch.tensor(i[0].shape[a.get("start", 0) : a.get("end")], dtype=torch.int64),
    "Sigmoid": lambda i, a: torch.sigmoid(i[0]),
    "Slice": _slice,
    "Softmax": lambda i, a: torch.softmax(i[0], a.get("axis", -1)),
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": lambda i, a: i[0] - i[1],
    "Tanh": lambda i, a: torch.tanh(i[0]),
    "Transpose": lambda i, a: i[0].permute(a.get("perm") or tuple(reversed(range(i[0].ndim)))),
    "Unsqueeze": _unsqueeze,
}
