"""Tract variables that reach their ends: a regression that is unsure says the mean, and a tongue that never leaves the
middle of the mouth is a tongue one sees too much of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.audio.windows import normalised_columns
from s2v.spec import TRACT_VARIABLES, LipSyncSpec
from s2v.training.networks.motion_network import MotionNet
from s2v.training.train.batches import Clip, clips_with_tract

LOW, HIGH = 0.25, 0.7  # targets beyond these count as an end
_REACH = 0.1  # an end's mean prediction is moved to that far from 0 or 1
_MIN_FRAMES = 20  # of each end; fewer tell nothing, and the variable stays as it is
_MOST_CLIPS = 200
_LEAST_APART = 0.2  # of the logits of both ends: less is noise, that no scale makes a signal


class TractCalibration:
    """Sets how far a network's tract variables are spread (`MotionNet.tract_gain`, `tract_shift`).

    The spread is linear in the logits, so what was between the ends stays between them. Audio of clips whose tract is
    known (`Clip.tract`, not NaN) is run through the network; its columns are computed once.
    """

    def __init__(self, clips: Sequence[Clip], spec: LipSyncSpec) -> None:
        clips = clips_with_tract(clips, _MOST_CLIPS)
        self._columns = [torch.from_numpy(normalised_columns(clip.pcm, spec)) for clip in clips]
        self._targets = [clip.tract for clip in clips]

    def apply(self, network: MotionNet) -> None:
        """Calibrate, in place; the network is put into eval mode."""
        network.eval()
        predictions, targets = [], []
        with torch.no_grad():
            for columns, tract in zip(self._columns, self._targets, strict=True):
                logits = network.tract_logits(columns[None].to(network.tract_gain.device))[0].cpu().numpy()
                predictions.append(logits[: len(tract)])
                targets.append(tract[: len(logits)])
        if not predictions:
            return
        gain, shift = _spread(np.concatenate(predictions), np.concatenate(targets))
        network.tract_gain.copy_(gain)
        network.tract_shift.copy_(shift)


def _spread(logits: NDArray[np.float32], targets: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Gain and shift of each variable, (5,). Args: logits, targets: (n, 5); targets NaN where unknown."""
    n = len(TRACT_VARIABLES)
    gain, shift = torch.ones(n), torch.zeros(n)
    end = float(np.log((1 - _REACH) / _REACH))
    for index in range(n):
        low, high = (logits[at, index] for at in (targets[:, index] < LOW, targets[:, index] > HIGH))
        if min(len(low), len(high)) < _MIN_FRAMES or high.mean() - low.mean() < _LEAST_APART:
            continue
        gain[index] = 2 * end / float(high.mean() - low.mean())
        shift[index] = -end - gain[index] * float(low.mean())
    return gain, shift
