"""What somebody sees of a training: a progress bar, how long it will take, and TensorBoard's curves and pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

from s2v.loading import loading_failure

_LOGGED_EVERY = 10  # steps
_FIRST_STEPS = 3  # are slower than the others: libraries prepare themselves, workers start
_MEASURED_STEPS = 10
_WORTH_LOGGING_S = 60.0
_log = logging.getLogger("s2v")


class Monitor:
    """One training's; steps count from 1, the first that is done."""

    def __init__(
        self,
        title: str,
        done: int,
        total: int,
        progress: bool,
        tensorboard: Path | None = None,
        little_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        done: steps, by a training that this one goes on with.
        tensorboard: folder for its events; None: none.
        little_s: of speech to learn from, if that is little: it is warned of, with the time.
        """
        from tqdm import tqdm

        self._writer = _writer(tensorboard, done)
        self._bar = tqdm(initial=done, total=total, unit="step", desc=title, disable=not progress)
        self._first, self._total, self._little_s = done + _FIRST_STEPS, total, little_s
        self._clock, self._began_s = clock, clock()

    def step(self, step: int, losses: Mapping[str, float], learning_rate: float, mean_loss: float) -> None:
        """After each step. Args: losses: the step's, "loss" and its parts."""
        self._bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
        self._bar.update()
        if step == self._first:
            self._began_s = self._clock()
        if step == self._first + _MEASURED_STEPS:
            self._log_time_left((self._clock() - self._began_s) / _MEASURED_STEPS, self._total - step)
        if self._writer is not None and step % _LOGGED_EVERY == 0:
            for name, value in losses.items():
                self._writer.add_scalar(f"train/{name}", value, step)
            self._writer.add_scalar("train/learning_rate", learning_rate, step)

    def checked(self, step: int, record: Mapping[str, Any]) -> None:
        """After a look at what was kept back: its figures, one level of sets of them."""
        if self._writer is None:
            return
        for name, value in record.items():
            for figure, number in value.items() if isinstance(value, Mapping) else {"": value}.items():
                self._writer.add_scalar(f"validation/{name}/{figure}".rstrip("/"), number, step)
        self._writer.flush()

    def picture(self, step: int, name: str, pixels: Any) -> None:
        """Args: pixels: (3, h, w) in [0, 1]."""
        if self._writer is not None:
            self._writer.add_image(name, pixels, step)

    def probed(self, step: int, probes: Mapping[str, float]) -> None:
        """Values of the probes at the end."""
        if self._writer is not None:
            for name, value in probes.items():
                self._writer.add_scalar(f"probes/{name}", value, step)

    def close(self) -> None:
        """Safe to call twice."""
        self._bar.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _log_time_left(self, step_s: float, left: int) -> None:
        left_s = step_s * left
        if self._little_s:
            _log.warning(
                "%s of speech is little to learn from: the %d steps to come see it again and again, and take about %s "
                "here; fewer: -e and -se; --init default begins with the shipped model",
                *(duration(self._little_s), left, duration(left_s)),
            )
        elif left_s > _WORTH_LOGGING_S:
            _log.info("%d steps to come take about %s here (%.2f s each)", left, duration(left_s), step_s)


def duration(seconds: float) -> str:
    """As people say it: 52 s, 14 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _writer(folder: Path | None, done: int) -> SummaryWriter | None:
    """Later steps that a killed training has logged are no longer shown."""
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        _log.info("no curves for TensorBoard (%s)", ": ".join(loading_failure(error) or (str(error),)))
        return None
    return SummaryWriter(str(folder), purge_step=done + 1)
