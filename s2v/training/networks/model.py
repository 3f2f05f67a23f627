"""The two networks by their specs, and checkpoints: the paper's encoder-decoder and the one that moves a photo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2v.engine.backends.model_file import read_spec
from s2v.errors import DataError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec
from s2v.training.networks.motion_network import MotionNet
from s2v.training.networks.speech2vid import Speech2Vid
from s2v.training.networks.talking_net import TalkingNet

__all__ = [
    "MotionTract",
    "Speech2Vid",
    "TalkingNet",
    "build_network",
    "load_checkpoint",
    "mean_weights",
    "network_of",
    "read_checkpoint",
    "save_checkpoint",
    "spec_of",
    "take_weights",
]

CHECKPOINT_FORMAT = 1
_NEEDED = ("spec", "weights")
# What else is stored is the training's.
_STORED = {
    "spec": str, "weights": dict, "width": float,
    "steps": int, "moments": dict, "history": list, "probes": list, "best": float,
}  # fmt: skip


class MotionTract(TalkingNet):
    """Network "s2v": says how the photo moves, and the tract variables that the inside of the mouth is drawn from."""

    identity_names = ()
    output_names = ("motion", "tract")
    face_encoder: None
    frame_decoder: MotionNet

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.spec = spec
        self.face_encoder = None
        self.frame_decoder = MotionNet(spec)


def build_network(spec: LipSyncSpec, width: float = 1.0) -> TalkingNet:
    """A network with fresh weights for a spec.

    Args: width: times the channels that network "speech2vid" has in its paper. Raises: DataError, not in [0.1, 2], or
        another network's.
    """
    if not (0.1 <= width <= 2 if spec.network == "speech2vid" else width == 1):
        raise DataError(
            f"a network {spec.network} {width:g} times as wide: speech2vid can be 0.1 to 2 times, s2v only 1"
        )
    return Speech2Vid(spec, width) if spec.network == "speech2vid" else MotionTract(spec)


def save_checkpoint(network: TalkingNet, path: Path, **extra: Any) -> None:
    """Write weights, spec and whatever training needs to go on; whole or not at all."""
    kind = {"format": CHECKPOINT_FORMAT, "spec": network.spec.to_json(), "width": network.width}
    state = {**kind, "weights": network.state_dict(), **extra}
    with written_whole(path) as beside:
        torch.save(state, beside)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The stored dictionary. Raises: DataError, missing or not ours."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"no checkpoint at {path}: s2v train writes one") from None
    except Exception as error:  # torch raises whatever its readers raise
        raise DataError(f"{path} is not a checkpoint of s2v train ({type(error).__name__})") from None
    made = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(made, int) or made != CHECKPOINT_FORMAT:
        raise DataError(f"{path} is not a checkpoint of this version of s2v train: train again")
    for name, kind in _STORED.items():
        if not isinstance(state.get(name, kind()), kind) or (name in _NEEDED and name not in state):
            raise DataError(f"{path} is damaged, its {name} is a {type(state.get(name)).__name__}: train again")
    if not all(isinstance(value, Tensor) for value in state["weights"].values()):
        raise DataError(f"{path} is damaged, not all of its weights are tensors: train again")
    return state


def spec_of(state: dict[str, Any]) -> LipSyncSpec:
    """The spec of a checkpoint. Raises: ModelError, none that a network can have."""
    return read_spec(state["spec"])


def network_of(state: dict[str, Any]) -> TalkingNet:
    """The network of a checkpoint, with its weights. Raises: DataError, ModelError, it does not fit together."""
    network = build_network(spec_of(state), state.get("width", 1.0))  # version 0.2 knew one width
    take_weights(network, state)
    return network


def take_weights(network: TalkingNet, state: dict[str, Any]) -> None:
    """Load the weights of a checkpoint.

    Raises: DataError, it was trained for another spec, or they do not fit the network.
    """
    try:
        stored = json.loads(state["spec"])
    except (ValueError, RecursionError):
        stored = None
    stored = stored if isinstance(stored, dict) else {}
    wanted = json.loads(network.spec.to_json())
    if odd := sorted(field for field in stored.keys() | wanted if stored.get(field) != wanted.get(field)):
        raise DataError(
            f"the checkpoint was trained for another spec (network {stored.get('network')}; "
            f"other in {', '.join(odd)}): leave it out"
        )
    if (width := state.get("width", 1.0)) != network.width:
        raise DataError(
            f"the checkpoint's network is {width:g} times as wide as usual, this training's {network.width:g}"
        )
    try:
        network.load_state_dict(state["weights"])
    except (RuntimeError, TypeError) as error:  # a name or a shape that the network has not
        raise DataError(
            f"the checkpoint's weights do not fit its network ({' '.join(str(error).split())[:160]})"
        ) from None


def mean_weights(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of checkpoints of one training; counters are the last one's.

    Between where a training began and where it ended there is often something better than both. Source: Wortsman et
    al., "Model soups" (2022). Raises: DataError, not checkpoints.
    """
    weights = [read_checkpoint(path)["weights"] for path in checkpoints]
    return {
        name: torch.stack([one[name] for one in weights]).mean(0) if last.is_floating_point() else last
        for name, last in weights[-1].items()
    }


def load_checkpoint(path: Path) -> TalkingNet:
    """Build a network from its checkpoint, in eval mode. Raises: DataError, not one of `s2v train`."""
    return network_of(read_checkpoint(path)).eval()
