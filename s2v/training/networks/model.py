"""The two networks: the paper's encoder-decoder and the one that moves a photo.

They are split the way they run: `face_encoder` once per face, if there is one, `frame_decoder` once per frame.
Source of the baseline: Chung, Jamaludin, Zisserman, "You said that?" (BMVC 2017), section 3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s2v.engine.backends.model_file import read_spec
from s2v.errors import DataError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec
from s2v.training.networks.layers import conv
from s2v.training.networks.motion_network import MotionNet

CHECKPOINT_FORMAT = 1
_NEEDED = ("spec", "weights")
# What else is stored is the training's.
_STORED = {"spec": str, "weights": dict, "steps": int, "moments": dict, "history": list, "probes": list, "best": float}


class TalkingNet(nn.Module):
    """What training, export and evaluation know about a network."""

    spec: LipSyncSpec
    identity_names: tuple[str, ...]  # what the face encoder gives and the frame decoder takes
    output_names: tuple[str, ...]
    face_encoder: nn.Module | None  # (b, 6, face_px, face_px) -> tensors named by identity_names
    frame_decoder: nn.Module  # (b, 1, n_cepstra, n_columns), *identity -> tensors named by output_names


# --- speech2vid: the paper -------------------------------------------------------------------------


class PaperAudioEncoder(nn.Module):
    """12x35 MFCC -> 256: convolutions of 64, 128, 256, 256, 512 channels (figure 3 of the paper)."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(1, 64), conv(64, 128), nn.MaxPool2d((1, 3), (1, 2)),
            conv(128, 256), conv(256, 256), conv(256, 512), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        with torch.no_grad():
            flat = self.layers.eval()(torch.zeros(1, 1, n_rows, n_columns)).numel()
        self.layers.train()
        self.full = nn.Sequential(nn.Linear(flat, 512), nn.LeakyReLU(0.1), nn.Linear(512, 256))

    def forward(self, mfcc: Tensor) -> Tensor:
        """(b, 1, n_rows, n_columns) -> (b, 256)."""
        encoded: Tensor = self.full(self.layers(mfcc).flatten(1))
        return encoded


class PaperFaceEncoder(nn.Module):
    """Two faces in six channels -> 256 and the maps that the decoder takes over (96, 256, 512 x 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.to_56 = conv(6, 96, 7, 2)
        self.to_28 = conv(96, 256, 5, 2)
        self.to_14 = conv(256, 512, 3, 2)
        self.to_7 = nn.Sequential(conv(512, 512, 3, 2), conv(512, 512))
        self.full = nn.Sequential(nn.Linear(512 * 7 * 7, 512), nn.LeakyReLU(0.1), nn.Linear(512, 256))

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """(b, 6, 112, 112) -> identity (b, 256), skip56, skip28, skip14."""
        at_56 = self.to_56(face)
        at_28 = self.to_28(at_56)
        at_14 = self.to_14(at_28)
        return self.full(self.to_7(at_14).flatten(1)), at_56, at_28, at_14


class PaperFrameDecoder(nn.Module):
    """Audio and identity -> pixels, by transposed convolutions with skips."""

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.audio = PaperAudioEncoder(spec.n_cepstra, spec.n_columns)
        self.full = nn.Sequential(nn.Linear(512, 256 * 7 * 7), nn.LeakyReLU(0.1))
        self.up_14 = self._up(256, 256)
        self.up_28 = self._up(256 + 512, 128)
        self.up_56 = self._up(128 + 256, 96)
        self.up_112 = self._up(96 + 96, 48)
        self.out = nn.Conv2d(48, 3, 3, padding=1)

    @staticmethod
    def _up(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
        )

    def forward(self, mfcc: Tensor, identity: Tensor, *skips: Tensor) -> tuple[Tensor, ...]:
        """-> pixels (b, 3, 112, 112) in [0, 1]."""
        at_56, at_28, at_14 = skips
        x = self.full(torch.cat([self.audio(mfcc), identity], 1)).reshape(-1, 256, 7, 7)
        x = self.up_28(torch.cat([self.up_14(x), at_14], 1))
        x = self.up_112(torch.cat([self.up_56(torch.cat([x, at_28], 1)), at_56], 1))
        return (torch.sigmoid(self.out(x)),)


class Speech2Vid(TalkingNet):
    """The baseline of "You said that?"."""

    identity_names = ("identity", "skip56", "skip28", "skip14")
    output_names = ("pixels",)
    face_encoder: PaperFaceEncoder

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.spec = spec
        self.face_encoder = PaperFaceEncoder()
        self.frame_decoder = PaperFrameDecoder(spec)

    def forward(self, mfcc: Tensor, face: Tensor) -> Tensor:
        """(b, 1, n_cepstra, n_columns), (b, 6, 112, 112) -> pixels (b, 3, 112, 112) in [0, 1]."""
        (pixels,) = self.frame_decoder(mfcc, *self.face_encoder(face))
        return pixels  # type: ignore[no-any-return]


# --- s2v: how the photo moves, and what the tongue does ---------------------------------------------


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


def build_network(spec: LipSyncSpec) -> TalkingNet:
    """A network with fresh weights for a spec."""
    return Speech2Vid(spec) if spec.network == "speech2vid" else MotionTract(spec)


def save_checkpoint(network: TalkingNet, path: Path, **extra: Any) -> None:
    """Write weights, spec and whatever training needs to go on; whole or not at all."""
    state = {"format": CHECKPOINT_FORMAT, "spec": network.spec.to_json(), "weights": network.state_dict(), **extra}
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
    state = read_checkpoint(path)
    network = build_network(spec_of(state))
    take_weights(network, state)
    return network.eval()
