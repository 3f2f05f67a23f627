"""Audio -> motion: a one-dimensional convolution net over MFCC columns.

The first layer spans all cepstra at once: neighbouring cepstra are not alike the way neighbouring
pixels are, so sliding a small kernel over them buys nothing (docs/LOG.md). Nothing is padded: a window
of a stretch of columns gives the same as the window alone, so training runs over whole stretches
(`over`), where windows that overlap share their work, and the live engine runs over single windows.
"""

from __future__ import annotations

from torch import Tensor, nn

from s2v.errors import DataError
from s2v.spec import LipSyncSpec

STRIDE_COLUMNS = 4  # two layers step by two


def _conv(inputs: int, outputs: int, columns: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, (1, columns), (1, stride), bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
    )


class MotionNet(nn.Module):
    """Audio windows -> motion coefficients."""

    def __init__(self, spec: LipSyncSpec, width: int = 192, dropout: float = 0.1) -> None:
        super().__init__()
        self.n_columns, self.columns_per_frame = spec.n_columns, spec.samples_per_frame / spec.mfcc_step_samples
        self.mix = nn.Sequential(
            nn.Conv2d(1, width, (spec.n_cepstra, 5), bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)
        )
        self.layers = nn.Sequential(
            _conv(width, width, 5), nn.Dropout(dropout), _conv(width, width, 3, 2),
            _conv(width, width, 5), nn.Dropout(dropout), _conv(width, width + 32, 3, 2),
        )  # fmt: skip
        left = (((spec.n_columns - 4 - 4) - 3) // 2 + 1 - 4 - 3) // 2 + 1  # columns that the layers leave of a window
        if left < 1:
            raise DataError(f"windows of {spec.n_columns} MFCC columns are too short for this network; wanted 35")
        self.full = nn.Sequential(
            nn.Conv2d(width + 32, 2 * width, (1, left)), nn.LeakyReLU(0.1), nn.Dropout(2 * dropout),
            nn.Conv2d(2 * width, spec.n_motion, 1),
        )  # fmt: skip

    def forward(self, mfcc: Tensor) -> Tensor:
        """(b, 1, n_cepstra, n_columns) -> (b, n_motion)."""
        motion: Tensor = self.full(self.layers(self.mix(mfcc))).flatten(1)
        return motion

    def over(self, columns: Tensor) -> Tensor:
        """Every frame of stretches of columns, row 0 the oldest that frame 0 sees.

        Args:
            columns: (b, n, n_cepstra), n = columns_per_frame * (n_frames - 1) + n_columns.
        Returns: (b, n_frames, n_motion).
        Raises: DataError, a frame is not as long as the layers' step.
        """
        if self.columns_per_frame != STRIDE_COLUMNS:
            raise DataError(
                f"a frame spans {self.columns_per_frame:g} MFCC columns; training wants {STRIDE_COLUMNS}: "
                "25 frames a second and a step of 10 ms"
            )
        motion: Tensor = self.full(self.layers(self.mix(columns.transpose(1, 2)[:, None])))
        return motion[:, :, 0].transpose(1, 2)
