"""Two small networks of the same shape as the real ones, and model files made of them once per test run.

Their weights are random: they test that files and runtimes agree with torch, not that a mouth looks right.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from s2v.spec import TRACT_VARIABLES, LipSyncSpec
from s2v.training.export.export import ExportReport, export_network

_FOLDER = TemporaryDirectory(prefix="s2v-tiny-")  # removed when the test process ends
INFO = {"licence": "CC0-1.0", "train": '{"data": "none: random weights"}'}


def _block(n_in: int, n_out: int, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1), nn.BatchNorm2d(n_out), nn.ReLU())


class TinyFaceEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _block(6, 8, 4), _block(8, 12, 2)
        self.last = nn.Linear(12, 16)

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        skip = self.second(self.first(face))
        return self.last(skip.mean((2, 3))), skip


class _TinyAudio(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_block(1, 8, (1, 2)), nn.MaxPool2d(2), _block(8, 16), nn.AdaptiveAvgPool2d(1))

    def forward(self, mfcc: Tensor) -> Tensor:
        features: Tensor = self.layers(mfcc).flatten(1)
        return features


class TinyMotionDecoder(nn.Module):
    """Motion and tract variables, as the default network gives."""

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.audio = _TinyAudio()
        self.motion = nn.Sequential(nn.Linear(16, 24), nn.LeakyReLU(0.2), nn.Linear(24, spec.n_motion))
        self.tract = nn.Linear(16, len(TRACT_VARIABLES))

    def forward(self, mfcc: Tensor) -> tuple[Tensor, Tensor]:
        features = self.audio(mfcc)
        return self.motion(features), torch.sigmoid(self.tract(features))


class TinyPixelDecoder(nn.Module):
    """A face of 112 x 112 pixels, as the paper's network gives."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = _TinyAudio()
        self.spread, self.last = nn.Linear(32, 7 * 7), nn.ConvTranspose2d(8, 3, 8, 8)
        self.up = nn.ConvTranspose2d(1, 4, 4, 2, 1)
        self.narrow = nn.Conv2d(12, 4, 1)

    def forward(self, mfcc: Tensor, identity: Tensor, skip: Tensor) -> tuple[Tensor]:
        spread = self.spread(torch.cat([self.audio(mfcc), identity], 1)).view(-1, 1, 7, 7)
        coarse = F.relu(self.up(spread))
        beside = F.interpolate(self.narrow(skip), scale_factor=0.5, mode="bilinear", align_corners=False)
        both = torch.cat([coarse, F.interpolate(beside, scale_factor=2.0, mode="nearest")], 1)
        return (torch.tanh(self.last(both)) * 0.5 + 0.5,)


class TinyNet(nn.Module):
    """Fills `s2v.training.export.export.Exportable`."""

    def __init__(self, spec: LipSyncSpec, decoder: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        of_a_face = spec.network == "speech2vid"
        self.identity_names: tuple[str, ...] = ("identity", "skip") if of_a_face else ()
        self.output_names: tuple[str, ...] = ("pixels",) if of_a_face else ("motion", "tract")
        self.face_encoder: nn.Module | None = TinyFaceEncoder() if of_a_face else None
        self.frame_decoder = decoder


def tiny_network(network: str) -> TinyNet:
    """The same weights every time, with batch statistics that are not the trivial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        if network == "s2v":
            net = TinyNet(LipSyncSpec(), TinyMotionDecoder(LipSyncSpec()))
        else:
            net = TinyNet(LipSyncSpec(network="speech2vid"), TinyPixelDecoder())
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


@cache
def tiny_model(network: str) -> ExportReport:
    """A model file of `tiny_network`, exported once per test process; tests only read it."""
    net = tiny_network(network)
    return export_network(net, net.spec, Path(_FOLDER.name) / f"{network}.onnx", INFO)
