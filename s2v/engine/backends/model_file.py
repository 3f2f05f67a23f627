"""The model file: one ONNX file that carries the network and the numbers it was trained with.

The file's own graph draws one frame, so any ONNX tool opens it. Its metadata holds the rest:

    s2v_spec           LipSyncSpec as JSON
    s2v_face_encoder   the graph that runs once per face, a second ONNX model, base64; left out if nothing does
    s2v_<anything>     text for people: licence, training data and its attribution

The metadata is read with a few lines of the protobuf wire format, because the runtimes disagree on how to
hand it out, one of them does not, and a damaged file must end in one line of text.
Source: onnx.proto (ModelProto, StringStringEntryProto) and protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import ModelError
from s2v.spec import LipSyncSpec, Network

KEY_PREFIX = "s2v_"
SPEC_KEY = "s2v_spec"
FACE_ENCODER_KEY = "s2v_face_encoder"

MAX_FILE_BYTES = 512 * 2**20
MAX_COUNT = 1_000_000  # of samples, pixels, columns: larger ones are damage
MAX_FIELDS = 10_000  # an ONNX model has a few dozen at its top level

# Beyond these, numbers of the right kind still divide by zero, reach into the past or never end; both ends included.
_RANGES: dict[str, tuple[float, float]] = {
    "fps": (1, 120),
    # Sizes: memory that is taken before anything else is found to be odd.
    "n_columns": (1, 1000),
    "n_mfcc": (1, 128),
    "n_mels": (1, 512),
    "n_fft": (16, 16_384),
    "mfcc_window_samples": (16, 16_384),
    "mfcc_step_samples": (1, 16_384),
    "face_px": (8, 1024),
    "look_ahead_s": (0, 1),
    "mean_time_constant_s": (0.01, MAX_COUNT),
    "mfcc_std": (1e-6, MAX_COUNT),
    "face_size": (0.01, 100),
}
_BASIS_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")

_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14  # field numbers of ModelProto
_KEY, _VALUE = 1, 2  # field numbers of StringStringEntryProto
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types


@dataclass(frozen=True)
class ModelFile:
    """A model file taken apart; nothing of it has been run or compiled yet."""

    path: Path
    spec: LipSyncSpec
    frame_graph: bytes  # ONNX: mfcc -> motion and tract, or mfcc and identity -> pixels; without the metadata
    face_graph: bytes | None  # ONNX: face -> identity; None: the network needs no face
    info: dict[str, str]  # the remaining s2v_ entries without the prefix: licence, train


def read_model_file(path: Path) -> ModelFile:
    """Read and check what `s2v export` wrote. Needs no ONNX library.

    Raises: ModelError, no such file, not ONNX, cut short, no speech2vid metadata, or a spec of another version.
    """
    data = _read_bounded(path)
    try:
        frame_graph, entries = _split(data)
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX model, or is cut short ({error}): fetch or export it again") from error
    if SPEC_KEY not in entries:
        raise ModelError(f"{path} is not a speech2vid model: its metadata lacks {SPEC_KEY}; `s2v export` writes one")
    try:
        spec = read_spec(entries[SPEC_KEY])
        face_graph = None
        if FACE_ENCODER_KEY in entries:
            face_graph = base64.b64decode(entries[FACE_ENCODER_KEY], validate=True)
            _split(face_graph)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (binascii.Error, ValueError) as error:
        raise ModelError(f"{path}: its face encoder is damaged ({error}): fetch or export it again") from error
    rest = {key for key in entries if key.startswith(KEY_PREFIX)} - {SPEC_KEY, FACE_ENCODER_KEY}
    info = {key.removeprefix(KEY_PREFIX): entries[key] for key in sorted(rest)}
    return ModelFile(Path(path), spec, frame_graph, face_graph, info)


def _read_bounded(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ModelError(f"no model file at {path}: give the path of one that `s2v export` wrote")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{path} has {size} bytes; a model has at most {MAX_FILE_BYTES}: is it the right file?")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error


def _split(model: bytes) -> tuple[bytes, dict[str, str]]:
    """A ModelProto without its metadata, and the metadata. Raises: ValueError, not a ModelProto."""
    kept: list[memoryview] = []
    entries: dict[str, str] = {}
    seen: set[int] = set()
    view = memoryview(model)
    for number, whole, value in _fields(view):
        if number == _METADATA and value is not None:
            texts = {n: str(text, "utf-8") for n, _, text in _fields(value) if text is not None}
            entries[texts.get(_KEY, "")] = texts.get(_VALUE, "")
        else:
            kept.append(whole)
            if number == _IR_VERSION or (number == _GRAPH and value is not None):
                seen.add(number)
    if seen != {_IR_VERSION, _GRAPH}:
        raise ValueError("it holds no graph")
    return b"".join(kept), entries


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """The fields of one protobuf message: number, all its bytes, and the content if it is text, bytes or a message."""
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(message):
            return
        start = at
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        content: memoryview | None = None
        if wire_type == _VARINT:
            _, at = _varint(message, at)
        elif wire_type == _LENGTH:
            length, at = _varint(message, at)
            content = message[at : at + length]
            at += length
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {start}")
        if number == 0:
            raise ValueError(f"field number 0 at byte {start}")
        if at > len(message):
            raise ValueError(f"the field at byte {start} ends {at - len(message)} bytes after the end")
        yield number, message[start:at], content
    raise ValueError(f"more than {MAX_FIELDS} fields")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A base-128 integer of at most ten bytes, and where it ends."""
    value = 0
    for i, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError(f"an endless number at byte {at}")


def read_spec(text: str) -> LipSyncSpec:
    """The spec, with every value of the kind and range that the code relies on. Raises: ModelError."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the model's spec is not JSON ({error}): export it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"the model's spec is a {type(values).__name__}, not an object: export it again")
    spec = LipSyncSpec.from_json(text)
    if spec.network not in get_args(Network):
        raise ModelError(f"the model's network is {spec.network!r:.80}; this version draws {get_args(Network)}")
    defaults: dict[str, Any] = asdict(LipSyncSpec())
    for name, value in asdict(spec).items():
        if not _is_like(value, defaults[name]):
            raise ModelError(f"the model's spec has {name}={value!r:.80}, which no model can have: export it again")
    for name, (low, high) in _RANGES.items():
        found = getattr(spec, name)
        if not all(low <= item <= high for item in (found if isinstance(found, tuple) else (found,))):
            raise ModelError(f"the model's spec has {name}={found!r:.80}, wanted {low:g} to {high:g}: export it again")
    _check_basis(spec)
    if not len(spec.mfcc_mean) == len(spec.mfcc_std) == spec.n_mfcc:
        raise ModelError(f"the model's mfcc_mean and mfcc_std do not have {spec.n_mfcc} values each: export it again")
    return spec


def _check_basis(spec: LipSyncSpec) -> None:
    """Raises: ModelError, a basis that this version lacks, or more motion than it has components."""
    if not _BASIS_NAME.fullmatch(spec.motion_basis):  # it becomes part of a file name
        raise ModelError(f"the model's spec has motion_basis={spec.motion_basis!r:.80}, not a name: export it again")
    n_components = len(MotionBasis.load(spec.motion_basis).components)
    if spec.n_motion > n_components:
        raise ModelError(
            f"the model's spec has n_motion={spec.n_motion}; basis {spec.motion_basis} has {n_components}: "
            f"export it again"
        )


def _is_like(value: object, default: object) -> bool:
    """Of the default's kind; counts and sizes whose default is positive are positive."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_is_like(item, default[0]) for item in value)
    if isinstance(default, str | bool):
        return type(value) is type(default)
    if isinstance(default, int):
        return type(value) is int and min(default, 1) <= value <= MAX_COUNT
    return type(value) in (int, float) and abs(value) <= MAX_COUNT  # type: ignore[arg-type]  # no NaN either
