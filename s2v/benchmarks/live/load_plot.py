"""What callers get when more and more of them call: pictures a second, and how old those are."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: a figure of its own draws without a display
from matplotlib.ticker import MaxNLocator

from s2v.benchmarks.live.load_report import FPS, FRAMES_CARRIED, LoadReport
from s2v.benchmarks.plots import save


def plot(report: LoadReport, path: Path) -> None:
    """Write the picture. Raises: see `save`."""
    steps = sorted(report.steps, key=lambda step: step.callers)
    figure = Figure(figsize=(7, 6), layout="constrained")
    rate, age = figure.subplots(2, sharex=True)
    for step in steps:
        rate.plot([step.callers] * len(step.fps), step.fps, "_", color="#6baed6", markersize=12)
    mean = [(step.callers, step.fps_mean) for step in steps if step.fps_mean is not None]
    rate.plot(*(zip(*mean, strict=True) if mean else ([], [])), "o-", color="#08519c", label="mean; each caller a dash")
    rate.axhline(
        FPS * FRAMES_CARRIED, color="black", linewidth=0.8, linestyle="--", label=f"{FRAMES_CARRIED:.0%} of {FPS}"
    )
    rate.set_ylabel("pictures a second")
    for percentile, colour in (("p50", "#9ecae1"), ("p95", "#08519c"), ("p99", "#d95f02")):
        found = [(s.callers, value) for s in steps if (value := getattr(s.picture_ms, percentile)) is not None]
        age.plot(*(zip(*found, strict=True) if found else ([], [])), "o-", color=colour, label=percentile)
    age.axhline(report.limit_ms, color="black", linewidth=0.8, linestyle="--", label="limit at p95")
    age.set_ylabel("age of a picture, ms")
    age.set_xlabel("callers at once")
    for axis in (rate, age):
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower left", fontsize=8)
    age.xaxis.set_major_locator(MaxNLocator(integer=True))
    size, cores = f"{report.width_px}x{report.height_px}", report.machine["cores"]
    figure.suptitle(
        f"{size}, {report.backend}, {report.seconds:g} s a step: carries {report.carried}\n"
        f"{report.machine['cpu']}, {cores:g} cores",
        fontsize=9,
    )
    save(figure, path)
