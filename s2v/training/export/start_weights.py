"""The weights that `s2v train --init default` begins with: those of a model file, ready to be trained.

In a model file each batch norm is part of the convolution before it. Here they are taken apart again on many voices,
once and for all: on the few clips of whoever trains, the norms' statistics would depend on those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.windows import mfcc_windows
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.backends.onnx import open_model
from s2v.errors import DataError
from s2v.media.audio_file import read_audio
from s2v.spec import LipSyncSpec
from s2v.training.evenly import evenly
from s2v.training.networks.folded import network_of_model_file, unfold_norms
from s2v.training.networks.model import MotionTract
from s2v.training.networks.weights_file import network_of_weights, save_weights
from s2v.training.train.batches import Clip, Voices, motion_batch, unknown_tract

MAX_DIFFERENCE = 0.02  # of a coefficient, in standard deviations of the basis talker: a hundredth of a lip's width
_BATCHES, _ROWS = 12, 16  # 19 minutes of speech, spoiled as in training
_FILES_PER_VOICE = 200


def make_start_weights(
    model: Path, voices: Mapping[str, Sequence[Path]], out: Path, info: Mapping[str, str], seed: int = 0
) -> float:
    """Write `out`, whole or not at all, once it is proven to compute what the model file does.

    Args:
        voices: sound files or videos of each voice; every voice is heard as often as the next.
        info: see `save_weights`.
    Returns: the largest difference of a motion coefficient over the first file of each voice, see MAX_DIFFERENCE.
    Raises: DataError, no model of network "s2v", no voice, or another result. AudioError, a file without sound.
    """
    network = network_of_model_file(model, seed)
    clips = [[_clip(path, network.spec) for path in evenly(files, _FILES_PER_VOICE)] for files in voices.values()]
    if not clips or not all(clips):
        raise DataError("no sound files of a voice: give folders that hold some")
    heard = Voices(clips, np.full(len(clips), 1 / len(clips)))
    rng = np.random.default_rng(seed)
    unfold_norms(network, (motion_batch(heard, _ROWS, network.spec, rng).columns for _ in range(_BATCHES)))
    beside = out.with_name(f".{out.name}.unproven")
    try:
        save_weights(network, beside, info, half=True)
        worst = max(max_difference(model, network_of_weights(beside), clip[0].pcm) for clip in clips)
        if not worst <= MAX_DIFFERENCE:
            raise DataError(f"the weights differ from {model} by {worst:.3g}, wanted {MAX_DIFFERENCE}: not written")
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    return worst


def max_difference(model: Path, network: MotionTract, pcm: NDArray[np.float32]) -> float:
    """The largest difference of a motion coefficient or tract variable between a model file and a network in eval mode.

    Args: pcm: (n,) 16 kHz mono, that both listen to.
    """
    import torch

    backend = open_model(read_model_file(model), threads=1)
    windows = mfcc_windows(pcm, network.spec)[:, None]
    with torch.inference_mode():
        ours = network.frame_decoder(torch.from_numpy(windows))
    worst = 0.0
    for first in range(0, len(windows), 32):
        theirs = backend.infer(windows[first : first + 32], {})
        for name, tensor in zip(network.output_names, ours, strict=True):
            worst = max(worst, float(np.abs(tensor[first : first + 32].numpy() - theirs[name]).max()))
    backend.close()
    return worst


def _clip(path: Path, spec: LipSyncSpec) -> Clip:
    pcm = read_audio(path).pcm_16k
    n = int(len(pcm) / spec.samples_per_frame)
    rest = np.zeros((n, spec.n_motion), np.float32)
    return Clip(path.stem, pcm, rest, np.zeros(n, np.float32), unknown_tract(n))
