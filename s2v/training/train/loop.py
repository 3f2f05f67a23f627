"""The training loop: `s2v train`."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from s2v.errors import DataError, S2vError
from s2v.files import write_whole, written_whole
from s2v.training.networks.model import MotionTract, read_checkpoint, save_checkpoint
from s2v.training.run.average import WeightAverage
from s2v.training.run.checkpoint import Progress, Trained, read_progress, save_progress, take_progress
from s2v.training.run.folder import BEST, HISTORY, LAST, MEAN, START, TENSORBOARD, claimed
from s2v.training.run.monitor import Monitor
from s2v.training.run.precision import Arithmetic, Precision, autocast, best_precision
from s2v.training.run.processes import Processes, joined, launch, processes_wanted
from s2v.training.run.schedule import Schedule, seed_step
from s2v.training.train.batch_source import Share, motion_batches, picture_batches
from s2v.training.train.checks import KeptBack, as_records, log_record, probe
from s2v.training.train.config import TrainConfig, changed_settings, stored_settings
from s2v.training.train.finish import TractData, take_mean
from s2v.training.train.objectives import objective_of
from s2v.training.train.start import beginning

_LITTLE_S = 300.0  # of speech
_log = logging.getLogger("s2v")


@dataclass
class Run:
    """A training while it is under way."""

    config: TrainConfig
    processes: Processes
    trained: Trained
    objective: nn.Module
    progress: Progress
    schedule: Schedule
    tract: TractData  # of network "s2v"
    speech_s: float  # to learn from


def train(config: TrainConfig, progress: bool = True) -> Path:
    """Train; returns the checkpoint `out`/last.pt. An interrupted run goes on with `resume`, to the same end.

    A training that began with weights that were there ends with the mean of those, its best and its last ones, and a
    layer for the tract that was fitted on it: `out`/mean.pt, which is returned instead. Where there are several GPUs a
    process is started for each, unless torchrun has done so.

    Raises: DataError, no shards, or a checkpoint of another network. OutputError, `out` holds another training.
    """
    if (wanted := processes_wanted(config.no_of_gpus)) > 1:
        return cast(Path, launch(wanted, partial(_train_here, progress=progress), config))
    return _train_here(config, progress)


def settings_to_resume(checkpoint: Path) -> dict[str, Any]:
    """Fields of `TrainConfig` that a training goes on with. Raises: DataError, not a training's checkpoint."""
    return stored_settings(read_progress(checkpoint))


def failed_probes(checkpoint: Path) -> list[str]:
    """Names of the probes that a training ended with and did not pass. Raises: DataError, not a checkpoint."""
    return [probe["name"] for probe in read_checkpoint(checkpoint).get("probes", []) if not probe["passed"]]


def _train_here(config: TrainConfig, progress: bool) -> Path:
    with joined(config.no_of_gpus) as processes:
        run = _prepared(config, processes)
        with _claimed(config, processes):
            if processes.first and config.init is not None and config.resume is None:
                save_checkpoint(run.trained.network, config.out / START)
            if processes.first and config.resume is not None:
                _bring_along(config.resume.parent, config.out)
            with closing(_monitor(run, progress)) as monitor:
                _steps(run, monitor)
                if processes.first:
                    _finish(run, monitor)
            processes.wait()
    return config.out / (MEAN if (config.out / MEAN).exists() else LAST)


def _prepared(config: TrainConfig, processes: Processes) -> Run:
    seed_step(config.seed, 0)  # so that every process begins with the same weights
    state = None if config.resume is None else read_progress(config.resume)
    begun = beginning(config, state)
    network = begun.network
    precision = cast(Precision, config.precision or best_precision(processes.device))
    config = replace(config, precision=precision, look_ahead_s=config.look_ahead)  # what goes into the checkpoint
    network.to(processes.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    objective = objective_of(network, processes, autocast(processes.device, precision)).to(processes.device)
    objective = processes.together(network, objective)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3, fused=True)
    average = WeightAverage(network, config.ema) if config.ema else None
    trained = Trained(network, optimiser, Arithmetic(processes.device, precision, optimiser), average)
    progress = Progress(init=str(config.init or "")) if state is None else take_progress(state, trained)
    if state is not None:
        _check_resumed(state, config, progress, processes)
    if processes.first:
        what = "CPU" if processes.device.type == "cpu" else torch.cuda.get_device_name(processes.device)
        where = f"{processes.world} x {what}" if processes.world > 1 else f"the {what}"
        _log.info("training %s on %s in %s", config.network, where, precision)
    schedule = Schedule(config.learning_rate, config.total_steps, config.warmup_steps)
    tract = TractData(begun.tract_clips, network.spec)
    return Run(config, processes, trained, objective, progress, schedule, tract, begun.speech_s)


def _check_resumed(state: dict[str, Any], config: TrainConfig, progress: Progress, processes: Processes) -> None:
    """Warn of what steps depend on and is otherwise now. Raises: DataError, the mean's beginning is missing."""
    changed = changed_settings(stored_settings(state), config)
    if (before := state.get("processes", processes.world)) != processes.world:  # each draws its own share
        changed.append(f"{processes.world} processes instead of {before}")
    if config.init is not None and str(config.init) != progress.init:
        changed.append(f"--init {config.init} is left out, as it has begun already")
    if changed and processes.first:
        _log.warning("this is no longer the training that %s is of: %s", config.resume, ", ".join(changed))
    start = Path(str(config.resume)).parent / START
    if processes.first and progress.init and config.network == "s2v" and not start.exists():
        raise DataError(
            f"{start}, with which this training began and whose mean it ends with, is missing: put it back, or begin "
            f"another one with --init {config.resume}"
        )


def _monitor(run: Run, progress: bool) -> Monitor:
    config, first = run.config, run.processes.first
    return Monitor(
        config.network,
        run.progress.steps,
        config.total_steps,
        progress and first,
        config.out / TENSORBOARD if first and config.tensorboard else None,
        run.speech_s if first and run.speech_s < _LITTLE_S else 0.0,
    )


@contextmanager
def _claimed(config: TrainConfig, processes: Processes) -> Iterator[None]:
    """The folder is the first process's; what it is refused, all are. Raises: OutputError."""
    same = config.resume is not None and config.resume.resolve().parent == config.out.resolve()
    with ExitStack() as stack:
        refusal: S2vError | None = None
        if processes.first:
            try:
                stack.enter_context(claimed(config.out, going_on=same, replace=config.force))
            except S2vError as error:
                refusal = error
        if (refusal := processes.broadcast(refusal)) is not None:
            raise refusal if processes.first else SystemExit(2)  # the first one says why
        yield


def _bring_along(before: Path, out: Path) -> None:
    """What a training began with, and its best checkpoint, when it goes on in another folder."""
    for name in (START, BEST):
        if (before / name).exists() and not (out / name).exists():
            with written_whole(out / name) as beside:
                shutil.copyfile(before / name, beside)


def _steps(run: Run, monitor: Monitor) -> None:
    """All that are left. Raises: DataError, the loss is no number; what is wrong with the shards."""
    config, progress = run.config, run.progress
    weights = list(run.trained.network.parameters())
    kept_back = KeptBack.load(config.shards, run.trained.network) if run.processes.first else None
    with closing(_batches(run)) as batches:
        while progress.steps < config.total_steps and not _has_stopped(run):
            batch, step = next(batches), progress.steps
            run.trained.network.train()
            seed_step(config.seed, step, run.processes.rank)
            learning_rate = run.schedule.learning_rate(step)
            for group in run.trained.optimiser.param_groups:
                group["lr"] = learning_rate
            losses: dict[str, Tensor] = run.objective(batch)
            scalars = {name: float(loss.detach()) for name, loss in losses.items()}
            if not math.isfinite(loss := scalars["loss"]):
                raise DataError(f"the loss of step {step + 1} is {loss}: try a lower --learning-rate, or fp32")
            run.trained.arithmetic.step(losses["loss"], weights, config.gradient_clip)
            if run.trained.average is not None:
                run.trained.average.update(run.trained.network)
            progress.advance(loss)
            monitor.step(progress.steps, scalars, learning_rate, progress.mean_loss)
            ended = progress.steps % config.steps_per_epoch == 0
            if kept_back is not None and ended:
                _judge(run, kept_back, monitor)
            if run.processes.first and (ended or progress.steps % config.save_every_steps == 0):
                _save(run, LAST)
            if ended:
                progress.epochs_since_best = run.processes.broadcast(progress.epochs_since_best)


def _has_stopped(run: Run) -> bool:
    patience = run.config.early_stopping
    return bool(patience) and run.progress.epochs_since_best >= patience


def _batches(run: Run) -> Generator[Any]:
    """On the device, beginning with the next one."""
    config, processes, spec = run.config, run.processes, run.trained.network.spec
    share = Share(processes.rank, processes.world)
    motion = isinstance(run.trained.network, MotionTract)
    draw: Any = motion_batches if motion else picture_batches
    size = config.rows if motion else config.batch_size
    together = {} if motion else {"per_face": config.targets_per_face}
    at = run.progress.steps
    batches = draw(config.shards, spec, size, config.seed, at, share, config.no_of_workers, **together)
    for batch in batches:
        yield type(batch)(*(tensor.to(processes.device, non_blocking=True) for tensor in batch))


def _judge(run: Run, kept_back: KeptBack, monitor: Monitor) -> None:
    """After an epoch: how the network follows voices not trained on; the best one so far is kept."""
    progress, network = run.progress, run.trained.judged
    if isinstance(network, MotionTract):
        run.tract.calibrate(network)
    figures, score = kept_back.check(network)
    record: dict[str, Any] = {"step": progress.steps, "loss": round(progress.mean_loss, 5), **figures}
    if score is not None:
        record["score"] = round(score, 4)
    progress.history.append(record)
    log_record(record)
    monitor.checked(progress.steps, {name: value for name, value in record.items() if name != "step"})
    if (shown := kept_back.shown(network)) is not None:
        monitor.picture(progress.steps, "reference, prediction, target", shown)
    if score is None:
        return
    progress.epochs_since_best += 1
    if score >= progress.best:
        progress.best, progress.epochs_since_best = score, 0
        _save(run, BEST)


def _finish(run: Run, monitor: Monitor) -> Path:
    """The mean of a training that began with weights, and the probes of what is kept."""
    config, progress, network = run.config, run.progress, run.trained.judged
    if _has_stopped(run) and progress.steps < config.total_steps:
        _log.info("stopped after %d steps: %d epochs without a better score", progress.steps, config.early_stopping)
    name = LAST
    begun = progress.init or (config.out / START).exists()  # checkpoints of older versions do not say it
    if begun and isinstance(network, MotionTract):
        _save(run, LAST)
        take_mean(network, config.out, progress.best, run.tract, config.seed)
        name = MEAN
    probes = probe(network, config.shards)
    monitor.probed(progress.steps, {one.name: one.found for one in probes})
    progress.probes = as_records(probes)
    return _save(run, name)


def _save(run: Run, name: str) -> Path:
    path = run.config.out / name
    save_progress(path, run.trained, run.progress, run.config.settings(), run.processes.world)
    write_whole(run.config.out / HISTORY, json.dumps(run.progress.history, indent=1))
    return path
