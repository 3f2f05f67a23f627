"""The two networks: the paper's encoder-decoder and the one that moves a photo.

Both are split the way they run: `face_encoder` once per face, `frame_decoder` once per frame.
Source of the baseline: Chung, Jamaludin, Zisserman, "You said that?" (BMVC 2017), section 3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s2v.errors import DataError
from s2v.files import written_whole
from s2v.spec import LipSyncSpec, Network
from s2v.training.networks.layers import conv
from s2v.training.networks.motion_network import MotionNet
from s2v.training.networks.mouth_decoder import MouthDecoder, MouthFaceEncoder

CHECKPOINT_FORMAT = 1


class TalkingNet(nn.Module):
    """What training, export and evaluation know about a network."""

    spec: LipSyncSpec
    identity_names: tuple[str, ...]  # what the face encoder gives and the frame decoder takes
    output_names: tuple[str, ...]
    face_encoder: nn.Module  # (b, 6, face_px, face_px) -> tensors named by identity_names
    frame_decoder: nn.Module  # (b, 1, n_cepstra, n_columns), *identity -> tensors named by output_names

    def forward(self, mfcc: Tensor, face: Tensor) -> tuple[Tensor, ...]:
        """Both halves: outputs in the order of `output_names`."""
        outputs: tuple[Tensor, ...] = self.frame_decoder(mfcc, *self.face_encoder(face))
        return outputs


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

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.spec = spec
        self.face_encoder = PaperFaceEncoder()
        self.frame_decoder = PaperFrameDecoder(spec)


# --- s2v: how the photo moves, and what the mouth shows --------------------------------------------


class MotionFrameDecoder(nn.Module):
    """One frame of `MotionMouth`: motion from audio, then the mouth that goes with it."""

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.motion_net = MotionNet(spec)
        self.mouth_decoder = MouthDecoder(spec)

    def forward(self, mfcc: Tensor, identity: Tensor, teeth: Tensor) -> tuple[Tensor, ...]:
        """-> motion (b, n_motion), mouth (b, 4, mouth_h_px, mouth_w_px)."""
        motion = self.motion_net(mfcc)
        return motion, self.mouth_decoder(motion, identity, teeth)


class MotionMouth(TalkingNet):
    """Network "s2v": says how the photo moves and what the mouth shows."""

    identity_names = ("identity", "teeth")
    output_names = ("motion", "mouth")
    face_encoder: MouthFaceEncoder
    frame_decoder: MotionFrameDecoder

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.spec = spec
        self.face_encoder = MouthFaceEncoder(spec)
        self.frame_decoder = MotionFrameDecoder(spec)


def build_network(spec: LipSyncSpec) -> TalkingNet:
    """A network with fresh weights for a spec."""
    return Speech2Vid(spec) if spec.network == "speech2vid" else MotionMouth(spec)


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
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise DataError(f"{path} is not a checkpoint of this version of s2v train: train again")
    state["weights"] = {_renamed(name): weight for name, weight in state["weights"].items()}
    return state


def _renamed(weight: str) -> str:
    """What a weight is called now: up to 0.1 the mouth decoder was the painter."""
    return weight.replace("frame_decoder.painter.", "frame_decoder.mouth_decoder.")


def part_of(weight: str, network: Network) -> str:
    """Which part of a network ("motion", "mouth"; "pixels" is all of the baseline) a weight belongs to."""
    if network == "speech2vid":
        return "pixels"
    return "motion" if weight.startswith("frame_decoder.motion_net") else "mouth"


def _concerns(field: str, part: str) -> bool:
    """Whether a field of the spec means anything to a part: how sound is heard is no business of the mouth's."""
    if field.startswith("mouth_"):
        return part != "motion"
    if part == "mouth":
        return field in ("network", "motion_basis", "n_motion") or field.startswith("face_")
    return part == "pixels" or not field.startswith("face_")


def take_weights(network: TalkingNet, state: dict[str, Any], done: dict[str, int]) -> dict[str, int]:
    """Load from a checkpoint the parts that it trained further than `done`; returns the new `done`.

    Raises: DataError, a part was trained for another spec, as far as the spec concerns it.
    """
    stored, wanted = json.loads(state["spec"]), json.loads(network.spec.to_json())
    ahead = {part: steps for part, steps in state["steps"].items() if steps > done.get(part, 0)}
    for part in ahead:
        odd = sorted(f for f in stored.keys() | wanted if _concerns(f, part) and stored.get(f) != wanted.get(f))
        if odd:
            raise DataError(
                f"the checkpoint's part {part} was trained for another spec (network {stored.get('network')}; "
                f"other in {', '.join(odd)}): leave it out"
            )
    weights = network.state_dict()
    weights.update({k: v for k, v in state["weights"].items() if part_of(k, network.spec.network) in ahead})
    network.load_state_dict(weights)
    return done | ahead


def _joined_spec(states: Sequence[dict[str, Any]]) -> LipSyncSpec:
    """The spec of several checkpoints' furthest parts: of each field, what the part says that it concerns."""
    values: dict[str, Any] = json.loads(states[0]["spec"])
    for part in ("mouth", "motion"):
        furthest = max(states, key=lambda state: int(state["steps"].get(part, 0)))
        if furthest["steps"].get(part):
            told = json.loads(furthest["spec"])
            values = {f: v for f, v in values.items() if not _concerns(f, part)}
            values |= {f: v for f, v in told.items() if _concerns(f, part)}
    return LipSyncSpec.from_json(json.dumps(values))


def load_checkpoint(*paths: Path) -> TalkingNet:
    """Build a network from its checkpoint, in eval mode; from several, each part from the one furthest ahead."""
    states = [read_checkpoint(path) for path in paths]
    network = build_network(_joined_spec(states))
    done: dict[str, int] = {}
    for state in states:
        done = take_weights(network, state, done)
    return network.eval()
