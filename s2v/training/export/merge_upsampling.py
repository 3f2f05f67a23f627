"""An exported graph with less arithmetic: doubling by repetition and a 3x3 convolution as one transposed convolution.

Four pixels out of one: of the nine taps of each, three to five fall on the same input pixel. Their sum taken beforehand
leaves four taps, as a 4x4 kernel with a stride of 2. What is computed stays the same, but for rounding.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def merge_upsampling(model: onnx.ModelProto) -> int:
    """Merge wherever a convolution is the only reader of a doubled picture; changes the model in place.

    Returns: how many were merged.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    merged = 0
    for node in graph.node:
        if node.op_type != "Conv" or not _is_plain_3x3(node, constants):
            continue
        resize = producers.get(node.input[0])
        readers = sum(name == node.input[0] for other in graph.node for name in other.input)
        if resize is None or readers != 1 or not _doubles(resize, constants):
            continue
        kernel = f"{node.input[1]}_transposed"
        if kernel not in constants:
            constants[kernel] = _transposed(constants[node.input[1]])
            graph.initializer.append(numpy_helper.from_array(constants[kernel], kernel))
        node.op_type = "ConvTranspose"
        node.input[0], node.input[1] = resize.input[0], kernel
        del node.attribute[:]
        for name, value in (("kernel_shape", [4, 4]), ("strides", [2, 2]), ("pads", [1, 1, 1, 1])):
            node.attribute.append(helper.make_attribute(name, value))
        merged += 1
    _remove_unused(graph)
    return merged


def _transposed(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs, inputs, 3, 3) of a convolution -> (inputs, outputs, 4, 4) of the transposed one."""
    sums = np.zeros((*kernel.shape[:2], 4, 4), kernel.dtype)
    for row in (0, 1):
        for column in (0, 1):
            sums[:, :, row : row + 3, column : column + 3] += kernel
    return np.ascontiguousarray(sums[:, :, ::-1, ::-1].swapaxes(0, 1))


def _is_plain_3x3(node: onnx.NodeProto, constants: dict[str, NDArray[np.float32]]) -> bool:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    usual = (("pads", [1, 1, 1, 1]), ("strides", [1, 1]), ("dilations", [1, 1]), ("group", 1))
    kernel = constants.get(node.input[1])
    is_3x3 = kernel is not None and kernel.shape[2:] == (3, 3)
    as_usual = all(given.get(name, value) == value for name, value in usual[1:]) and given.get("pads") == usual[0][1]
    return is_3x3 and as_usual and given.get("auto_pad", b"NOTSET") == b"NOTSET"


def _doubles(node: onnx.NodeProto, constants: dict[str, NDArray[np.float32]]) -> bool:
    """Whether each pixel becomes two by two equal ones."""
    if node.op_type != "Resize" or len(node.input) < 3:
        return False
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    repeats = given.get("mode", b"nearest") == b"nearest" and (
        (given.get("coordinate_transformation_mode"), given.get("nearest_mode")) == (b"asymmetric", b"floor")
    )
    scales = constants.get(node.input[2])
    return repeats and scales is not None and scales.tolist() == [1, 1, 2, 2]


def _remove_unused(graph: onnx.GraphProto) -> None:
    outputs = {value.name for value in graph.output}
    while True:
        used = outputs | {name for node in graph.node for name in node.input}
        unused = [node for node in graph.node if not used.intersection(node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
