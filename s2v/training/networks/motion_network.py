"""Audio -> motion and tract variables: a one-dimensional convolution net over MFCC columns.

The first layer spans all cepstra at once: neighbouring cepstra are not alike the way neighbouring
pixels are, so sliding a small kernel over them buys nothing (docs/LOG.md). Nothing is padded: a window
of a stretch of columns gives the same as the window alone, so training runs over whole stretches
(`over`), where windows that overlap share their work, and the live engine runs over single windows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2v.errors import DataError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec

STRIDE_COLUMNS = 4  # two layers step by two
_LEAST_AT_REST = 0.01  # a sigmoid never says 0, and learns nothing near it


def _conv(inputs: int, outputs: int, columns: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, (1, columns), (1, stride), bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
    )


class MotionNet(nn.Module):
    """Audio windows -> motion coefficients and, from the same features, tract variables (`spec.TRACT_VARIABLES`)."""

    tract_gain: Tensor  # (5,) what spreads the tract's logits when frames are asked for one by one
    tract_shift: Tensor  # (5,) see `training.train.tract_calibration`

    def __init__(self, spec: LipSyncSpec, width: int = 192, dropout: float = 0.1) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("tract_gain", torch.ones(len(TRACT_VARIABLES)))
        self.register_buffer("tract_shift", torch.zeros(len(TRACT_VARIABLES)))
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
            nn.Conv2d(width + 32, 2 * width, (1, left)), nn.LeakyReLU(0.1), nn.Dropout(2 * dropout)
        )
        self.motion = nn.Conv2d(2 * width, spec.n_motion, 1)
        self.tract = nn.Conv2d(2 * width, len(TRACT_VARIABLES), 1)
        assert self.tract.bias is not None
        with torch.no_grad():
            self.tract.bias.copy_(torch.logit(torch.tensor(TRACT_AT_REST), eps=_LEAST_AT_REST))

    def forward(self, mfcc: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 1, n_cepstra, n_columns) -> motion (b, n_motion), tract (b, 5) in [0, 1], spread to its ends."""
        features = self._features(mfcc)
        tract = self.tract(features).flatten(1) * self.tract_gain + self.tract_shift
        return self.motion(features).flatten(1), torch.sigmoid(tract)

    def tract_logits(self, columns: Tensor) -> Tensor:
        """Columns as `over` takes them -> (b, n_frames, 5), before they are spread. Raises: as `over`."""
        logits: Tensor = self.tract(self.features_over(columns))[:, :, 0]
        return logits.transpose(1, 2)

    def over(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Every frame of stretches of columns, row 0 the oldest that frame 0 sees.

        Args:
            columns: (b, n, n_cepstra), n = columns_per_frame * (n_frames - 1) + n_columns.
        Returns: motion (b, n_frames, n_motion), tract (b, n_frames, 5) in [0, 1], as it was trained to be: not spread.
        Raises: DataError, a frame is not as long as the layers' step.
        """
        features = self.features_over(columns)
        motion, tract = self.motion(features), torch.sigmoid(self.tract(features))
        return motion[:, :, 0].transpose(1, 2), tract[:, :, 0].transpose(1, 2)

    def features_over(self, columns: Tensor) -> Tensor:
        """Columns as `over` takes them -> what motion and tract are predicted from, (b, 2 * width, 1, n_frames).

        Raises: as `over`.
        """
        if self.columns_per_frame != STRIDE_COLUMNS:
            raise DataError(
                f"a frame spans {self.columns_per_frame:g} MFCC columns; training wants {STRIDE_COLUMNS}: "
                "25 frames a second and a step of 10 ms"
            )
        return self._features(columns.transpose(1, 2)[:, None])

    def _features(self, columns: Tensor) -> Tensor:
        features: Tensor = self.full(self.layers(self.mix(columns)))
        return features
