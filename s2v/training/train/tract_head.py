"""The layer that predicts tract variables, fitted anew on the features of the rest of a trained network.

While the motion is learned, it pulls at the features that the tract is predicted from, and phones as rare as "th" are
hardly met. With the features standing still, all of the voices are seen many times over in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from s2v.engine.audio.windows import normalised_columns
from s2v.training.networks.motion_network import MotionNet
from s2v.training.train.batches import Clip, clips_with_tract
from s2v.training.train.losses import tract_loss

_MOST_CLIPS = 800  # spread over all whose tract is known
_STEPS, _FRAMES, _LEARNING_RATE = 3000, 1024, 3e-3


def fit_tract_head(network: MotionNet, clips: Sequence[Clip], seed: int = 0, steps: int = _STEPS) -> None:
    """Fit `MotionNet.tract` in place, beginning with what it is; nothing where no clip's tract is known.

    The network is put into eval mode, and its tract is to be calibrated again (`TractCalibration`).

    Args: steps: of the optimiser, each on _FRAMES frames drawn from those of all clips.
    """
    network.eval()
    known = [clip for clip in clips_with_tract(clips, _MOST_CLIPS) if np.isfinite(clip.tract).all()]
    if not known:
        return
    device = network.tract_gain.device
    features_of_clips, targets_of_clips = [], []
    with torch.no_grad():
        for clip in known:
            columns = torch.from_numpy(normalised_columns(clip.pcm, network.spec))
            features = network.features_over(columns[None].to(device))[0, :, 0].T  # (n_frames, 2 * width)
            features_of_clips.append(features[: len(clip.tract)])
            targets_of_clips.append(torch.from_numpy(clip.tract[: len(features)]).to(device))
    features, targets = torch.cat(features_of_clips), torch.cat(targets_of_clips)
    rng = torch.Generator(device="cpu").manual_seed(seed)
    network.tract.requires_grad_(True)  # an average's weights take no gradient by themselves
    optimiser = torch.optim.AdamW(network.tract.parameters(), weight_decay=1e-3)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LEARNING_RATE * 0.5 * (1 + float(np.cos(np.pi * step / steps)))
        chosen = torch.randint(len(features), (_FRAMES,), generator=rng).to(device)
        prediction = torch.sigmoid(network.tract(features[chosen][:, :, None, None]).flatten(1))
        optimiser.zero_grad(set_to_none=True)
        tract_loss(prediction, targets[chosen]).backward()
        optimiser.step()
