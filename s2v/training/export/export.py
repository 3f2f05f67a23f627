"""Trained weights to one ONNX model file: its graphs, the spec, and proof that they compute what torch computes.

Layout of the file: see `s2v.engine.backends.model_file`. The proof reads the written file back through the engine's own
reader and backend, so that what is compared is what will run. A file that fails it is not kept.
"""

from __future__ import annotations

import base64
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from s2v.engine.backends.base import Tensors
from s2v.engine.backends.graphs import frame_outputs
from s2v.engine.backends.model_file import FACE_ENCODER_KEY, KEY_PREFIX, SPEC_KEY, read_model_file
from s2v.engine.backends.onnx import open_model
from s2v.errors import ModelError, OutputError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import load_checkpoint

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
MAX_DIFFERENCE = 1e-3  # of any output value, torch against ONNX Runtime: far below one step of 8-bit colour
PARITY_BATCHES = (1, 2, 5)
DISTRIBUTABLE_BYTES = 20_000_000  # the size that the default model must stay under
_log = logging.getLogger("s2v")


class Exportable(Protocol):
    """What `TalkingNet` offers to the export; any nn.Module with these parts will do."""

    spec: LipSyncSpec

    @property
    def identity_names(self) -> tuple[str, ...]: ...

    @property
    def output_names(self) -> tuple[str, ...]: ...

    @property
    def face_encoder(self) -> nn.Module | None:
        """face -> identity tensors in the order of identity_names; None: there are none."""

    @property
    def frame_decoder(self) -> nn.Module:
        """mfcc, *identity -> outputs in the order of output_names."""


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    path: Path
    n_bytes: int
    n_parameters: int
    max_difference: float  # of any output value, torch against ONNX Runtime
    operators: tuple[str, ...]  # ONNX operators of all graphs

    @property
    def distributable(self) -> bool:
        """Small enough to be the model that the package carries."""
        return self.n_bytes < DISTRIBUTABLE_BYTES


def export_model(checkpoint: Path, out: Path, info: Mapping[str, str] | None = None) -> ExportReport:
    """`s2v export`: a checkpoint of `s2v train` to a model file.

    Args: info: see `export_network`.
    Raises: DataError, no such checkpoint or not ours. ModelError, parity failed. OutputError, `out` cannot be written.
    """
    network = load_checkpoint(checkpoint)
    if out.exists() and out.samefile(checkpoint):
        raise OutputError(f"{out} is the checkpoint itself: write to another name")
    return export_network(network, network.spec, out, info or {})


def export_network(network: Exportable, spec: LipSyncSpec, out: Path, info: Mapping[str, str]) -> ExportReport:
    """Write a network as a model file, whole or not at all.

    Args:
        network: left on the CPU in evaluation mode.
        info: texts for people, written as `s2v_<key>`: licence, train (data and attribution).
    Raises: ModelError, the network does not fit `spec`, or the file computes something else than torch.
        OutputError, `out` cannot be written.
    """
    if {SPEC_KEY, FACE_ENCODER_KEY} & {KEY_PREFIX + key for key in info}:
        raise ModelError(f"info has {', '.join(info)}: the spec and the face encoder are written by the export itself")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    parts = [part.cpu().eval() for part in (network.frame_decoder, network.face_encoder) if part is not None]
    face, mfcc = random_inputs(spec, batch=2, seed=0)
    identity = _shaped_as_the_spec_wants(network, spec, face, mfcc)
    names = network.identity_names
    frame_graph = _to_onnx(network.frame_decoder, [mfcc, *identity], ("mfcc", *names), network.output_names)
    graphs = [frame_graph]

    texts = {KEY_PREFIX + key: text for key, text in info.items()}
    if network.face_encoder is not None:
        graphs.append(_to_onnx(network.face_encoder, [face], ("face",), names))
        texts[FACE_ENCODER_KEY] = base64.b64encode(graphs[1].SerializeToString()).decode("ascii")
    texts[SPEC_KEY] = spec.to_json()  # last: a file that was cut short anywhere lacks it
    onnx.helper.set_model_props(frame_graph, texts)
    try:
        with written_whole(out) as beside:
            beside.write_bytes(frame_graph.SerializeToString())
            difference = max_difference(network, beside)
            if not difference <= MAX_DIFFERENCE:  # also when it is NaN
                raise ModelError(
                    f"the exported file differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}: "
                    f"{out} was not written; check the network for operators that depend on the batch size"
                )
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    operators = {node.op_type for graph in graphs for node in graph.graph.node}
    n_parameters = sum(parameter.numel() for part in parts for parameter in part.parameters())
    report = ExportReport(out, out.stat().st_size, n_parameters, difference, tuple(sorted(operators)))
    if not report.distributable:
        megabytes, limit = report.n_bytes / 1e6, DISTRIBUTABLE_BYTES // 10**6
        _log.warning("%s has %.0f MB; a model that comes with the package has less than %d", out, megabytes, limit)
    return report


def random_inputs(spec: LipSyncSpec, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """A face (batch, 6, face_px, face_px) in [0, 1] and an MFCC window (batch, 1, n_cepstra, n_columns)."""
    random = torch.Generator().manual_seed(seed)
    face = torch.rand(batch, 6, spec.face_px, spec.face_px, generator=random)
    return face, torch.randn(batch, 1, spec.n_cepstra, spec.n_columns, generator=random)


def max_difference(network: Exportable, path: Path) -> float:
    """The largest difference of any output value between torch and a model file, over PARITY_BATCHES.

    Raises: ModelError, the file cannot be opened.
    """
    model = read_model_file(path)
    backend = open_model(model, threads=1)
    worst = 0.0
    for seed, batch in enumerate(PARITY_BATCHES):
        faces, mfcc = random_inputs(model.spec, batch, seed)
        with torch.inference_mode():
            wanted_identity = _identity(network, faces)
            wanted = _as_tuple(network.frame_decoder(mfcc, *wanted_identity))
        encoded = [backend.encode_face(face[None].numpy()) for face in faces]
        identity = {name: np.concatenate([one[name] for one in encoded]) for name in network.identity_names}
        drawn = backend.infer(mfcc.numpy(), identity)
        for names, tensors, found in (
            (network.identity_names, wanted_identity, identity),
            (network.output_names, wanted, drawn),
        ):
            worst = max(worst, _worst(names, tensors, found))
    backend.close()
    return worst


def _shaped_as_the_spec_wants(network: Exportable, spec: LipSyncSpec, face: Tensor, mfcc: Tensor) -> list[Tensor]:
    """The identity tensors, after a look at how many tensors both halves give and at their shapes."""
    with torch.no_grad():
        identity = [tensor.clone() for tensor in _identity(network, face)]
        outputs = _as_tuple(network.frame_decoder(mfcc, *identity))
    if len(identity) != len(network.identity_names):
        raise ModelError(f"faces are encoded as {len(identity)} tensors for the names {network.identity_names}")
    found = {name: tuple(tensor.shape[1:]) for name, tensor in zip(network.output_names, outputs, strict=False)}
    if len(outputs) != len(found) or found != frame_outputs(spec):
        raise ModelError(
            f"the frame decoder gives {len(outputs)} tensors, {found}; the spec wants {frame_outputs(spec)}"
        )
    return identity


def _identity(network: Exportable, face: Tensor) -> tuple[Tensor, ...]:
    return () if network.face_encoder is None else _as_tuple(network.face_encoder(face))


def _worst(names: Sequence[str], wanted: Sequence[Tensor], found: Tensors) -> float:
    differences = [float(np.abs(t.numpy() - found[name]).max()) for name, t in zip(names, wanted, strict=True)]
    return float("inf") if np.isnan(differences).any() else max(differences, default=0.0)


def _to_onnx(module: nn.Module, inputs: list[Tensor], names: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """One graph with a free batch size, checked, and without the exporter's notes."""
    batch = torch.export.Dim("batch", min=1, max=256)
    with _quiet():
        program = torch.onnx.export(
            _Positional(module).eval(),
            tuple(inputs),
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=(({0: batch},) * len(inputs),),  # one entry for the one parameter, *inputs
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError(f"torch gave no ONNX graph for {type(module).__name__}")
    model = program.model_proto
    _strip_notes(model)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Positional(nn.Module):
    """A module with any signature as one that takes its inputs by position and gives a tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _as_tuple(self.module(*inputs))


def _as_tuple(outputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _strip_notes(model: ModelProto) -> None:
    """Remove what the exporter notes about its own run: names of Python files of this machine among it."""
    graph = model.graph
    del model.metadata_props[:], graph.value_info[:]
    parts: list[Any] = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for part in parts:
        part.ClearField("doc_string")
        if part is not model:
            del part.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about packages that it would only need for other networks."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
