"""What a training begins with if not with chance: a checkpoint, or a model file like the shipped one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.folded import network_of_model_file, unfold_norms
from s2v.training.networks.model import TalkingNet, network_of, read_checkpoint
from s2v.training.train.batches import Clip, measured, motion_batch

_BATCHES, _ROWS = 6, 16  # that the norms of a model file are unfolded on


def network_to_start_from(
    path: Path, wanted: LipSyncSpec, clips: Sequence[Clip], voices: Sequence[list[Clip]], seed: int
) -> TalkingNet:
    """The network of a checkpoint or a model file, with its own scale of the MFCC: weights go with it.

    Args:
        wanted: what is to be trained. A file made without the automatic gain gets the mean that columns have behind it.
        clips: as `measured` takes them. voices: as `motion_batch` takes them.
    Raises: DataError, neither of them, or it was made for another spec.
    """
    if path.suffix != ".onnx":
        network = network_of(read_checkpoint(path))
        _check(path, network.spec, wanted)
        return network
    network = network_of_model_file(path, seed)
    if network.spec.automatic_gain != wanted.automatic_gain:
        heard = replace(network.spec, automatic_gain=wanted.automatic_gain)
        network.spec = replace(heard, mfcc_mean=measured(heard, clips).mfcc_mean)
    _check(path, network.spec, wanted)
    rng = np.random.default_rng(seed)
    unfold_norms(network, (motion_batch(voices, _ROWS, network.spec, rng).columns for _ in range(_BATCHES)))
    return network


def _check(path: Path, found: LipSyncSpec, wanted: LipSyncSpec) -> None:
    """Raises: DataError, they differ in more than the measured scale."""
    scaled = replace(found, mfcc_mean=wanted.mfcc_mean, mfcc_std=wanted.mfcc_std)
    if scaled != wanted:
        raise DataError(f"{path} was made for another spec than this training's: begin without it")
