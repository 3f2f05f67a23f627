"""How one person moves, learned by the last layer of the shipped network.

All below it says what is heard, and had many voices to learn that from; a minute of one person would teach it that
minute. The layer on top says what a mouth does for it: there lie a person's neutral, range and closures. As the rest
stands still, its features are computed once, and what it predicts for the tongue stays exactly as it was.

It is not let go far from the shipped layer's own predictions for the same sound, and in sounds that are no speech not
at all. Then the way from the shipped layer to the fitted one is gone in steps, and the one kept is the best on seconds
held back whose lips close as often, and rest as well, as with the shipped layer: at worst, the shipped one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from s2v.engine.audio.windows import normalised_columns
from s2v.training.adapt.stretches import Part
from s2v.training.evaluation.measures.motion_level import gap_weights
from s2v.training.networks.model import MotionTract
from s2v.training.train.augment import no_speech, spoil
from s2v.training.train.losses import MotionLoss, ShapeLoss
from s2v.training.train.validation import SyncReport, sync_report

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from the shipped layer to the fitted one
_ROW_FRAMES = 75  # 3 s
_SPOILED = 3  # passes over the film, each in another room, besides two as it is
_VTL_WARP = (0.95, 1.05)  # one voice, on another day
_QUIET_ROWS = 48  # of no speech; every third one judges
_LOUDEST_QUIET = 0.95  # quantile of how far lips open there: hiss, keys
_MORE_OPEN = 0.003  # face units of that which count as no worse
_LESS_CLOSED, _LESS_SHUT = 0.02, 0.03  # that count as no worse, of the frames in which somebody speaks


@dataclass(frozen=True)
class MotionFit:
    """How it is fitted; what was tried is in docs/LOG.md, "Adapting to one person"."""

    steps: int = 400
    rows: int = 16  # in a step
    learning_rate: float = 1e-3
    near: float = 1.0  # weight of staying near to the shipped layer's prediction for speech
    quiet: float = 20.0  # and for what is no speech
    seed: int = 0


@dataclass(frozen=True)
class Chosen:
    """A share of the way, and what it does on seconds held back."""

    share: float
    figures: SyncReport


@dataclass(frozen=True)
class _Rows:
    """Of features and what they are to become."""

    features: Tensor  # (k, _ROW_FRAMES, 2 * width)
    motion: Tensor  # (k, _ROW_FRAMES, n_motion), NaN unknown; of quiet rows nothing but the shipped layer's counts
    before: Tensor  # (k, _ROW_FRAMES, n_motion) the shipped layer's prediction

    def some(self, which: Callable[[int], bool]) -> _Rows:
        rows = [row for row in range(len(self.features)) if which(row)]
        return _Rows(self.features[rows], self.motion[rows], self.before[rows])


def adapt_motion(
    network: MotionTract,
    learned: Sequence[Part],
    held: Sequence[Part],
    fit: MotionFit | None = None,
    step_done: Callable[[], None] = lambda: None,
) -> tuple[Chosen, Chosen]:
    """Change the network's last layer in place; returns what the shipped one did on the seconds held back, and the new.

    Args: network: in eval mode. step_done: called after each step of `fit.steps`.
    """
    fit = fit or MotionFit()
    shipped = deepcopy(network.frame_decoder.motion.state_dict())
    speech, quiet = _speech(network, learned, fit.seed), _quiet(network, fit.seed)
    fitted = _fitted(network, speech, quiet.some(lambda row: row % 3 > 0), fit, step_done)
    unheard = quiet.some(lambda row: row % 3 == 0)
    clips = [part.clip for part in held]
    tried, least = [], float("inf")
    for share in SHARES:
        mixed = {name: shipped[name] + share * (fitted[name] - shipped[name]) for name in shipped}
        network.frame_decoder.motion.load_state_dict(mixed)
        opened = _opened(network, unheard)
        least = opened if share == 0 else least
        if opened <= least + _MORE_OPEN:
            tried.append((Chosen(share, sync_report(network, clips)), mixed))
    before = tried[0][0]
    kept, weights = max(
        (one for one in tried if _no_worse(one[0].figures, before.figures)), key=lambda one: one[0].figures.score
    )
    network.frame_decoder.motion.load_state_dict(weights)
    return before, kept


def _opened(network: MotionTract, quiet: _Rows) -> float:
    """How far the lips open in what is no speech, face units."""
    with torch.no_grad():
        motion = _through(network.frame_decoder.motion, quiet.features).numpy()
    return float(np.quantile(motion @ gap_weights(network.spec), _LOUDEST_QUIET))


def _no_worse(now: SyncReport, before: SyncReport) -> bool:
    """Whether lips still close where the film's do, and as often as the film's, or before."""
    return now.closed >= before.closed - _LESS_CLOSED and now.shut >= min(before.shut, 0.0) - _LESS_SHUT


def _fitted(
    network: MotionTract, speech: _Rows, quiet: _Rows, fit: MotionFit, step_done: Callable[[], None]
) -> dict[str, Tensor]:
    layer: nn.Module = deepcopy(network.frame_decoder.motion).requires_grad_(True)
    motion_loss, shape_loss = MotionLoss(network.spec), ShapeLoss(network.spec)
    optimiser = torch.optim.AdamW(layer.parameters(), weight_decay=0.0)
    rng = torch.Generator().manual_seed(fit.seed)
    follows = torch.ones(fit.rows, _ROW_FRAMES, dtype=torch.bool)
    follows[:, 0] = False
    for step in range(fit.steps):
        optimiser.param_groups[0]["lr"] = fit.learning_rate * 0.5 * (1 + float(np.cos(np.pi * step / fit.steps)))
        some = torch.randint(len(speech.features), (fit.rows,), generator=rng)
        other = torch.randint(len(quiet.features), (fit.rows // 4,), generator=rng)
        prediction, quiet_prediction = _through(layer, speech.features[some]), _through(layer, quiet.features[other])
        target = speech.motion[some]
        loss = motion_loss(prediction, target, follows) + shape_loss(prediction, target, follows)
        loss = loss + fit.near * (((prediction - speech.before[some]) ** 2) @ motion_loss.weights).mean()
        off = quiet_prediction - quiet.before[other]
        loss = loss + fit.quiet * ((off**2 @ motion_loss.weights).mean() + (off @ motion_loss.gaps).abs().mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step_done()
    return {name: tensor.detach() for name, tensor in layer.state_dict().items()}


def _through(layer: nn.Module, features: Tensor) -> Tensor:
    """(k, n, c) -> (k, n, n_motion)."""
    motion: Tensor = layer(features.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2)
    return motion


def _speech(network: MotionTract, parts: Sequence[Part], seed: int) -> _Rows:
    """Of the film as it is, twice, and in other rooms."""
    rng = np.random.default_rng([seed, 0])
    features, motion = [], []
    for part in parts:
        clean = _features(network, part.clip.pcm, 1.0)
        passes = [clean, clean] + [
            _features(network, spoil(part.clip.pcm, rng), float(rng.uniform(*_VTL_WARP))) for _ in range(_SPOILED)
        ]
        for one in passes:
            rows, targets = _in_rows(one, torch.from_numpy(part.clip.motion))
            features.append(rows)
            motion.append(targets)
    return _with_before(network, torch.cat(features), torch.cat(motion))


def _quiet(network: MotionTract, seed: int) -> _Rows:
    rng = np.random.default_rng([seed, 1])
    n_samples = round(2 * _ROW_FRAMES * network.spec.samples_per_frame)
    rows = [_features(network, no_speech(n_samples, rng), 1.0).split(_ROW_FRAMES)[1] for _ in range(_QUIET_ROWS)]
    features = torch.stack(rows)
    return _with_before(network, features, torch.zeros(len(rows), _ROW_FRAMES, network.spec.n_motion))


def _with_before(network: MotionTract, features: Tensor, motion: Tensor) -> _Rows:
    with torch.no_grad():
        return _Rows(features, motion, _through(network.frame_decoder.motion, features))


def _features(network: MotionTract, pcm: np.ndarray, vtl_warp: float) -> Tensor:
    """(n_frames, 2 * width) of a sound, as a stream that begins with it."""
    columns = torch.from_numpy(normalised_columns(pcm, network.spec, vtl_warp=vtl_warp))
    with torch.no_grad():
        return network.frame_decoder.features_over(columns[None])[0, :, 0].T


def _in_rows(features: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of _ROW_FRAMES, half of each in the next; one that is shorter is filled up with frames that nobody knows."""
    n = min(len(features), len(motion))
    features, motion = features[:n], motion[:n]
    if n < _ROW_FRAMES:
        missing = _ROW_FRAMES - n
        features = torch.cat([features, features[-1:].expand(missing, -1)])
        motion = torch.cat([motion, motion.new_full((missing, motion.shape[1]), float("nan"))])
    rows, targets = (one.unfold(0, _ROW_FRAMES, _ROW_FRAMES // 3).transpose(1, 2) for one in (features, motion))
    return rows, targets
