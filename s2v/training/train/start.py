"""What a training begins with if not with chance: a checkpoint, weights like the shipped ones, or a model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2v.bundled import BUNDLED_WEIGHTS
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.folded import network_of_model_file, unfold_norms
from s2v.training.networks.model import TalkingNet, build_network, network_of, read_checkpoint, spec_of
from s2v.training.networks.weights_file import SUFFIX, network_of_weights
from s2v.training.train.batches import Clip, Voices, by_voice, check_shards, measured, motion_batch, stored_clips
from s2v.training.train.config import TrainConfig

_BATCHES, _ROWS = 6, 16  # that the norms of a model file are unfolded on
DEFAULT = "default"  # of --init: the shipped model


@dataclass(frozen=True)
class Beginning:
    """A network before its first step, and what must be known of the shards besides their batches."""

    network: TalkingNet
    tract_clips: Sequence[Clip]  # whose tract variables are known
    speech_s: float  # to learn from


def beginning(config: TrainConfig, state: dict[str, Any] | None) -> Beginning:
    """Fresh weights, those of `config.init`, or a network for those of the checkpoint to go on with.

    Args: state: of that checkpoint; its scale of the MFCC goes with it.
    Raises: DataError, no shards for this network, nothing to learn from in them, another network's checkpoint.
    """
    wanted = LipSyncSpec.of(config.network, look_ahead_s=config.look_ahead)
    check_shards(config.shards, wanted)
    clips = stored_clips(config.shards, "train")
    if not clips:
        raise DataError(f"no train shards in {config.shards}: run s2v prepare-data first")
    paper = config.network == "speech2vid"
    labelled = stored_clips(config.shards, "voice")[: 0 if paper else None]
    if state is not None:
        network = build_network(spec_of(state), config.width)
        _check(Path(str(config.resume)), network.spec, wanted)
    elif config.init is not None:
        file = BUNDLED_WEIGHTS if str(config.init) == DEFAULT else config.init
        network = network_to_start_from(file, wanted, clips, by_voice(clips, labelled), config.seed)
        if network.width != config.width:
            raise DataError(
                f"{file} is {network.width:g} times as wide as usual: set width = {network.width:g} in --config"
            )
    else:
        network = build_network(measured(wanted, clips), config.width)
    speech_s = (clips.n_frames + labelled.n_frames) / wanted.fps
    # Most voices' phones are timed by their synthesizer, film's by an aligner that takes some for others.
    return Beginning(network, labelled or clips, speech_s)


def network_to_start_from(
    path: Path, wanted: LipSyncSpec, clips: Sequence[Clip], voices: Voices, seed: int
) -> TalkingNet:
    """The network of a checkpoint, weights or a model file, with its own scale of the MFCC: weights go with it.

    Args:
        wanted: what is to be trained. A file made without the automatic gain gets the mean that columns have behind it.
        clips: as `measured` takes them. voices: as `motion_batch` takes them.
    Raises: DataError, neither of them, or it was made for another spec.
    """
    if path.suffix != ".onnx":
        network = network_of_weights(path) if path.suffix == SUFFIX else network_of(read_checkpoint(path))
        _check(path, network.spec, wanted)
        return network
    network = network_of_model_file(path, seed)
    if network.spec.automatic_gain != wanted.automatic_gain:
        heard = replace(network.spec, automatic_gain=wanted.automatic_gain)
        network.spec = network.frame_decoder.spec = replace(heard, mfcc_mean=measured(heard, clips).mfcc_mean)
    _check(path, network.spec, wanted)
    rng = np.random.default_rng(seed)
    unfold_norms(network, (motion_batch(voices, _ROWS, network.spec, rng).columns for _ in range(_BATCHES)))
    return network


def _check(path: Path, found: LipSyncSpec, wanted: LipSyncSpec) -> None:
    """Raises: DataError, they differ in more than the measured scale."""
    scaled = replace(found, mfcc_mean=wanted.mfcc_mean, mfcc_std=wanted.mfcc_std)
    if scaled != wanted:
        odd = [field.name for field in fields(found) if getattr(scaled, field.name) != getattr(wanted, field.name)]
        differ = ", ".join(f"{name} {getattr(found, name)}, not {getattr(wanted, name)}" for name in odd)
        raise DataError(f"{path} was made for another spec than this training's ({differ}): begin without it")
