"""Weights of network "s2v" as a safetensors file, to go on training from: what `s2v train --init` takes.

A checkpoint of `s2v train` is a pickle and holds its training; this is read without running anything, by any library
that knows the format, and holds weights, the spec they were trained for, licence and attribution (as metadata, named
as in a model file: `s2v_spec`, `s2v_licence`, `s2v_train`, `s2v_model`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from s2v.engine.backends.model_file import KEY_PREFIX, SPEC_KEY, read_spec
from s2v.errors import DataError, S2vError
from s2v.files import written_whole
from s2v.training.networks.model import MotionTract

SUFFIX = ".safetensors"
_MAX_FILE_BYTES = 64 * 2**20  # the network has 4 MB


def save_weights(network: MotionTract, path: Path, info: Mapping[str, str], half: bool = False) -> None:
    """Write weights and spec, whole or not at all.

    Args:
        info: texts for people, written as `s2v_<key>`: licence, train (data and attribution), model (what it is of).
        half: matrices as float16, which halves the file and moves no coefficient by a hundredth of its deviation.
    """
    from safetensors.torch import save_file

    tensors = {
        name: (tensor.half() if half and tensor.ndim > 1 else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    texts = {KEY_PREFIX + key: text for key, text in info.items()} | {SPEC_KEY: network.spec.to_json()}
    with written_whole(path) as beside:
        save_file(tensors, beside, metadata=texts)


def read_info(path: Path) -> dict[str, str]:
    """The texts of `save_weights` by their keys, the spec not among them. Raises: DataError, not such a file."""
    _, texts = _read(path)
    return {
        key.removeprefix(KEY_PREFIX): text
        for key, text in texts.items()
        if key.startswith(KEY_PREFIX) and key != SPEC_KEY
    }


def network_of_weights(path: Path) -> MotionTract:
    """The network of a file of `save_weights`, in eval mode. Raises: DataError, not such a file, or of another network.

    Numbers that were stored as float16 are float32 again.
    """
    tensors, texts = _read(path)
    try:
        spec = read_spec(texts.get(SPEC_KEY, ""))
    except S2vError as error:
        raise DataError(f"{path} holds no weights that s2v train can go on from ({error})") from None
    if spec.network != "s2v":
        raise DataError(f"{path} holds weights of network {spec.network}, wanted s2v: give its checkpoint instead")
    network = MotionTract(spec)
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in whole.values()):
        raise DataError(f"{path} is damaged, some of its weights are no numbers: fetch or make it again")
    try:
        network.load_state_dict(whole)
    except RuntimeError as error:  # a name or a shape that the network has not
        raise DataError(
            f"the weights of {path} do not fit network s2v ({' '.join(str(error).split())[:160]})"
        ) from None
    return network.eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DataError(f"{path} has {path.stat().st_size} bytes, more than weights of network s2v ever have")
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return tensors, dict(file.metadata() or {})
    except FileNotFoundError:
        raise DataError(f"no weights at {path}: --init takes a file, or 'default' for the shipped ones") from None
    except DataError:
        raise
    except Exception as error:  # the library raises its own SafetensorError, and OSError
        raise DataError(f"{path} is not a safetensors file ({type(error).__name__})") from None
