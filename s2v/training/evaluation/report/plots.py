"""Curves for the report, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display

from s2v.files import written_whole
from s2v.training.evaluation.measures.metrics import OFFSETS_FRAMES, offset_sweep
from s2v.training.evaluation.results import ClipResult, by_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_CLIPS = 6
_MAX_SECONDS = 12.0
_FPS = 25


def opening_plot(clips: Sequence[ClipResult], path: Path) -> None:
    """Opening of the lips over time, filmed, asked for and drawn: a row for each of some clips of a set."""
    shown = clips[:_MAX_CLIPS]
    figure = Figure(figsize=(10, 1.0 + 1.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for clip, axis in zip(shown, axes, strict=True):
        for name, curve, colour in (
            ("film", clip.film, "black"),
            ("prediction", clip.prediction, "C0"),
            ("drawn", clip.drawn, "C1"),
        ):
            if curve is not None:
                part = curve[: round(_MAX_SECONDS * _FPS)]
                axis.plot((np.arange(len(part)) + 0.5) / _FPS, part, colour, linewidth=1.1, label=name)
        axis.set_title(f"{clip.name}: {_correlations(clip)}", fontsize=9, loc="left")
        axis.set_ylabel("opening")
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper right", fontsize=8, ncols=3)
    axes[-1].set_xlabel("seconds")
    _write(figure, path)


def offset_plot(clips: Sequence[ClipResult], path: Path) -> None:
    """Correlation of the opening against the offset, mean over each set's clips; dashed: loudness alone."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis: Axes = figure.subplots()
    for index, (name, found) in enumerate(by_set(clips).items()):
        known = [clip.curves for clip in found if clip.curves]
        if known:
            sweep = np.mean([offset_sweep(curves.prediction, curves.film) for curves in known], axis=0)
            loud = np.mean([offset_sweep(curves.loud, curves.film) for curves in known], axis=0)
            axis.plot(OFFSETS_FRAMES, sweep, f"C{index % 10}", label=f"{name} ({len(known)})")
            axis.plot(OFFSETS_FRAMES, loud, f"C{index % 10}", linestyle="--", linewidth=0.9)
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_xlabel("frames by which the mouth lags the film")
    axis.set_ylabel("correlation of the opening (dashed: loudness)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    _write(figure, path)


def _correlations(clip: ClipResult) -> str:
    figures = {"prediction": "aperture", "drawn": "drawn_aperture", "loudness": "loudness"}
    return ", ".join(f"{name} {clip.figures[key]:.2f}" for name, key in figures.items() if key in clip.figures)


def _write(figure: Figure, path: Path) -> None:
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=100)
