"""The training loop: `s2v train`.

Network "s2v" has two parts that share no weights: `motion` (audio -> motion) and `mouth` (motion and
person -> pixels). They are trained one after the other, or each in its own run and joined with `resume`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2v.errors import DataError
from s2v.files import write_whole
from s2v.spec import LipSyncSpec, Network
from s2v.training.networks.model import (
    MotionMouth,
    TalkingNet,
    build_network,
    part_of,
    read_checkpoint,
    save_checkpoint,
    take_weights,
)
from s2v.training.train import batches as data
from s2v.training.train.config import TrainConfig
from s2v.training.train.losses import MotionLoss, pixel_loss
from s2v.training.train.mouth_training import MouthTraining, face_input
from s2v.training.train.picture_batches import Pictures, picture_batch, picture_batches
from s2v.training.train.validation import run_probes, sync_report

_log = logging.getLogger("s2v")
_NO_PICTURES = "the shards in {} hold no pictures: prepare them with pictures_per_clip > 0"
PARTS: dict[Network, tuple[str, ...]] = {"s2v": ("motion", "mouth"), "speech2vid": ("pixels",)}


@dataclass
class Run:
    """State of a training run."""

    config: TrainConfig
    network: TalkingNet
    device: torch.device
    steps: dict[str, int] = field(default_factory=dict)  # done per part
    moments: dict[str, Any] = field(default_factory=dict)  # the optimiser's, per part
    mouth_training: MouthTraining | None = None  # while part "mouth" is trained
    memory: dict[str, Tensor] = field(default_factory=dict)  # that of `mouth_training`, as a checkpoint keeps it
    history: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)  # asked when training has ended


def train(config: TrainConfig, progress: bool = True) -> Path:
    """Train; returns the checkpoint `out`/last.pt. An interrupted run goes on with `resume`.

    Raises: DataError, no shards, an unknown part, or a checkpoint of another network.
    """
    torch.manual_seed(config.seed)
    parts = config.parts or PARTS[config.network]
    if unknown := set(parts) - set(PARTS[config.network]):
        have = ", ".join(PARTS[config.network])
        raise DataError(f"network {config.network} has no part {', '.join(unknown)}: it has {have}")
    data.check_shards(config.shards, LipSyncSpec.of(config.network))
    clips, pictures = data.load_split(config.shards, "train", pictures=parts != ("motion",))
    if not clips:
        raise DataError(f"no train-*.npz in {config.shards}: run s2v prepare-data first")
    spec = data.measured(LipSyncSpec.of(config.network, look_ahead_s=config.look_ahead_s), clips)
    run = Run(config, build_network(spec), _device(config.gpu))
    run.network.to(run.device)
    run.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    if "mouth" in parts and isinstance(run.network, MotionMouth):
        if not len(pictures):
            raise DataError(_NO_PICTURES.format(config.shards))
        run.mouth_training = MouthTraining(run.network, pictures, run.device)
    for checkpoint in config.resume:
        _resume(run, checkpoint)
    config.out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        _train_part(run, part, clips, pictures, progress)
    if parts != ("mouth",):  # painting alone does not listen
        _probe(run)
    return _save(run)


def failed_probes(checkpoint: Path) -> list[str]:
    """Names of the probes that a training ended with and did not pass. Raises: DataError, not a checkpoint."""
    return [probe["name"] for probe in read_checkpoint(checkpoint).get("probes", []) if not probe["passed"]]


def _device(gpu: int | None) -> torch.device:
    if gpu is None:
        return torch.device("cpu")
    if gpu >= torch.cuda.device_count():
        raise DataError(f"-gpu {gpu}: this machine has {torch.cuda.device_count()} CUDA GPUs; leave it out for the CPU")
    return torch.device("cuda", gpu)


def _train_part(run: Run, part: str, clips: list[data.Clip], pictures: Pictures, progress: bool) -> None:
    from tqdm import trange

    config = run.config
    losses, epoch_steps = _part_losses(run, part, clips, pictures)
    total, done = config.epochs * epoch_steps, run.steps.get(part, 0)
    mouth_training = run.mouth_training if part == "mouth" else None
    weights = list(_weights(run.network, part))
    groups = mouth_training.parameter_groups(weights) if mouth_training else [{"params": weights, "rate": 1.0}]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-3)
    if part in run.moments:
        optimiser.load_state_dict(run.moments[part])
    checks = [(split, data.load_split(config.shards, split, pictures=False)[0]) for split in ("held", "val")]
    mean = 0.0
    bar = trange(done, total, initial=done, total=total, unit="step", desc=part, disable=not progress)
    for step in bar:
        run.network.train()
        learning_rate = _learning_rate(config.learning_rate, step, total)
        for group in optimiser.param_groups:
            group["lr"] = group.get("rate", 1.0) * learning_rate
        loss = next(losses)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        if mouth_training:
            mouth_training.step(learning_rate)
        mean += 0.02 * (float(loss.detach()) - mean) if mean else float(loss.detach())
        run.steps[part] = step + 1
        bar.set_postfix(loss=f"{mean:.4f}")
        ended = (step + 1) % epoch_steps == 0 or step + 1 == total
        if ended:
            _check(run, part, checks, mean, step + 1)
        if ended or (step + 1) % config.save_every_steps == 0:
            run.moments[part] = optimiser.state_dict()
            if mouth_training:
                mouth_training.settle()
                run.memory = mouth_training.state()
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


def _part_losses(run: Run, part: str, clips: list[data.Clip], pictures: Pictures) -> tuple[Iterator[Tensor], int]:
    """Endless losses of a part, one batch each, and how many of them see everything once."""
    config = run.config
    rng = np.random.default_rng([config.seed, run.steps.get(part, 0)])
    if part == "motion":
        labelled, _ = data.load_split(config.shards, "voice", pictures=False)
        n_frames = sum(len(clip.motion) for clip in clips + labelled)
        voices = data.by_voice(clips, labelled)
        return _motion_losses(run, voices, rng), max(1, n_frames // (config.rows * data.ROW_FRAMES))
    if not len(pictures):
        raise DataError(_NO_PICTURES.format(config.shards))
    losses = _mouth_losses(run, pictures, rng) if part == "mouth" else _pixel_losses(run, clips, pictures, rng)
    return losses, max(1, len(pictures) // config.batch)


def _motion_losses(run: Run, voices: list[list[data.Clip]], rng: np.random.Generator) -> Iterator[Tensor]:
    assert isinstance(run.network, MotionMouth)
    spec = run.network.spec
    wanted = MotionLoss(spec).to(run.device)
    while True:
        columns, target, follows = data.motion_batch(voices, run.config.rows, spec, rng)
        prediction = run.network.frame_decoder.motion_net.over(columns.to(run.device))
        yield wanted(prediction, target.to(run.device), follows.to(run.device))


def _mouth_losses(run: Run, pictures: Pictures, rng: np.random.Generator) -> Iterator[Tensor]:
    assert run.mouth_training is not None
    for stored in picture_batches(pictures, run.config.batch, rng):
        yield run.mouth_training.loss({key: value.to(run.device) for key, value in stored.items()})


def _pixel_losses(run: Run, clips: list[data.Clip], pictures: Pictures, rng: np.random.Generator) -> Iterator[Tensor]:
    spec, network = run.network.spec, run.network
    windows = {clip.name: data.windows_of(clip, spec) for clip in clips}
    spoken = [i for i, (name, frame) in enumerate(pictures.where) if name and frame < len(windows[name])]
    if not spoken:
        raise DataError(f"the shards in {run.config.shards} hold no pictures of talkers: prepare them anew with some")
    while True:
        chosen = rng.choice(spoken, run.config.batch)
        batch = {key: value.to(run.device) for key, value in picture_batch(pictures, chosen, rng).items()}
        mfcc = np.stack([windows[pictures.where[i][0]][pictures.where[i][1]] for i in chosen])
        face = face_input(batch["target"], batch["reference"])
        (pixels,) = network(torch.from_numpy(mfcc).to(run.device), face)
        yield pixel_loss(pixels, batch["target"])


def _check(run: Run, part: str, checks: list[tuple[str, list[data.Clip]]], loss: float, step: int) -> None:
    """Log the loss and, where there is motion, whether it follows voices not trained on."""
    record: dict[str, Any] = {"part": part, "step": step, "loss": round(loss, 5)}
    if isinstance(run.network, MotionMouth) and part == "motion":
        for split, clips in checks:
            if clips:
                report = sync_report(run.network, clips)
                record[split] = {key: round(value, 4) for key, value in report.as_dict().items()}
    run.history.append(record)
    _log.info("%s", json.dumps(record))


def _probe(run: Run) -> None:
    """Ask the probes of what was kept back; they are logged and go into the checkpoint."""
    painted = run.config.network == "speech2vid"
    splits = {split: data.load_split(run.config.shards, split, pictures=painted) for split in ("held", "val")}
    clips, pictures = {split: found[0] for split, found in splits.items()}, splits["val"][1]
    probes = run_probes(run.network, clips, pictures if len(pictures) else splits["held"][1])
    if not probes:
        _log.warning("no clips are kept back in %s: whether the network listens was not probed", run.config.shards)
    for probe in probes:
        _log.log(logging.INFO if probe.passed else logging.WARNING, "%s", probe.line())
    run.probes = [asdict(probe) for probe in probes]


def _save(run: Run) -> Path:
    path = run.config.out / "last.pt"
    settings = {key: str(value) for key, value in vars(run.config).items()}
    state = {"steps": run.steps, "history": run.history, "probes": run.probes, "moments": run.moments}
    state["memory"] = run.memory
    save_checkpoint(run.network, path, config=settings, **state)
    write_whole(run.config.out / "history.json", json.dumps(run.history, indent=1))
    return path


def _resume(run: Run, checkpoint: Path) -> None:
    """Take from a checkpoint the parts it trained further than the run has."""
    state = read_checkpoint(checkpoint)
    before, run.steps = run.steps, take_weights(run.network, state, run.steps)
    taken = [part for part, steps in run.steps.items() if steps != before.get(part)]
    run.moments |= {part: moments for part, moments in state.get("moments", {}).items() if part in taken}
    if "mouth" in taken and state.get("memory"):
        run.memory = state["memory"]
        if run.mouth_training:
            run.mouth_training.recall(run.memory)
    run.history += state["history"]
