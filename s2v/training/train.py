"""The training loop: `s2v train`.

Network "s2v" has two parts that share no weights: `motion` (audio -> motion) and `mouth` (motion and
person -> pixels). They are trained in the same run, or each in its own and joined with `resume`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2v.errors import DataError
from s2v.spec import LipSyncSpec, Network
from s2v.training import data
from s2v.training.defaults import BATCH, EPOCHS, SAVE_EVERY_STEPS
from s2v.training.evaluate import sync_report
from s2v.training.files import written_whole
from s2v.training.losses import MotionLoss, mouth_loss, pixel_loss
from s2v.training.model import (
    MotionMouth,
    TalkingNet,
    build_network,
    part_of,
    read_checkpoint,
    save_checkpoint,
    take_weights,
)

_log = logging.getLogger("s2v")
_MOTION_NOISE = 0.15  # standard deviations: the painter will be given what the motion net says, not the truth
PARTS: dict[Network, tuple[str, ...]] = {"s2v": ("motion", "mouth"), "speech2vid": ("pixels",)}


@dataclass(frozen=True)
class TrainConfig:
    """What `s2v train` was asked for; stored in the checkpoint."""

    shards: Path
    out: Path
    network: Network = "s2v"
    parts: tuple[str, ...] = ()  # () is all of the network's
    epochs: int = EPOCHS
    batch: int = BATCH
    rows: int = 8  # of two clips each, in a motion batch
    save_every_steps: int = SAVE_EVERY_STEPS
    learning_rate: float = 2e-3
    look_ahead_s: float = 0.08
    seed: int = 0
    gpu: int | None = None
    resume: tuple[Path, ...] = ()


@dataclass
class Run:
    """State of a training run."""

    config: TrainConfig
    network: TalkingNet
    device: torch.device
    steps: dict[str, int] = field(default_factory=dict)  # done per part
    history: list[dict[str, Any]] = field(default_factory=list)


def train(config: TrainConfig, progress: bool = True) -> Path:
    """Train; returns the checkpoint `out`/last.pt. An interrupted run goes on with `resume`.

    Raises: DataError, no shards, an unknown part, or a checkpoint of another network.
    """
    torch.manual_seed(config.seed)
    parts = config.parts or PARTS[config.network]
    if unknown := set(parts) - set(PARTS[config.network]):
        have = ", ".join(PARTS[config.network])
        raise DataError(f"network {config.network} has no part {', '.join(unknown)}: it has {have}")
    spec = data.spec_of_shards(config.shards, LipSyncSpec(network=config.network, look_ahead_s=config.look_ahead_s))
    clips, pictures = data.load_split(config.shards, "train", pictures=parts != ("motion",))
    if not clips:
        raise DataError(f"no train-*.npz in {config.shards}: run s2v prepare-data first")
    run = Run(config, build_network(spec), _device(config.gpu))
    run.network.to(run.device)
    run.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    for checkpoint in config.resume:
        _resume(run, checkpoint)
    config.out.mkdir(parents=True, exist_ok=True)
    epoch_steps = max(1, len(pictures) // config.batch if len(pictures) else len(clips) // (2 * config.rows))
    _steps(run, parts, clips, pictures, epoch_steps, progress)
    return _save(run)


def _device(gpu: int | None) -> torch.device:
    if gpu is None:
        return torch.device("cpu")
    if gpu >= torch.cuda.device_count():
        raise DataError(f"-gpu {gpu}: this machine has {torch.cuda.device_count()} CUDA GPUs; leave it out for the CPU")
    return torch.device("cuda", gpu)


def _steps(
    run: Run, parts: tuple[str, ...], clips: list[data.Clip], pictures: data.Pictures, epoch_steps: int, progress: bool
) -> None:
    from tqdm import trange

    config = run.config
    total = config.epochs * epoch_steps
    losses = {part: _part_losses(run, part, clips, pictures) for part in parts}
    optimisers = {part: torch.optim.AdamW(list(_weights(run.network, part)), weight_decay=1e-3) for part in parts}
    checks = [(split, data.load_split(config.shards, split, pictures=False)[0]) for split in ("held", "val")]
    mean = dict.fromkeys(parts, 0.0)
    first = min(run.steps.get(part, 0) for part in parts)
    bar = trange(first, total, initial=first, total=total, unit="step", disable=not progress)
    for step in bar:
        run.network.train()
        for part in parts:
            if run.steps.get(part, 0) > step:
                continue
            optimiser = optimisers[part]
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(config.learning_rate, step, total)
            loss = next(losses[part])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(_weights(run.network, part), 1.0)
            optimiser.step()
            mean[part] += 0.02 * (float(loss.detach()) - mean[part]) if mean[part] else float(loss.detach())
            run.steps[part] = step + 1
        bar.set_postfix({part: f"{value:.4f}" for part, value in mean.items()})
        ended = (step + 1) % epoch_steps == 0 or step + 1 == total
        if ended:
            _check(run, parts, checks, mean, step + 1)
        if ended or (step + 1) % config.save_every_steps == 0:
            _save(run)


def _learning_rate(peak: float, step: int, total: int) -> float:
    """Up over the first steps, then down along a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / min(200, max(1, total // 10)))
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * step / max(1, total)))))


def _weights(network: TalkingNet, part: str) -> Iterator[torch.nn.Parameter]:
    """The parameters that a part trains."""
    for name, weight in network.named_parameters():
        if part_of(name, network.spec.network) == part:
            yield weight


def _part_losses(run: Run, part: str, clips: list[data.Clip], pictures: data.Pictures) -> Iterator[Tensor]:
    """Endless losses of a part, one batch each."""
    config, network, spec = run.config, run.network, run.network.spec
    rng = np.random.default_rng([config.seed, run.steps.get(part, 0)])
    if part == "motion" and isinstance(network, MotionMouth):
        voices = data.by_voice(clips, data.load_split(config.shards, "voice", pictures=False)[0])
        wanted = MotionLoss(spec).to(run.device)
        while True:
            windows, true, follows = data.motion_batch(voices, config.rows, spec, rng)
            said = network.frame_decoder.motion_net(windows.to(run.device))
            yield wanted(said, true.to(run.device), follows.to(run.device))
    if not len(pictures):
        raise DataError(f"the shards in {config.shards} hold no pictures: prepare them with pictures_per_clip > 0")
    batches = data.picture_batches(pictures, config.batch, rng, still_share=0.4 if part == "mouth" else 0.0)
    if part == "mouth" and isinstance(network, MotionMouth):
        while True:
            batch = {key: value.to(run.device) for key, value in next(batches).items()}
            motion = batch["motion"] + _MOTION_NOISE * torch.randn_like(batch["motion"])
            identity = network.face_encoder(face_input(batch["reference"], batch["reference"]))
            yield mouth_loss(network.frame_decoder.painter(motion, *identity), batch)
    yield from _pixel_losses(run, clips, pictures, rng)


def _pixel_losses(
    run: Run, clips: list[data.Clip], pictures: data.Pictures, rng: np.random.Generator
) -> Iterator[Tensor]:
    spec, network = run.network.spec, run.network
    windows = {clip.name: data.windows_of(clip, spec) for clip in clips}
    spoken = [i for i, (name, frame) in enumerate(pictures.where) if name and frame < len(windows[name])]
    if not spoken:
        raise DataError(f"the shards in {run.config.shards} hold no pictures of talkers: prepare them anew with some")
    while True:
        chosen = rng.choice(spoken, run.config.batch)
        batch = {key: value.to(run.device) for key, value in data.picture_batch(pictures, chosen, rng).items()}
        mfcc = np.stack([windows[pictures.where[i][0]][pictures.where[i][1]] for i in chosen])
        face = face_input(batch["target"], batch["reference"])
        (pixels,) = network(torch.from_numpy(mfcc).to(run.device), face)
        yield pixel_loss(pixels, batch["target"])


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """As `engine.face.network_input`: the target without its lower half, then the reference."""
    masked = target.clone()
    masked[:, :, masked.shape[2] // 2 :] = 0
    return torch.cat([masked, reference], 1)


def _check(
    run: Run, parts: tuple[str, ...], checks: list[tuple[str, list[data.Clip]]], mean: dict[str, float], step: int
) -> None:
    """Log the losses and, where there is motion, whether it follows voices not trained on."""
    record: dict[str, Any] = {"step": step, "loss": {part: round(value, 5) for part, value in mean.items()}}
    if isinstance(run.network, MotionMouth) and "motion" in parts:
        for split, clips in checks:
            if clips:
                report = sync_report(run.network, clips)
                record[split] = {key: round(value, 4) for key, value in report.as_dict().items()}
    run.history.append(record)
    _log.info("%s", json.dumps(record))


def _save(run: Run) -> Path:
    path = run.config.out / "last.pt"
    settings = {key: str(value) for key, value in vars(run.config).items()}
    save_checkpoint(run.network, path, steps=run.steps, history=run.history, config=settings)
    with written_whole(run.config.out / "history.json") as beside:
        beside.write_text(json.dumps(run.history, indent=1))
    return path


def _resume(run: Run, checkpoint: Path) -> None:
    """Take from a checkpoint the parts it trained further than the run has."""
    state = read_checkpoint(checkpoint)
    run.steps = take_weights(run.network, state, run.steps)
    run.history += state["history"]
