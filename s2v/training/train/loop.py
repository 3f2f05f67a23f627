"""The training loop: `s2v train`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2v.errors import DataError
from s2v.files import write_whole
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import (
    MotionTract,
    Speech2Vid,
    TalkingNet,
    build_network,
    mean_weights,
    read_checkpoint,
    save_checkpoint,
    take_weights,
)
from s2v.training.train import batches as data
from s2v.training.train.config import TrainConfig
from s2v.training.train.losses import MotionLoss, ShapeLoss, pixel_loss, tract_loss
from s2v.training.train.picture_batches import Pictures
from s2v.training.train.shared_faces import choose_shared, shared_faces
from s2v.training.train.start import network_to_start_from
from s2v.training.train.tract_calibration import TractCalibration
from s2v.training.train.tract_head import fit_tract_head
from s2v.training.train.validation import run_probes, sync_report

_TRACT = 1.0  # of the motion's loss
_log = logging.getLogger("s2v")


@dataclass
class Run:
    """State of a training run."""

    config: TrainConfig
    network: TalkingNet
    device: torch.device
    steps: int = 0  # done
    moments: dict[str, Any] = field(default_factory=dict)  # the optimiser's
    history: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)  # asked when training has ended
    best: float = -np.inf  # score so far
    calibration: TractCalibration | None = None  # of network "s2v"


def train(config: TrainConfig, progress: bool = True) -> Path:
    """Train; returns the checkpoint `out`/last.pt. An interrupted run goes on with `resume`.

    A training that began with weights that were there ends with the mean of those, its best and its last ones, and a
    layer for the tract that was fitted on it: `out`/mean.pt, which is returned instead.

    Raises: DataError, no shards, or a checkpoint of another network.
    """
    torch.manual_seed(config.seed)
    data.check_shards(config.shards, LipSyncSpec.of(config.network))
    clips, pictures = data.load_split(config.shards, "train", pictures=config.network == "speech2vid")
    if not clips:
        raise DataError(f"no train-*.npz in {config.shards}: run s2v prepare-data first")
    spec = LipSyncSpec.of(config.network, look_ahead_s=config.look_ahead_s)
    labelled = [] if config.network == "speech2vid" else data.load_split(config.shards, "voice", pictures=False)[0]
    voices = data.by_voice(clips, labelled)
    if config.start is None:
        network = build_network(data.measured(spec, clips), config.width)
    else:  # also when it goes on: the scale of the MFCC is the start's
        network = network_to_start_from(config.start, spec, clips, voices, config.seed)
    run = Run(config, network, _device(config.gpu))
    run.network.to(run.device)
    run.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    begun = deepcopy(run.network) if config.start is not None else None
    if config.resume is not None:
        _resume(run, config.resume)
    config.out.mkdir(parents=True, exist_ok=True)
    if begun is not None:  # also when it goes on, perhaps in another folder
        save_checkpoint(begun, config.out / "start.pt")
    # Most voices' phones are timed by their synthesizer, film's by an aligner that takes some for others.
    tract_clips = labelled or clips
    if isinstance(run.network, MotionTract):
        run.calibration = TractCalibration(tract_clips, run.network.spec)
    _train(run, voices, clips, pictures, progress)
    last = "last.pt"
    if config.start is not None and isinstance(run.network, MotionTract):
        _take_mean(run, run.network, tract_clips)
        last = "mean.pt"
    _probe(run)
    return _save(run, last)


def failed_probes(checkpoint: Path) -> list[str]:
    """Names of the probes that a training ended with and did not pass. Raises: DataError, not a checkpoint."""
    return [probe["name"] for probe in read_checkpoint(checkpoint).get("probes", []) if not probe["passed"]]


def _device(gpu: int | None) -> torch.device:
    if gpu is None:
        return torch.device("cpu")
    if gpu >= torch.cuda.device_count():
        raise DataError(f"-gpu {gpu}: this machine has {torch.cuda.device_count()} CUDA GPUs; leave it out for the CPU")
    return torch.device("cuda", gpu)


def _train(run: Run, voices: list[list[data.Clip]], clips: list[data.Clip], pictures: Pictures, progress: bool) -> None:
    from tqdm import trange

    config = run.config
    losses, epoch_steps = _losses(run, voices, clips, pictures)
    total, done = config.epochs * epoch_steps, run.steps
    weights = list(run.network.parameters())
    optimiser = torch.optim.AdamW(weights, weight_decay=1e-3, fused=True)
    if run.moments:
        try:
            optimiser.load_state_dict(run.moments)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError("the checkpoint's optimiser is not this training's: begin with --start instead") from None
    checks = _checks(config.shards)
    mean = 0.0
    bar = trange(done, total, initial=done, total=total, unit="step", desc=config.network, disable=not progress)
    for step in bar:
        run.network.train()
        learning_rate = _learning_rate(config.learning_rate, step, total)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        loss = next(losses)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        mean += 0.02 * (float(loss.detach()) - mean) if mean else float(loss.detach())
        run.steps = step + 1
        bar.set_postfix(loss=f"{mean:.4f}")
        ended = (step + 1) % epoch_steps == 0 or step + 1 == total
        if ended:
            if run.calibration is not None and isinstance(run.network, MotionTract):
                run.calibration.apply(run.network.frame_decoder)
            score = _check(run, checks, mean)
            if score is not None and score >= run.best:
                run.best = score
                _save(run, "best.pt")
        if ended or (step + 1) % config.save_every_steps == 0:
            run.moments = optimiser.state_dict()
            _save(run)


def _take_mean(run: Run, network: MotionTract, clips: list[data.Clip]) -> None:
    """Replace the network's weights by the mean of the training's beginning, best and end."""
    start, last = run.config.out / "start.pt", _save(run)
    folders = [run.config.out, *([run.config.resume.parent] if run.config.resume else [])]
    found = [path for folder in folders if (path := folder / "best.pt").exists()]
    best = [path for path in found if read_checkpoint(path).get("best") == run.best][:1]  # not another training's
    network.load_state_dict(mean_weights([start, *best, last]))
    fit_tract_head(network.frame_decoder, clips, run.config.seed)
    if run.calibration is not None:
        run.calibration.apply(network.frame_decoder)


def _learning_rate(peak: float, step: int, total: int) -> float:
    """Up over the first steps, then down along a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / min(200, max(1, total // 10)))
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * step / max(1, total)))))


def _losses(
    run: Run, voices: list[list[data.Clip]], clips: list[data.Clip], pictures: Pictures
) -> tuple[Iterator[Tensor], int]:
    """Endless losses, one batch each, and how many of them see everything once."""
    config = run.config
    rng = np.random.default_rng([config.seed, run.steps])
    if isinstance(run.network, MotionTract):
        everything = {id(clip): len(clip.motion) for voice in voices for clip in voice}
        n_frames = sum(everything.values())
        return _motion_losses(run, voices, rng), max(1, n_frames // (config.rows * data.ROW_FRAMES))
    if not len(pictures):
        raise DataError(f"the shards in {config.shards} hold no pictures: prepare them with pictures_per_clip > 0")
    return _pixel_losses(run, clips, pictures, rng), max(1, len(pictures) // config.batch)


def _motion_losses(run: Run, voices: list[list[data.Clip]], rng: np.random.Generator) -> Iterator[Tensor]:
    assert isinstance(run.network, MotionTract)
    spec = run.network.spec
    wanted, shapes = MotionLoss(spec).to(run.device), ShapeLoss(spec).to(run.device)
    while True:
        batch = data.motion_batch(voices, run.config.rows, spec, rng)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.config.bfloat16):
            motion, tract = run.network.frame_decoder.over(batch.columns.to(run.device))
        motion, target, follows = motion.float(), batch.motion.to(run.device), batch.follows.to(run.device)
        loss = wanted(motion, target, follows) + shapes(motion, target, follows)
        yield loss + _TRACT * tract_loss(tract.float(), batch.tract.to(run.device))


def _pixel_losses(run: Run, clips: list[data.Clip], pictures: Pictures, rng: np.random.Generator) -> Iterator[Tensor]:
    assert isinstance(run.network, Speech2Vid)
    spec, network = run.network.spec, run.network
    windows = {clip.name: data.windows_of(clip, spec) for clip in clips}
    spoken = [i for i, (name, frame) in enumerate(pictures.where) if frame < len(windows.get(name, ()))]
    if not spoken:
        raise DataError(f"no picture in {run.config.shards} belongs to a sound there: prepare the shards again")
    n_faces, rest = divmod(run.config.batch, run.config.targets_per_face)
    if rest or not n_faces:
        raise DataError(
            f"{run.config.targets_per_face} targets share a face: a batch of {run.config.batch} is no multiple"
        )
    while True:
        chosen = choose_shared(pictures.where, spoken, n_faces, run.config.targets_per_face, rng)
        face, target = (part.to(run.device) for part in shared_faces(pictures, chosen, rng))
        mfcc = np.stack([windows[name][frame] for name, frame in (pictures.where[i] for i in chosen.ravel())])
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.config.bfloat16):
            pixels = network(torch.from_numpy(mfcc).to(run.device), face)
        yield pixel_loss(pixels.float(), target)


def _checks(shards: Path) -> dict[str, list[data.Clip]]:
    """Clips that nothing learns from: those kept back of the training talkers, and each set of other talkers."""
    sets = {"held": data.load_split(shards, "held", pictures=False)[0]}
    for clip in data.load_split(shards, "val", pictures=False)[0]:
        sets.setdefault(clip.name.split("/")[0], []).append(clip)
    return {name: clips for name, clips in sets.items() if clips}


def _check(run: Run, checks: dict[str, list[data.Clip]], loss: float) -> float | None:
    """Log the loss and, where there is motion, how it follows voices not trained on; returns the mean score."""
    record: dict[str, Any] = {"step": run.steps, "loss": round(loss, 5)}
    scores = []
    if isinstance(run.network, MotionTract):
        for name, clips in checks.items():
            report = sync_report(run.network, clips)
            record[name] = {key: round(value, 4) for key, value in report.as_dict().items()}
            scores.append(report.score)
    score = float(np.mean(scores)) if scores else None
    if score is not None:
        record["score"] = round(score, 4)
    run.history.append(record)
    _log.info("%s", json.dumps(record))
    return score


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


def _save(run: Run, name: str = "last.pt") -> Path:
    path = run.config.out / name
    settings = {key: str(value) for key, value in vars(run.config).items()}
    state = {"steps": run.steps, "history": run.history, "probes": run.probes, "moments": run.moments, "best": run.best}
    save_checkpoint(run.network, path, config=settings, **state)
    write_whole(run.config.out / "history.json", json.dumps(run.history, indent=1))
    return path


def _resume(run: Run, checkpoint: Path) -> None:
    """Go on where a checkpoint ends."""
    state = read_checkpoint(checkpoint)
    take_weights(run.network, state)
    if missing := {"steps", "moments", "history", "best"} - state.keys():
        raise DataError(
            f"{checkpoint} lacks {', '.join(sorted(missing))}: go on from last.pt, or --start with this one"
        )
    run.steps, run.moments, run.history = state["steps"], state["moments"], state["history"]
    run.best = state["best"]
