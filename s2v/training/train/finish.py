"""The end of a training of network "s2v": the mean of its weights, and a layer for the tract fitted on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from s2v.spec import LipSyncSpec
from s2v.training.networks.model import MotionTract, mean_weights, read_checkpoint
from s2v.training.run.folder import BEST, LAST, START
from s2v.training.train.batches import Clip
from s2v.training.train.tract_calibration import TractCalibration
from s2v.training.train.tract_head import fit_tract_head


class TractData:
    """Clips whose tract is known. Their columns are computed when they are first needed."""

    def __init__(self, clips: Sequence[Clip], spec: LipSyncSpec) -> None:
        self.clips, self._spec = clips, spec

    @cached_property
    def _calibration(self) -> TractCalibration:
        return TractCalibration(self.clips, self._spec)

    def calibrate(self, network: MotionTract) -> None:
        """In place; the network is put into eval mode."""
        self._calibration.apply(network.frame_decoder)


def take_mean(network: MotionTract, out: Path, best: float, tract: TractData, seed: int) -> None:
    """Replace the network's weights by the mean of the training's beginning, best and end, that lie in `out`.

    Args: best: score of the training's best checkpoint; one of another score is another training's.
    """
    found = [out / BEST] if (out / BEST).exists() and read_checkpoint(out / BEST).get("best") == best else []
    network.load_state_dict(mean_weights([out / START, *found, out / LAST]))
    fit_tract_head(network.frame_decoder, tract.clips, seed)
    tract.calibrate(network)
