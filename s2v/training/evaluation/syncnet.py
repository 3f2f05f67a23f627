"""LSE-D and LSE-C: what SyncNet, with weights that the user brings, thinks of lips and voice.

The network hears 0.2 s and sees five frames; the distance of what it makes of both is small where they
belong together. Sources: Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016), for the
method; the layout is that of the public weights "SyncNet v2", whose state dictionary fits.
LSE-D, LSE-C: Prajwal et al., "A lip sync expert is all you need" (2020), section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from s2v.engine.face.photo import Image
from s2v.errors import DataError
from s2v.training.evaluation.crops import Window

CROP: Window = (-1.47, -0.75, 2.94)  # about what the public pipeline cuts around a detected face
CROP_PX = 224
WINDOW_FRAMES, WINDOW_COLUMNS, COLUMNS_PER_FRAME = 5, 20, 4
MAX_SHIFT_FRAMES = 15
_BATCH = 8
# Convolution (outputs, kernel, stride, padding), each followed by batch norm and ReLU, or pooling (kernel, stride,
# padding). "Out of time", figure 2, with the channels of the public weights.
Layer = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Pool = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_AUDIO: tuple[Layer | Pool, ...] = (
    (64, (3, 3), (1, 1), (1, 1)), ((1, 1), (1, 1), (0, 0)),
    (192, (3, 3), (1, 1), (1, 1)), ((3, 3), (1, 2), (0, 0)),
    (384, (3, 3), (1, 1), (1, 1)), (256, (3, 3), (1, 1), (1, 1)), (256, (3, 3), (1, 1), (1, 1)),
    ((3, 3), (2, 2), (0, 0)),
    (512, (5, 4), (1, 1), (0, 0)),
)  # fmt: skip
_LIPS: tuple[Layer | Pool, ...] = (
    (96, (5, 7, 7), (1, 2, 2), (0, 0, 0)), ((1, 3, 3), (1, 2, 2), (0, 0, 0)),
    (256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    (256, (1, 3, 3), (1, 1, 1), (0, 1, 1)), (256, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    (256, (1, 3, 3), (1, 1, 1), (0, 1, 1)), ((1, 3, 3), (1, 2, 2), (0, 0, 0)),
    (512, (1, 6, 6), (1, 1, 1), (0, 0, 0)),
)  # fmt: skip


class SyncNet(nn.Module):
    """Five face crops and 13x20 MFCC -> 1024 numbers each."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud, self.netcnnlip = _stack(1, _AUDIO), _stack(3, _LIPS)
        self.netfcaud, self.netfclip = _full(), _full()

    def forward(self, lips: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 3, 5, 224, 224) BGR in [0, 255] and (b, 1, 13, 20) -> (b, 1024) each."""
        return self.netfclip(self.netcnnlip(lips).flatten(1)), self.netfcaud(self.netcnnaud(audio).flatten(1))


def _stack(channels: int, layers: Sequence[Layer | Pool]) -> nn.Sequential:
    made: list[nn.Module] = []
    for layer in layers:
        flat = len(layer[-1]) == 2
        if len(layer) == 3:
            made.append((nn.MaxPool2d if flat else nn.MaxPool3d)(*layer))
            continue
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if flat else (nn.Conv3d, nn.BatchNorm3d)
        made += [convolution(channels, *layer), norm(layer[0]), nn.ReLU()]  # type: ignore[arg-type]
        channels = layer[0]
    return nn.Sequential(*made)


def _full() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


@cache
def load_syncnet(path: Path) -> nn.Module:
    """Weights as TorchScript (with the same `forward` as `SyncNet`) or as a state dictionary of its layout.

    Raises: DataError, missing or neither.
    """
    if not path.is_file():
        raise DataError(f"no SyncNet weights at {path}: --syncnet takes a file of yours, none comes with the package")
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-any-return]
    except RuntimeError:
        pass  # not TorchScript
    network = SyncNet()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # torch raises whatever its readers raise
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path} holds neither TorchScript nor SyncNet v2 weights ({reason})") from None
    return network.eval()


def sync_errors(network: nn.Module, crops: Sequence[Image], pcm: NDArray[np.float32]) -> tuple[float, float]:
    """LSE-D (small is good) and LSE-C (large is good) of a clip; NaN if it is shorter than 0.4 s.

    Args: crops: of each frame, (224, 224, 3) BGR. pcm: (n,) 16 kHz in [-1, 1].
    """
    columns = mfcc_of_syncnet(pcm).T
    n = min(len(crops) - WINDOW_FRAMES, (columns.shape[1] - WINDOW_COLUMNS) // COLUMNS_PER_FRAME) + 1
    if n < WINDOW_FRAMES:
        return float("nan"), float("nan")
    seen, heard = [], []
    for first in range(0, n, _BATCH):
        starts = range(first, min(first + _BATCH, n))
        lips = np.stack([np.stack(crops[at : at + WINDOW_FRAMES]) for at in starts]).transpose(0, 4, 1, 2, 3)
        at = [start * COLUMNS_PER_FRAME for start in starts]
        audio = np.stack([columns[None, :, column : column + WINDOW_COLUMNS] for column in at])
        with torch.inference_mode():
            lip, sound = network(torch.from_numpy(lips.astype(np.float32)), torch.from_numpy(audio))
        seen.append(lip.numpy())
        heard.append(sound.numpy())
    return errors_of(np.concatenate(seen), np.concatenate(heard))


def errors_of(seen: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[float, float]:
    """LSE-D and LSE-C from what was made of lips and sound, (n, k) each, frame by frame.

    The distance, mean over frames, is taken at each shift up to 15 frames; D is the smallest, C the median above it.
    """
    padded = np.pad(heard, ((MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES), (0, 0)))
    shifts = range(2 * MAX_SHIFT_FRAMES + 1)
    distance = np.array([np.linalg.norm(seen - padded[s : s + len(seen)], axis=1).mean() for s in shifts])
    return float(distance.min()), float(np.median(distance) - distance.min())


def mfcc_of_syncnet(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 13) at 100 Hz as SyncNet was trained on them: not those of the engine, whose band, window and c0 differ.

    25 ms without a window function, pre-emphasis 0.97, 26 mel filters to 8 kHz, lifter 22, c0 the log energy;
    the samples count as 16-bit numbers.
    """
    sound = pcm.astype(np.float64) * 32768
    emphasised = np.append(sound[:1], sound[1:] - 0.97 * sound[:-1])
    n = 1 + max(0, -(-(len(sound) - 400) // 160))
    padded = np.pad(emphasised, (0, max(0, (n - 1) * 160 + 400 - len(emphasised))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:n]
    power = np.abs(np.fft.rfft(frames, 512)) ** 2 / 512
    tiny = np.finfo(float).eps
    logs = np.log(np.maximum(power @ _mel_filters().T, tiny))
    k = np.arange(13)[:, None]
    cosines = np.cos(np.pi * k * (2 * np.arange(26) + 1) / 52) * np.sqrt(2 / 26)
    cosines[0] /= np.sqrt(2)
    cepstra = logs @ cosines.T * (1 + 11 * np.sin(np.pi * k[:, 0] / 22))
    cepstra[:, 0] = np.log(np.maximum(power.sum(1), tiny))
    return np.asarray(cepstra, np.float32)


def _mel_filters() -> NDArray[np.float64]:
    """(26, 257) triangles between 0 and 8000 Hz, corners at whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    corner = np.floor(513 * 700 * (10 ** (mel / 2595) - 1) / 16_000)
    bins, low, middle, high = np.arange(257), corner[:-2, None], corner[1:-1, None], corner[2:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.where((bins >= low) & (bins < middle), (bins - low) / (middle - low), 0)
        falling = np.where((bins >= middle) & (bins < high), (high - bins) / (high - middle), 0)
    filters: NDArray[np.float64] = rising + falling
    return filters
