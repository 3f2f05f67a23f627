"""The paper's network: a voice and two pictures of a face become the face's pixels.

Source: Chung, Jamaludin, Zisserman, "You said that?" (BMVC 2017), section 3, figure 3.

Where the paper's decoder takes over the encoder's maps, it convolves them beside its own, joined. A convolution of
joined maps is the sum of a convolution of each, so the encoder convolves its maps itself, once for a face, and the
decoder adds what comes out: the same network, but a second frame of a face needs two fifths fewer multiplications.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from s2v.spec import LipSyncSpec
from s2v.training.networks.layers import conv
from s2v.training.networks.talking_net import TalkingNet

_JOINED = ("up_28", "up_56", "up_112")  # the decoder's layers to which the encoder's of the same name add


class PaperAudioEncoder(nn.Module):
    """12x35 MFCC -> 256: convolutions of 64, 128, 256, 256, 512 channels."""

    def __init__(self, n_rows: int, n_columns: int, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = scaled(width, 64, 128, 256, 512)
        self.layers = nn.Sequential(
            conv(1, c64), conv(c64, c128), nn.MaxPool2d((1, 3), (1, 2)),
            conv(c128, c256), conv(c256, c256), conv(c256, c512), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        with torch.no_grad():
            flat = self.layers.eval()(torch.zeros(1, 1, n_rows, n_columns)).numel()
        self.layers.train()
        self.full = nn.Sequential(nn.Linear(flat, c512), nn.LeakyReLU(0.1), nn.Linear(c512, c256))

    def forward(self, mfcc: Tensor) -> Tensor:
        """(b, 1, n_rows, n_columns) -> (b, 256)."""
        encoded: Tensor = self.full(self.layers(mfcc).flatten(1))
        return encoded


class PaperFaceEncoder(nn.Module):
    """Two faces in six channels -> 256, and what its maps (96, 256, 512 x 3) add to the decoder's."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c48, c96, c128, c256, c512 = scaled(width, 48, 96, 128, 256, 512)
        self.to_56 = conv(6, c96, 7, 2)
        self.to_28 = conv(c96, c256, 5, 2)
        self.to_14 = conv(c256, c512, 3, 2)
        self.to_7 = nn.Sequential(conv(c512, c512, 3, 2), conv(c512, c512))
        self.full = nn.Sequential(nn.Linear(c512 * 7 * 7, c512), nn.LeakyReLU(0.1), nn.Linear(c512, c256))
        self.up_28 = _twice_as_large(c512, c128)
        self.up_56 = _twice_as_large(c256, c96)
        self.up_112 = _twice_as_large(c96, c48)

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """(b, 6, 112, 112) -> identity (b, 256), to add (b, 48, 112, 112), (b, 96, 56, 56), (b, 128, 28, 28)."""
        at_56 = self.to_56(face)
        at_28 = self.to_28(at_56)
        at_14 = self.to_14(at_28)
        identity = self.full(self.to_7(at_14).flatten(1))
        return identity, self.up_112(at_56), self.up_56(at_28), self.up_28(at_14)


class PaperFrameDecoder(nn.Module):
    """Audio and identity -> pixels, by transposed convolutions, each joined by the encoder's maps of its size."""

    def __init__(self, spec: LipSyncSpec, width: float = 1.0) -> None:
        super().__init__()
        c48, c96, c128, self.c256, c512 = scaled(width, 48, 96, 128, 256, 512)
        self.audio = PaperAudioEncoder(spec.n_cepstra, spec.n_columns, width)
        self.full = nn.Sequential(nn.Linear(c512, self.c256 * 7 * 7), nn.LeakyReLU(0.1))
        self.up_14 = _Up(self.c256, self.c256)
        self.up_28 = _Up(self.c256, c128)
        self.up_56 = _Up(c128, c96)
        self.up_112 = _Up(c96, c48)
        self.out = nn.Conv2d(c48, 3, 3, padding=1)

    def forward(self, mfcc: Tensor, identity: Tensor, *added: Tensor) -> tuple[Tensor, ...]:
        """-> pixels (b, 3, 112, 112) in [0, 1]."""
        add_112, add_56, add_28 = added
        x = self.full(torch.cat([self.audio(mfcc), identity], 1)).reshape(-1, self.c256, 7, 7)
        x = self.up_56(self.up_28(self.up_14(x), add_28), add_56)
        return (torch.sigmoid(self.out(self.up_112(x, add_112))),)


class _Up(nn.Sequential):
    """Maps twice as large, plus what else is there; batch norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(_twice_as_large(inputs, outputs), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        larger, norm, bend = self
        x = larger(x)
        bent: Tensor = bend(norm(x if added is None else x + added))
        return bent


def _twice_as_large(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


class Speech2Vid(TalkingNet):
    """The baseline of "You said that?"."""

    identity_names = ("identity", "add112", "add56", "add28")
    output_names = ("pixels",)
    face_encoder: PaperFaceEncoder
    frame_decoder: PaperFrameDecoder

    def __init__(self, spec: LipSyncSpec, width: float = 1.0) -> None:
        """Args: width: times the paper's channels, e.g. 0.5 for a network that learns sooner (docs/LOG.md)."""
        super().__init__()
        self.spec = spec
        self.width = float(width)
        self.face_encoder = PaperFaceEncoder(width)
        self.frame_decoder = PaperFrameDecoder(spec, width)
        self.register_load_state_dict_pre_hook(_split_joined)  # type: ignore[no-untyped-call]

    def forward(self, mfcc: Tensor, face: Tensor) -> Tensor:
        """Frames of faces, each face encoded once.

        Args: mfcc: (b, 1, n_cepstra, n_columns), all windows of the first face, then all of the second, and so on,
            equally many of each. face: (n, 6, 112, 112) where b is n or a multiple of it.
        Returns: pixels (b, 3, 112, 112) in [0, 1].
        """
        times = len(mfcc) // len(face)
        (pixels,) = self.frame_decoder(mfcc, *(_each(part, times) for part in self.face_encoder(face)))
        return pixels  # type: ignore[no-any-return]


def scaled(width: float, *channels: int) -> tuple[int, ...]:
    """The paper's channels times `width`, in whole eights: vectors of the processor are that long."""
    return tuple(max(8, 8 * round(width * n / 8)) for n in channels)


def _each(part: Tensor, times: int) -> Tensor:
    """(n, ...) -> (n * times, ...), each so many times; quicker than repeat_interleave to go back through."""
    return part if times == 1 else part[:, None].expand(-1, times, *part.shape[1:]).flatten(0, 1)


def _split_joined(network: Speech2Vid, weights: dict[str, Any], *_: object) -> None:
    """Weights of version 0.2, in which one layer convolved the joined maps, as those of today's layers."""
    for name in _JOINED:
        own = len(getattr(network.frame_decoder, name)[0].weight)
        joined = weights.get(f"frame_decoder.{name}.0.weight")
        if isinstance(joined, Tensor) and joined.ndim and len(joined) > own:
            weights[f"frame_decoder.{name}.0.weight"] = joined[:own]
            weights[f"face_encoder.{name}.weight"] = joined[own:]
